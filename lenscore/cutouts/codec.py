"""How images become small numbers at rest, and what that costs in accuracy.

Stored value times step is flux. An int16 step is a fraction of the image's noise, so that rounding adds 0.036 sigma of
noise for an eighth, and grows where the brightest pixel would not fit: nothing is ever clipped.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lenscore.config import Config, field
from lenscore.cutouts.noise import estimate_sigma
from lenscore.errors import InputError

# Half a step below the type's limit, so that rounding in float32 cannot leave it.
LARGEST = {"int16": 32766.5, "float16": 65472.0, "float32": float(np.finfo(np.float32).max)}
SMALLEST_STEP = 1e-30
BRIGHTEST_NMGY = 1e30
SLAB_ROWS = 32


class CodecConfig(Config):
    """How images are stored."""

    kind: Literal["int16", "float16", "float32"] = field(
        "int16", unit="", source="SCIENCE: Storage", description="type of the stored pixels"
    )
    steps_per_sigma: float = field(
        8.0, unit="", source="PINS: Storage", description="int16 steps in one sigma of pixel noise", gt=0
    )
    level: int = field(3, unit="", source="PINS: Storage", description="zstd level", ge=1, le=19)


@dataclass(frozen=True)
class CodecError:
    """Error of stored images in units of each image's and band's pixel noise, as sums, so that parts can be added.

    Args:
        images: images and bands measured.
        squares: sum over them of the mean square error.
        largest: largest absolute error of a pixel.
        coarse: images and bands left out, because a bright pixel made their step larger than asked for.
    """

    images: int = 0
    squares: float = 0.0
    largest: float = 0.0
    coarse: int = 0

    @property
    def rms(self) -> float:
        """Root mean square error; 0 where nothing was measured."""
        return math.sqrt(self.squares / self.images) if self.images else 0.0

    def __add__(self, other: "CodecError") -> "CodecError":
        return CodecError(
            self.images + other.images,
            self.squares + other.squares,
            max(self.largest, other.largest),
            self.coarse + other.coarse,
        )

    def metrics(self) -> dict[str, float]:
        """As they stand in a manifest, where counts of units add up and maxima stay maxima."""
        return {
            "codec_images": self.images,
            "codec_error_squares": self.squares,
            "max_codec_error_sigma": self.largest,
            "codec_coarse": self.coarse,
        }

    @staticmethod
    def from_metrics(metrics: Mapping[str, Any]) -> "CodecError":
        """Read from a manifest's metrics.

        Raises:
            InputError: they are not there.
        """
        names = tuple(CodecError().metrics())
        if missing := [name for name in names if name not in metrics]:
            raise InputError(f"the manifest lacks {', '.join(missing)}", "hand over an artifact of kind cutouts")
        return CodecError(*(metrics[name] for name in names))


@dataclass(frozen=True)
class Encoded:
    """Images at rest.

    Args:
        stored_bchw: stored pixels (B, C, H, W), zero where not valid.
        step_bc: nmgy per stored unit (B, C) float32, zero where not valid.
        valid_b: whether the image can be used (B,) bool.
        error: of the round trip; the images whose step had to grow are counted but kept out of rms and largest.
    """

    stored_bchw: NDArray[Any]
    step_bc: NDArray[np.float32]
    valid_b: NDArray[np.bool_]
    error: CodecError


def find_bad_images(images_bchw: NDArray[Any]) -> dict[int, str]:
    """Find images that cannot be used.

    Args:
        images_bchw: images (B, C, H, W), nmgy.

    Returns:
        Reason by row: pixels that are not finite (or beyond 1e30 nmgy), or a band that is zero everywhere.
    """
    finite = (np.abs(images_bchw) < BRIGHTEST_NMGY).all(axis=(2, 3))
    blank = ~np.any(images_bchw != 0, axis=(2, 3))
    reasons = {}
    for row in np.flatnonzero(~finite.all(axis=1) | blank.any(axis=1)):
        if not finite[row].all():
            count = int((~(np.abs(images_bchw[row]) < BRIGHTEST_NMGY)).sum())
            reasons[int(row)] = f"{count} pixels are not finite"
        else:
            reasons[int(row)] = f"band number {int(np.flatnonzero(blank[row])[0])} is zero everywhere"
    return reasons


def encode(
    images_bchw: NDArray[np.float32],
    config: CodecConfig,
    valid_b: NDArray[np.bool_] | None = None,
    sigma_bc: NDArray[np.float32] | None = None,
) -> Encoded:
    """Encode images.

    Args:
        images_bchw: images (B, C, H, W), nmgy.
        config: how.
        valid_b: rows that the caller vouches for (B,); bad images among them become invalid as well.
        sigma_bc: noise per pixel (B, C), nmgy; estimated from the image where missing, or not positive.

    Returns:
        The stored form, its validity and its measured error.

    Raises:
        InputError: a shape does not fit.
    """
    images_bchw = _as_images(images_bchw)
    rows, bands = images_bchw.shape[:2]
    valid = _fit(valid_b, (rows,), "valid_b", np.ones(rows, dtype=bool)).astype(bool)
    given = _fit(sigma_bc, (rows, bands), "sigma_bc", np.zeros((rows, bands), dtype=np.float32))
    stored = np.zeros(images_bchw.shape, dtype=config.kind)
    step = np.zeros((rows, bands), dtype=np.float32)
    error = CodecError()
    # Slabs of a few images stay in the processor's cache.
    for first in range(0, rows, SLAB_ROWS):
        part = slice(first, min(first + SLAB_ROWS, rows))
        valid[part] &= _usable(images_bchw[part])
        chosen = first + np.flatnonzero(valid[part])
        stored[chosen], step[chosen], slab_error = _encode_valid(images_bchw[chosen], given[chosen], config)
        error += slab_error
    return Encoded(stored, step, valid, error)


def decode(stored_bchw: NDArray[Any], step_bc: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Decode images: flux = stored value times step.

    Args:
        stored_bchw: stored pixels (B, C, H, W).
        step_bc: nmgy per stored unit (B, C).
        out: receives float32 fluxes, nmgy, same shape.
    """
    np.copyto(out, stored_bchw)
    out *= step_bc[:, :, None, None]


