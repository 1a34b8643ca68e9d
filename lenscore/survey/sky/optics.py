"""From profiles to pixels: everything is a sum of Fourier images, each seen through the band's own seeing.

A profile is a unit-flux Fourier image (N, N // 2 + 1): GalSim's for Sersic galaxies, a Fourier transform for painted
structures and arcs. The point-spread function is GalSim's Kolmogorov profile, of the catalogue's full width at half
maximum; as in the survey's own columns it includes the pixel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import galsim
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from lenscore.survey.sky.imaging import PIXEL_ARCSEC

Floats = NDArray[np.float64]
Images = NDArray[np.float32]
Fourier = NDArray[np.complex64]

KOLMOGOROV = 6.8839 / 2 / (2 * np.pi * 0.9758634) ** (5 / 3)
"""Transfer function of the atmosphere: exp(-KOLMOGOROV (k FWHM)^(5/3)); FWHM = 0.97586 lambda / r0."""
SMALLEST_EXPONENT = -60.0
"""Below it, numbers get so small that the processor slows down."""


@dataclass(frozen=True)
class Layer:
    """Light of one colour: a profile (N, N // 2 + 1) of unit flux and its flux per band (C) [nmgy]."""

    profile: Fourier
    flux_c: Floats


@cache
def frequencies(size: int) -> tuple[Floats, Floats]:
    """Angular frequencies of a stamp, ky (size,) and kx (size // 2 + 1,) [rad / px]."""
    ky, kx = np.fft.fftfreq(size), np.fft.rfftfreq(size)
    return np.asarray(2 * np.pi * ky, np.float64), np.asarray(2 * np.pi * kx, np.float64)


@cache
def _atmosphere(size: int) -> Images:
    ky, kx = frequencies(size)
    k = np.hypot(ky[:, None], kx[None, :]) / PIXEL_ARCSEC
    return (-KOLMOGOROV * k ** (5 / 3)).astype(np.float32)


def transfer(size: int, fwhm_arcsec_c: Floats) -> Images:
    """Transfer functions of the seeing.

    Args:
        size: side of the stamp [px].
        fwhm_arcsec_c: full width at half maximum (C) [arcsec].

    Returns:
        (C, size, size // 2 + 1).
    """
    exponent = np.float32(fwhm_arcsec_c[:, None, None] ** (5 / 3)) * _atmosphere(size)
    return np.asarray(np.exp(np.maximum(exponent, SMALLEST_EXPONENT, out=exponent), out=exponent))


@lru_cache(maxsize=256)
def _sersic(index: float) -> galsim.GSObject:
    return galsim.Exponential(half_light_radius=1.0) if index == 1 else galsim.Sersic(n=index, half_light_radius=1.0)


def sersic_profile(size: int, index: float, re_arcsec: float, q: float, angle: float) -> Fourier:
    """Fourier image of an elliptical Sersic galaxy.

    Args:
        size: side of the stamp [px], even.
        index: Sersic index; few different ones, for each costs a table.
        re_arcsec: half-light radius; the area of the half-light ellipse is that of this circle.
        q: axis ratio.
        angle: of the major axis from +x [rad].

    Returns:
        (size, size // 2 + 1), centred on the stamp's corner.
    """
    galaxy = _sersic(index).dilate(re_arcsec).shear(q=q, beta=angle * galsim.radians)
    image = galsim.ImageCF(
        galsim.BoundsI(0, size // 2, -size // 2, size // 2 - 1), scale=2 * np.pi / (size * PIXEL_ARCSEC)
    )
    galaxy.drawKImage(image=image, recenter=False)
    return np.asarray(fft.ifftshift(image.array, axes=0))


def point_profile(size: int) -> Fourier:
    """Fourier image of a star."""
    return np.ones((size, size // 2 + 1), dtype=np.complex64)


def painted_profile(light: Floats, oversample: int) -> Fourier:
    """Fourier image of light painted on an oversampled grid whose middle is the sample with index size // 2.

    Args:
        light: brightness (size * oversample, size * oversample), any unit.
        oversample: samples per pixel and axis.

    Returns:
        (size, size // 2 + 1), unit flux, centred on the stamp's corner.
    """
    size = len(light) // oversample
    full = fft.rfft2(fft.ifftshift(light.astype(np.float32)))
    half = size // 2
    cut = np.concatenate([full[:half, : half + 1], full[-half:, : half + 1]])
    return (cut / max(float(full[0, 0].real), 1e-30)).astype(np.complex64)


class Canvas:
    """A piece of sky in C bands, on which stamps are added.

    Args:
        width, height: its size [px].
        left, bottom: coordinates of its first pixel's centre in the scene's frame [px].
        fwhm_arcsec_c: seeing (C).
    """

    def __init__(self, width: int, height: int, left: int, bottom: int, fwhm_arcsec_c: Floats) -> None:
        self.image_chw: Images = np.zeros((len(fwhm_arcsec_c), height, width), dtype=np.float32)
        self.left, self.bottom, self._fwhm = left, bottom, fwhm_arcsec_c
        self._transfer: dict[int, Images] = {}

    def add(self, x_px: float, y_px: float, layers: Sequence[Layer]) -> None:
        """Add light.

        Args:
            x_px, y_px: its centre in the scene's frame [px].
            layers: what to add, profiles of one size.
        """
        size = len(layers[0].profile)
        column, row = round(x_px), round(y_px)
        stamp = draw_stamp(layers, x_px - column, y_px - row, self._seeing(size))
        self._paste(stamp, column - self.left - size // 2, row - self.bottom - size // 2)

    def _seeing(self, size: int) -> Images:
        if size not in self._transfer:
            self._transfer[size] = transfer(size, self._fwhm)
        return self._transfer[size]

    def _paste(self, stamp: Images, column: int, row: int) -> None:
        size, (height, width) = stamp.shape[1], self.image_chw.shape[1:]
        top, bottom = max(row, 0), min(row + size, height)
        left, right = max(column, 0), min(column + size, width)
        if top < bottom and left < right:
            self.image_chw[:, top:bottom, left:right] += stamp[
                :, top - row : bottom - row, left - column : right - column
            ]


def draw_stamp(layers: Sequence[Layer], x_px: float, y_px: float, seeing: Images) -> Images:
    """Draw light through the seeing.

    Args:
        layers: what to draw.
        x_px, y_px: where, from the middle pixel (index size // 2) [px].
        seeing: transfer functions (C, size, size // 2 + 1).

    Returns:
        (C, size, size) [nmgy].
    """
    size = seeing.shape[1]
    ky, kx = frequencies(size)
    centre_x, centre_y = x_px + size // 2, y_px + size // 2
    shift = np.exp(-1j * ky * centre_y).astype(np.complex64)[:, None] * np.exp(-1j * kx * centre_x).astype(np.complex64)
    total = np.zeros(seeing.shape, dtype=np.complex64)
    for layer in layers:
        total += layer.flux_c.astype(np.float32)[:, None, None] * layer.profile
    total *= seeing
    total *= shift
    return np.asarray(fft.irfft2(total, s=(size, size)))
