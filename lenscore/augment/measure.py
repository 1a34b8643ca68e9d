"""Noise and point spread of an image from its catalogue row (paper, equations B1 and B2)."""

import math
from typing import TypeVar

import numpy as np
import torch

Values = TypeVar("Values", np.ndarray, torch.Tensor)

FWHM_PER_SIGMA = 2.3548
"""Full width at half maximum of a Gaussian over its sigma, as the paper rounds it."""


def psf_sigma_px(psfsize_arcsec: Values, pixel_scale_arcsec: float) -> Values:
    """Standard deviation of the PSF (equation B2).

    Args:
        psfsize_arcsec: full width at half maximum, arcsec.
        pixel_scale_arcsec: arcsec per pixel.

    Returns:
        Sigma in pixels.
    """
    return psfsize_arcsec * (1.0 / (FWHM_PER_SIGMA * pixel_scale_arcsec))


def noise_sigma_nmgy(psfdepth: Values, psf_sigma_px: Values) -> Values:
    """Noise of one pixel, from the noise equivalent area (equation B1).

    Args:
        psfdepth: inverse variance of a point source's flux, 1 / nmgy^2; must be positive.
        psf_sigma_px: sigma of the PSF, pixels; must be positive.

    Returns:
        Sigma in nanomaggies per pixel.
    """
    return 1.0 / ((4 * math.pi * psfdepth) ** 0.5 * psf_sigma_px)


def dust_factor(ebv: Values, extinction: Values) -> Values:
    """Fraction of the light that passes the dust, 10^(-0.4 R E(B-V)) (FACTS: Appendix B).

    Args:
        ebv: E(B-V), mag.
        extinction: R of the band, A / E(B-V).

    Returns:
        Flux factor.
    """
    return 10.0 ** (-0.4 * extinction * ebv)
