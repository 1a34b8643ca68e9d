"""A FITS cutout from anywhere, brought to the pixels that a model knows."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from lenscore.errors import InputError

Floats = NDArray[np.float64]

# A scale within this of the model's, north up, is taken as it is: interpolating would smooth the noise for nothing.
SAME_SCALE = 2e-3
MAX_SUBSAMPLES = 16


@dataclass(frozen=True)
class ExternalImage:
    """A cutout as it came.

    Args:
        images_chw: fluxes (C, H, W), nmgy per pixel, in the order of the model's bands.
        arcsec_per_px: (2, 2) matrix from pixel offsets (x, y) to offsets on the sky (east, north), arcsec.
        ra: right ascension of the centre, deg; NaN if unknown.
        dec: declination of the centre, deg; NaN if unknown.
    """

    images_chw: NDArray[np.float32]
    arcsec_per_px: Floats
    ra: float
    dec: float


def read_cutout(path: Path, bands: Sequence[str], pixel_scale_arcsec: float | None = None) -> ExternalImage:
    """Read a FITS cutout: a cube (bands, y, x), or an image extension for each band, named by BAND or FILTER.

    Args:
        path: the file.
        bands: the model's bands; a cube without BANDS in its header must have these, in this order.
        pixel_scale_arcsec: for files without a WCS; north is then up.

    Returns:
        The image, in nanomaggies as the Legacy Surveys' own cutouts are.

    Raises:
        InputError: no FITS file, truncated, a band missing, no pixel scale.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a truncated file is refused below, in one line
            with fits.open(path, memmap=False) as file:
                planes = [(hdu.header, np.asarray(hdu.data)) for hdu in file if _is_image(hdu)]
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}", "check the path") from error
    except (OSError, TypeError, ValueError, IndexError, fits.VerifyError) as error:
        raise InputError(
            f"{path} cannot be read as FITS ({str(error).splitlines()[0]})", "give a complete FITS file"
        ) from error
    if not planes:
        raise InputError(f"{path} holds no image", f"give a cube of {len(bands)} bands")
    header = planes[0][0]
    images = _cube(path, planes[0][1], header, bands) if planes[0][1].ndim == 3 else _by_band(path, planes, bands)
    for band, image in zip(bands, images, strict=True):
        if not image.any():
            raise InputError(f"band {band} of {path} is missing (every pixel is 0)", "give a cutout with all bands")
    matrix, ra, dec = _geometry(path, header, images.shape[-2:], pixel_scale_arcsec)
    return ExternalImage(images.astype(np.float32), matrix, ra, dec)


def resample(image: ExternalImage, scale_arcsec: float, size_px: int) -> NDArray[np.float32]:
    """Bring a cutout to another pixel scale: north up, east left, its centre in the middle, flux conserved.

    Each new pixel is the mean of bilinear samples spread over it (as many as it covers old ones), times the ratio of
    the areas. An image of the right scale and direction is cropped instead, pixel for pixel.

    Args:
        image: what to resample.
        scale_arcsec: pixel scale wanted.
        size_px: side wanted.

    Returns:
        (C, size, size) float32, nmgy per pixel.

    Raises:
        InputError: the field is too small, or some of its pixels are not finite.
    """
    height, width = image.images_chw.shape[-2:]
    wanted = np.diag([-scale_arcsec, scale_arcsec])
    if np.abs(image.arcsec_per_px - wanted).max() < SAME_SCALE * scale_arcsec and min(height, width) >= size_px:
        top, left = (height - size_px) // 2, (width - size_px) // 2
        return _finite(image.images_chw[:, top : top + size_px, left : left + size_px].astype(np.float32))
    to_pixels = np.asarray(np.linalg.inv(image.arcsec_per_px) @ wanted, np.float64)
    _check_field(image, to_pixels, scale_arcsec, size_px)
    area = abs(float(np.linalg.det(to_pixels)))
    samples = int(np.clip(np.ceil(2 * np.sqrt(area)), 2, MAX_SUBSAMPLES)) if area > 1 else 1
    offset = (np.arange(size_px * samples) + 0.5) / samples - size_px / 2
    x, y = np.meshgrid(offset, offset)
    columns = to_pixels[0, 0] * x + to_pixels[0, 1] * y + (width - 1) / 2
    rows = to_pixels[1, 0] * x + to_pixels[1, 1] * y + (height - 1) / 2
    fine = np.stack(
        [
            map_coordinates(band.astype(np.float64), [rows, columns], order=1, mode="nearest")
            for band in image.images_chw
        ]
    )
    mean = fine.reshape(len(fine), size_px, samples, size_px, samples).mean(axis=(2, 4))
    return _finite((mean * area).astype(np.float32))


