"""Small things that the augmentation tests share."""

import numpy as np
import torch

from lenscore.augment import AugmentConfig, Augmenter, Fits, Properties
from lenscore.augment.draws import Draws
from lenscore.survey.release import Release

RELEASE = Release(name="dr9-south")
OFF = AugmentConfig(extinction=False, flip=False, rotate=False, rescale=False, blur=False, shift=False, noise=False)


def augmenter(out_px: int = 96, base: AugmentConfig = OFF, **changes: object) -> Augmenter:
    """An augmenter with everything off but what is asked for."""
    return Augmenter(base.model_copy(update=changes), Fits.table2(), RELEASE, out_px)


def generator(seed: int = 0) -> torch.Generator:
    """A seeded generator."""
    return torch.Generator().manual_seed(seed)


def no_change(rows: int, bands: int = 3) -> Draws:
    """Draws that leave images as they are."""
    ones, zeros = torch.ones(rows, bands), torch.zeros(rows, bands)
    return Draws(ones, torch.ones(rows, 2), torch.zeros(rows), torch.ones(rows), torch.zeros(rows, 2), zeros, zeros)


def blobs(rows: int, size_px: int = 152, bands: int = 3, seed: int = 0, spread_px: float = 12.0) -> torch.Tensor:
    """(rows, bands, size, size) smooth images: a few Gaussians near the centre of each."""
    random = np.random.default_rng(seed)
    axis = np.arange(size_px) - (size_px - 1) / 2
    images = np.zeros((rows, bands, size_px, size_px), dtype=np.float32)
    for image in images:
        for _ in range(4):
            x, y = random.uniform(-spread_px, spread_px, 2)
            sigma_px = random.uniform(2.5, 5.0)
            profile = np.exp(-((axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2) / (2 * sigma_px**2))
            image += random.uniform(0.2, 1.0, bands)[:, None, None] * profile
    return torch.from_numpy(images)


def properties(rows: int, ebv: float = 0.05) -> Properties:
    """Properties with one E(B-V) for all."""
    return Properties(torch.full((rows,), ebv))


def moments(image: torch.Tensor) -> tuple[float, float, float, float]:
    """Flux, centre x and y from the middle, and variance along one axis, of an image."""
    axis = torch.arange(image.shape[-1], dtype=torch.float64) - (image.shape[-1] - 1) / 2
    image = image.double()
    flux = image.sum()
    x, y = (image.sum(0) @ axis) / flux, (image.sum(1) @ axis) / flux
    variance = ((image.sum(0) @ axis**2) / flux - x**2 + (image.sum(1) @ axis**2) / flux - y**2) / 2
    return float(flux), float(x), float(y), float(variance)
