"""A straightforward chain: one image at a time, one step after the other, in scipy and scikit-image.

It is what a reader of the paper would write first: the yardstick for what the batched augmentations compute,
and for how fast.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.stats import lognorm
from skimage.transform import rescale, rotate

from lenscore.augment import Fits, Lognormal

EXTINCTION = np.array([3.214, 2.165, 1.211])


@dataclass(frozen=True)
class Parameters:
    """What is done to one image: as lenscore.augment.draws.Draws, for one object."""

    dust_c: np.ndarray
    flip_2: np.ndarray
    angle: float
    scale: float
    shift_2: np.ndarray
    blur_c: np.ndarray
    noise_c: np.ndarray


def draw_one(fits: Fits, ebv: float, random: np.random.Generator) -> Parameters:
    """Draw what is done to one image, as the paper says."""
    return Parameters(
        dust_c=10 ** (-0.4 * EXTINCTION * (draw_lognormal(fits.ebv, random) - ebv)),
        flip_2=random.choice([-1, 1], size=2),
        angle=random.uniform(0, 2 * np.pi),
        scale=random.uniform(0.9, 1.1),
        shift_2=random.integers(-7, 8, size=2),
        blur_c=np.array([draw_difference(fit, random) for fit in fits.psf]),
        noise_c=np.array([draw_difference(fit, random) for fit in fits.noise]),
    )


def draw_lognormal(fit: Lognormal, random: np.random.Generator) -> float:
    """One draw, not below zero."""
    return max(lognorm.rvs(fit.shape, loc=fit.loc, scale=fit.scale, random_state=random), 0.0)


def draw_difference(fit: Lognormal, random: np.random.Generator) -> float:
    """Sigma to add to come from a drawn initial value to a drawn target; 0 where there is nothing to add."""
    initial, target = draw_lognormal(fit, random), draw_lognormal(fit, random)
    return np.sqrt(max(target**2 - initial**2, 0.0))


def augment_one(image_chw: np.ndarray, parameters: Parameters, out_px: int, random: np.random.Generator) -> np.ndarray:
    """Augment one image, in the paper's order.

    Args:
        image_chw: (C, H, H) float32, nanomaggies.
        parameters: what is done.
        out_px: side of the result.
        random: for the noise.

    Returns:
        (C, out_px, out_px) float32.
    """
    image = np.moveaxis(image_chw, 0, -1) * parameters.dust_c.astype(np.float32)
    if parameters.flip_2[0] < 0:
        image = image[:, ::-1]
    if parameters.flip_2[1] < 0:
        image = image[::-1]
    # rotate() turns counter-clockwise as displayed, y downwards; angles here go from +x towards +y.
    image = rotate(image, -np.degrees(parameters.angle), order=1)
    image = rescale(image, parameters.scale, order=1, anti_aliasing=False, channel_axis=-1)
    for band, sigma_px in enumerate(parameters.blur_c):
        if sigma_px > 0:
            image[..., band] = gaussian_filter(image[..., band], sigma_px, mode="constant")
    image = crop(image, parameters.shift_2, out_px)
    for band, sigma_nmgy in enumerate(parameters.noise_c):
        if sigma_nmgy > 0:
            image[..., band] += random.normal(0.0, sigma_nmgy, (out_px, out_px))
    return np.moveaxis(image, -1, 0).astype(np.float32)


def crop(image_hwc: np.ndarray, shift_2: np.ndarray, out_px: int) -> np.ndarray:
    """Shift the content by whole pixels and take the centre."""
    column = (image_hwc.shape[1] - out_px) // 2 - int(shift_2[0])
    row = (image_hwc.shape[0] - out_px) // 2 - int(shift_2[1])
    return image_hwc[row : row + out_px, column : column + out_px].copy()