def _check_field(image: ExternalImage, to_pixels: Floats, scale_arcsec: float, size_px: int) -> None:
    height, width = image.images_chw.shape[-2:]
    corners = to_pixels @ (np.array([[-1, 1, -1, 1], [-1, -1, 1, 1]]) * size_px / 2)
    if (np.abs(corners).max(axis=1) > np.array([width, height]) / 2 + 0.5).any():
        sides = np.sqrt((image.arcsec_per_px**2).sum(axis=0)) * [width, height]
        raise InputError(
            f"the cutout covers {sides[0]:.1f} x {sides[1]:.1f} arcsec, the model looks at {size_px * scale_arcsec:.1f}",
            "give a larger cutout",
        )


def _finite(images_chw: NDArray[np.float32]) -> NDArray[np.float32]:
    bad = ~np.isfinite(images_chw)
    if bad.any():
        raise InputError(
            f"{bad.sum()} of {bad.size} pixels in the middle of the cutout are not finite",
            "give a cutout without masked pixels there",
        )
    if not images_chw.any(axis=(1, 2)).all():
        raise InputError("a band of the cutout is empty (all pixels are zero)", "give a cutout with all bands")
    return images_chw


def _is_image(hdu: Any) -> bool:
    """Whether an extension is an image of fluxes, and not of weights or masks."""
    kind = str(hdu.header.get("IMAGETYP", hdu.header.get("EXTNAME", "image"))).strip().lower()
    weights = any(word in kind for word in ("invvar", "mask", "weight", "psf", "model", "var"))
    return getattr(hdu, "is_image", False) and hdu.header.get("NAXIS", 0) in (2, 3) and not weights


def _cube(path: Path, data: NDArray[Any], header: fits.Header, bands: Sequence[str]) -> NDArray[Any]:
    named = str(header.get("BANDS", "")).strip().lower().replace(",", "").replace(" ", "")
    found = tuple(named) if named else tuple(bands)
    if named and len(found) != len(data):
        raise InputError(f"{path} has BANDS = {named!r} but {len(data)} planes", "correct its header")
    missing = [band for band in bands if band not in found]
    if missing or (not named and len(data) != len(bands)):
        what = f"lacks band {', '.join(missing)}" if missing else f"has {len(data)} planes for bands {', '.join(bands)}"
        raise InputError(f"{path} {what}", f"give a cube of {', '.join(bands)} (name others in BANDS)")
    return data[[found.index(band) for band in bands]]


def _by_band(path: Path, planes: Sequence[tuple[fits.Header, NDArray[Any]]], bands: Sequence[str]) -> NDArray[Any]:
    named = {str(header.get("BAND", header.get("FILTER", "?"))).strip().lower()[:1]: data for header, data in planes}
    missing = [band for band in bands if band not in named]
    if missing:
        raise InputError(
            f"{path} lacks band {', '.join(missing)}; it has {', '.join(sorted(named))}",
            f"give a cube of {', '.join(bands)}, or an image each, named by BAND",
        )
    shapes = {named[band].shape for band in bands}
    if len(shapes) > 1:
        raise InputError(f"{path} has bands of different sizes {sorted(shapes)}", "cut them to one size")
    return np.stack([named[band] for band in bands])


def _geometry(
    path: Path, header: fits.Header, shape: tuple[int, int], pixel_scale_arcsec: float | None
) -> tuple[Floats, float, float]:
    """Matrix to arcsec, and the centre's position."""
    has_scale = any(name in header for name in ("CD1_1", "CDELT1", "PC1_1"))
    if not has_scale:
        if pixel_scale_arcsec is None or not pixel_scale_arcsec > 0:
            raise InputError(
                f"{path} says nothing of its pixel scale (no CD matrix or CDELT)",
                "state it in arcsec per pixel (pixel_scale_arcsec)",
            )
        return np.diag([-pixel_scale_arcsec, pixel_scale_arcsec]), float("nan"), float("nan")
    try:
        wcs = WCS(header, naxis=2)
        matrix = np.asarray(wcs.pixel_scale_matrix, np.float64) * 3600
        scales = proj_plane_pixel_scales(wcs) * 3600
    except Exception as error:
        why = " ".join(str(error).split()[-8:])
        raise InputError(f"{path} has a pixel scale or WCS that cannot be used (... {why})", "correct it") from error
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12 or not (scales > 1e-3).all():
        raise InputError(f"{path} has a pixel scale of {scales.tolist()} arcsec", "correct its CD matrix")
    if not wcs.has_celestial:
        return matrix, float("nan"), float("nan")
    ra, dec = wcs.all_pix2world((shape[1] - 1) / 2, (shape[0] - 1) / 2, 0)
    return matrix, float(ra), float(dec)
