"""Seeing, depth and dust: draws from the paper's Table 2 and the catalogue columns that follow from them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PIXEL_ARCSEC = 0.262
FWHM_PER_SIGMA = 2.3548
EXTINCTION = np.array([3.214, 2.165, 1.211])
SKY_NMGY = np.array([0.10, 0.30, 1.7])
"""Sky brightness per pixel and band, which sets how much noise a source's own light adds."""


@dataclass(frozen=True)
class Lognormal:
    """exp(N(ln scale, shape)) + loc, element by element (scipy.stats.lognorm's parameters)."""

    shape: tuple[float, ...]
    loc: tuple[float, ...]
    scale: tuple[float, ...]

    def of_normals(self, normals: Floats) -> Floats:
        """Values (N, C) for standard normal ones (N, C)."""
        return np.asarray(np.exp(np.log(self.scale) + np.array(self.shape) * normals) + np.array(self.loc))


NOISE = Lognormal(
    (0.2264926, 0.2431146, 0.1334844), (-0.0006735, -0.0023663, -0.0143416), (0.0037602, 0.0067417, 0.0260779)
)
"""Pixel noise in g, r, z [nmgy] (paper, Table 2)."""
PSF = Lognormal((0.2109966, 0.3008485, 0.3471172), (1.0807153, 1.2394326, 1.1928363), (1.3153171, 0.9164757, 0.8233702))
"""Seeing as the sigma of a Gaussian in g, r, z [px] (paper, Table 2)."""
EBV = Lognormal((0.67306,), (0.001146,), (0.03338,))
"""E(B-V) [mag] (paper, Table 2)."""

NOISE_FLOOR = np.array([0.0004, 0.0006, 0.0020])
"""Noise's loc is below zero: the one draw in 5,000 that falls under this is raised to it."""
SEEING_CORRELATION = 0.4
DEPTH_CORRELATION = 0.5
"""Correlation between bands, which Table 2 does not give: assumed."""


@dataclass(frozen=True)
class Imaging:
    """Imaging of N places in C bands.

    Attributes:
        ebv_n: E(B-V) [mag].
        fwhm_arcsec_nc: seeing, full width at half maximum.
        noise_nmgy_nc: standard deviation of the sky in a pixel.
        nobs_nc: number of exposures.
    """

    ebv_n: Floats
    fwhm_arcsec_nc: Floats
    noise_nmgy_nc: Floats
    nobs_nc: NDArray[np.int64]

    @property
    def psfdepth_nc(self) -> Floats:
        """Inverse variance of a point source's flux [1/nmgy^2] (FACTS: Appendix B, turned round)."""
        sigma_px = self.fwhm_arcsec_nc / PIXEL_ARCSEC / FWHM_PER_SIGMA
        return np.asarray(1 / (4 * np.pi * sigma_px**2 * self.noise_nmgy_nc**2))

    def take(self, rows: NDArray[np.int64]) -> "Imaging":
        """The imaging of some places."""
        return Imaging(self.ebv_n[rows], self.fwhm_arcsec_nc[rows], self.noise_nmgy_nc[rows], self.nobs_nc[rows])


def draw_imaging(rng: np.random.Generator, count: int) -> Imaging:
    """Draw a release's imaging from Table 2.

    Args:
        rng: source of randomness.
        count: number of places.

    Returns:
        Imaging (count).
    """
    sigma_px = PSF.of_normals(_correlated(rng, count, SEEING_CORRELATION))
    noise = np.maximum(NOISE.of_normals(_correlated(rng, count, DEPTH_CORRELATION)), NOISE_FLOOR)
    exposures = 5.0 * (np.array([0.0031, 0.0044, 0.0118]) / noise) ** 2
    nobs = np.maximum(1, np.rint(exposures * np.exp(0.2 * rng.standard_normal(noise.shape)))).astype(np.int64)
    ebv = EBV.of_normals(rng.standard_normal((count, 1)))[:, 0]
    return Imaging(ebv, sigma_px * FWHM_PER_SIGMA * PIXEL_ARCSEC, noise, np.minimum(nobs, 40))


def deepen(rng: np.random.Generator, first: Imaging, noise_factor: float) -> Imaging:
    """The same places with more exposures.

    Args:
        rng: source of randomness.
        first: imaging of the first release.
        noise_factor: new noise over old.

    Returns:
        Imaging with less noise, and seeing that differs by about 3 %.
    """
    fwhm = first.fwhm_arcsec_nc * np.exp(0.03 * rng.standard_normal(first.fwhm_arcsec_nc.shape))
    nobs = np.rint(first.nobs_nc / noise_factor**2).astype(np.int64)
    return Imaging(first.ebv_n, fwhm, first.noise_nmgy_nc * noise_factor, nobs)


def _correlated(rng: np.random.Generator, count: int, correlation: float) -> Floats:
    common, own = rng.standard_normal((count, 1)), rng.standard_normal((count, 3))
    return np.asarray(np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own)