def _as_images(images_bchw: NDArray[Any]) -> NDArray[np.float32]:
    images = np.asarray(images_bchw)
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise InputError(f"images have shape {images.shape}", "hand over (images, bands, rows, columns)")
    if images.dtype.kind not in "fiu":
        raise InputError(f"images have type {images.dtype}", "hand over fluxes as float32")
    with np.errstate(over="ignore"):
        return images.astype(np.float32, copy=False)


def _fit(values: NDArray[Any] | None, shape: tuple[int, ...], name: str, default: NDArray[Any]) -> NDArray[Any]:
    if values is None:
        return default
    if np.shape(values) != shape:
        raise InputError(f"{name} has shape {np.shape(values)}", f"hand over {shape}")
    return np.array(values)


def _usable(images_bchw: NDArray[np.float32]) -> NDArray[np.bool_]:
    usable = np.ones(len(images_bchw), dtype=bool)
    usable[list(find_bad_images(images_bchw))] = False
    return usable


def _encode_valid(
    images_bchw: NDArray[np.float32], given_bc: NDArray[np.float32], config: CodecConfig
) -> tuple[NDArray[Any], NDArray[np.float32], CodecError]:
    if not len(images_bchw):
        return images_bchw, images_bchw[:, :, 0, 0], CodecError()
    sigma = _noise(images_bchw, given_bc)
    step, coarse = _steps(images_bchw, sigma, config)
    scaled = images_bchw / step[:, :, None, None]
    stored = (np.rint(scaled) if config.kind == "int16" else scaled).astype(config.kind)
    # An image without noise has nothing to compare its error with but its own step.
    unit = np.where((sigma > SMALLEST_STEP) & ~coarse, sigma, step * config.steps_per_sigma)
    return stored, step, _measure(images_bchw, stored, step, unit, coarse)


def _noise(images_bchw: NDArray[np.float32], given_bc: NDArray[np.float32]) -> NDArray[np.float32]:
    usable = np.isfinite(given_bc) & (given_bc > 0)
    if usable.all():
        return given_bc.astype(np.float32)
    return np.where(usable, given_bc, estimate_sigma(images_bchw)).astype(np.float32)


def _steps(
    images_bchw: NDArray[np.float32], sigma_bc: NDArray[np.float32], config: CodecConfig
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    peak = np.maximum(images_bchw.max(axis=(2, 3)), -images_bchw.min(axis=(2, 3)))
    needed = (peak.astype(np.float64) / LARGEST[config.kind]).astype(np.float32)
    wanted = sigma_bc / config.steps_per_sigma if config.kind == "int16" else np.ones_like(needed)
    step = np.maximum(np.maximum(wanted, needed), SMALLEST_STEP).astype(np.float32)
    return step, needed > wanted


def _measure(
    images_bchw: NDArray[np.float32],
    stored_bchw: NDArray[Any],
    step_bc: NDArray[np.float32],
    unit_bc: NDArray[np.float32],
    coarse_bc: NDArray[np.bool_],
) -> CodecError:
    difference = np.empty_like(images_bchw)
    decode(stored_bchw, step_bc, difference)
    difference -= images_bchw
    counted = (difference / unit_bc[:, :, None, None])[~coarse_bc]
    squares = float(np.square(counted, dtype=np.float64).mean(axis=(1, 2)).sum())
    largest = float(np.abs(counted).max(initial=0))
    return CodecError(len(counted), squares, largest, int(coarse_bc.sum()))
