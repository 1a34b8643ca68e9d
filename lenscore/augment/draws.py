"""The random numbers of a batch of views, drawn before any pixel is touched."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch

from lenscore.augment.config import AugmentConfig
from lenscore.augment.fits import Fits, Lognormal
from lenscore.augment.measure import dust_factor, noise_sigma_nmgy, psf_sigma_px
from lenscore.augment.properties import Properties
from lenscore.errors import InputError
from lenscore.survey.release import Release


@dataclass(frozen=True)
class Draws:
    """What is done to each image of a batch.

    Args:
        dust_bc: (B, C) flux factor of the change of dust.
        flip_b2: (B, 2) -1 where x or y is flipped, else 1.
        angle_b: (B,) rotation from +x towards +y, radians.
        scale_b: (B,) size factor, above 1 enlarges.
        shift_b2: (B, 2) shift of the content along x and y, whole pixels.
        blur_bc: (B, C) sigma of the added blur, pixels; 0 for none.
        noise_bc: (B, C) sigma of the added noise, nmgy; 0 for none.
    """

    dust_bc: torch.Tensor
    flip_b2: torch.Tensor
    angle_b: torch.Tensor
    scale_b: torch.Tensor
    shift_b2: torch.Tensor
    blur_bc: torch.Tensor
    noise_bc: torch.Tensor

    def take(self, rows: torch.Tensor | slice) -> Draws:
        """Draws of some of the images."""
        return self._map(lambda values: values[rows])

    def to(self, device: torch.device) -> Draws:
        """The same on another device."""
        return self._map(lambda values: values.to(device, non_blocking=True))

    def _map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Draws:
        return Draws(*(change(getattr(self, part.name)) for part in fields(self)))


def draw(
    config: AugmentConfig, fits: Fits, release: Release, properties: Properties, generator: torch.Generator
) -> Draws:
    """Draw a batch.

    Args:
        config: which augmentations, and how strong.
        fits: distributions of noise, PSF and E(B-V), in the release's order of bands.
        release: for the pixel scale and the extinction of each band.
        properties: of the batch's objects.
        generator: where the randomness comes from.

    Returns:
        Draws on the generator's device. An augmentation that is switched off takes no random numbers.

    Raises:
        InputError: measured PSF and depth are wanted but not given.
    """
    rows, device = len(properties), generator.device
    properties = properties.to(device)
    return Draws(
        dust_bc=_dust(config, fits, release, properties, generator),
        flip_b2=_integers(config.flip, rows, 0, 1, generator) * -2 + 1,
        angle_b=_uniform(config.rotate, rows, 0.0, 2 * math.pi, generator),
        scale_b=_uniform(config.rescale, rows, config.scale_low, config.scale_high, generator, off=1.0),
        shift_b2=_integers(config.shift, rows, -config.shift_px, config.shift_px, generator),
        blur_bc=_added(config.blur, fits.psf, _psf(config, release, properties), rows, generator),
        noise_bc=_added(config.noise, fits.noise, _noise(config, release, properties), rows, generator),
    )


def _dust(
    config: AugmentConfig, fits: Fits, release: Release, properties: Properties, generator: torch.Generator
) -> torch.Tensor:
    if not config.extinction:
        return torch.ones(len(properties), len(fits.bands), device=generator.device)
    added = fits.ebv.draw((len(properties),), generator) - properties.ebv_b
    return dust_factor(added[:, None], torch.tensor(release.extinction, device=generator.device))


def _uniform(
    on: bool, rows: int, low: float, high: float, generator: torch.Generator, off: float = 0.0
) -> torch.Tensor:
    if not on:
        return torch.full((rows,), off, device=generator.device)
    return torch.rand(rows, generator=generator, device=generator.device) * (high - low) + low


def _integers(on: bool, rows: int, low: int, high: int, generator: torch.Generator) -> torch.Tensor:
    if not on:
        return torch.zeros(rows, 2, device=generator.device)
    return torch.randint(low, high + 1, (rows, 2), generator=generator, device=generator.device).float()


def _added(
    on: bool, fits: tuple[Lognormal, ...], own_bc: torch.Tensor | None, rows: int, generator: torch.Generator
) -> torch.Tensor:
    """Sigma to add to reach the drawn target: the difference in squares, 0 where the image has more already."""
    if not on:
        return torch.zeros(rows, len(fits), device=generator.device)
    initial_bc = own_bc if own_bc is not None else _draw_bands(fits, rows, generator)
    target_bc = _draw_bands(fits, rows, generator)
    return (target_bc**2 - initial_bc**2).clamp_min(0.0).sqrt()


def _draw_bands(fits: tuple[Lognormal, ...], rows: int, generator: torch.Generator) -> torch.Tensor:
    return torch.stack([fit.draw((rows,), generator) for fit in fits], dim=1)


def _psf(config: AugmentConfig, release: Release, properties: Properties) -> torch.Tensor | None:
    if config.initial == "drawn" or not config.blur:
        return None
    size_bc = _required(properties.psfsize_bc, "psfsize")
    # A band without a measured PSF is left as it is: an infinite initial value adds nothing.
    return torch.where(size_bc > 0, psf_sigma_px(size_bc, release.pixel_scale_arcsec), torch.inf)


def _noise(config: AugmentConfig, release: Release, properties: Properties) -> torch.Tensor | None:
    if config.initial == "drawn" or not config.noise:
        return None
    size_bc, depth_bc = _required(properties.psfsize_bc, "psfsize"), _required(properties.psfdepth_bc, "psfdepth")
    noise_bc = noise_sigma_nmgy(depth_bc, psf_sigma_px(size_bc, release.pixel_scale_arcsec))
    return torch.where((size_bc > 0) & (depth_bc > 0), noise_bc, torch.inf)


def _required(values: torch.Tensor | None, name: str) -> torch.Tensor:
    if values is None:
        raise InputError(f"initial = 'measured' but the objects have no {name}", "give it, or set initial to 'drawn'")
    return values
