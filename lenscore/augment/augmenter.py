"""Augmented views of galaxy images, a batch at a time, on the device where the images are (paper 3.1)."""

import torch

from lenscore.augment.blur import blur_and_crop, kernel_radius_px
from lenscore.augment.config import AugmentConfig
from lenscore.augment.draws import Draws, draw
from lenscore.augment.fits import Fits
from lenscore.augment.noise import add_noise
from lenscore.augment.properties import Properties
from lenscore.augment.resample import resample
from lenscore.errors import InputError
from lenscore.survey.release import Release

CPU_IMAGES = 16
"""Images worked on at a time on a CPU, so that their views stay in its cache."""


class Augmenter:
    """Makes views: dust, flips, rotation, scale, blur, shift and crop, noise, in that order.

    Args:
        config: which augmentations, and how strong.
        fits: distributions that PSF, noise and E(B-V) are drawn from; must cover the release's bands.
        release: bands, pixel scale and extinction of the images.
        out_px: side of the views.

    Raises:
        InputError: a band of the release was not fitted.
    """

    def __init__(self, config: AugmentConfig, fits: Fits, release: Release, out_px: int) -> None:
        self.config = config
        self.fits = fits.for_bands(release.bands)
        self.release = release
        self.out_px = out_px

    @torch.no_grad()
    def __call__(self, images_bchw: torch.Tensor, properties: Properties, generator: torch.Generator) -> torch.Tensor:
        """Make one view of each image.

        Args:
            images_bchw: (B, C, H, W) float32, nanomaggies, H = W >= out_px.
            properties: of the same objects.
            generator: all randomness comes from it. One on the CPU suits images on a GPU best: the size of the
                blur is then known without waiting for the GPU.

        Returns:
            (B, C, out_px, out_px) float32, nanomaggies, on the images' device.

        Raises:
            InputError: wrong shape, bands or type, or (where it can be seen without waiting for a GPU) values
                that are not finite.
        """
        self._check(images_bchw, properties)
        draws = draw(self.config, self.fits, self.release, properties, generator)
        return self.apply(images_bchw, draws, generator)

    @torch.no_grad()
    def apply(self, images_bchw: torch.Tensor, draws: Draws, generator: torch.Generator) -> torch.Tensor:
        """Make the views that `draws` describes; only the noise is random.

        Args:
            images_bchw: (B, C, H, W) float32, nanomaggies.
            draws: what is done to each image.
            generator: for the noise.

        Returns:
            (B, C, out_px, out_px) float32, nanomaggies.

        Raises:
            InputError: pixels that are not finite; not looked for on a GPU, which would have to be waited for.
        """
        if images_bchw.is_cuda:
            with torch.autocast("cuda", enabled=False):
                rows = torch.arange(len(images_bchw), device=images_bchw.device)
                return self._views(images_bchw, rows, draws, _on_device(generator, images_bchw.device))
        views = torch.empty(*images_bchw.shape[:2], self.out_px, self.out_px)
        # Images that need a wide margin go together, so that the others need none.
        by_blur = draws.blur_bc.amax(dim=1).argsort(stable=True)
        draws = draws.take(by_blur)
        with torch.autocast("cpu", enabled=False):
            for start in range(0, len(by_blur), CPU_IMAGES):
                rows = by_blur[start : start + CPU_IMAGES]
                part = draws.take(slice(start, start + CPU_IMAGES))
                views.index_copy_(0, rows, self._views(images_bchw, rows, part, generator))
        _check_finite(views)
        return views

    def _views(
        self, images_bchw: torch.Tensor, rows: torch.Tensor, draws: Draws, generator: torch.Generator
    ) -> torch.Tensor:
        margin_px = kernel_radius_px(float(draws.blur_bc.max())) if draws.blur_bc.numel() else 0
        draws = draws.to(images_bchw.device) if images_bchw.is_cuda else draws
        wide_bcnn = resample(images_bchw, rows, draws, self.out_px, margin_px, self.config.fill)
        views_bchw = blur_and_crop(wide_bcnn, draws.blur_bc, self.out_px)
        # Dust scales a band as a whole, so it may come after the steps that are linear, on the smaller array.
        views_bchw *= draws.dust_bc[:, :, None, None]
        add_noise(views_bchw, draws.noise_bc, generator, self.config.noise_pool)
        return views_bchw

    def _check(self, images_bchw: torch.Tensor, properties: Properties) -> None:
        shape, bands = tuple(images_bchw.shape), self.release.bands
        if images_bchw.dtype != torch.float32:
            raise InputError(f"images are {images_bchw.dtype}", "give float32 nanomaggies")
        if len(shape) != 4 or shape[2] != shape[3] or shape[2] < self.out_px:
            raise InputError(f"images have shape {shape}", f"give (B, C, H, H) with H of at least {self.out_px} px")
        if shape[1] != len(bands):
            raise InputError(
                f"images have {shape[1]} bands, {self.release.name} has {','.join(bands)}", "give its bands"
            )
        if len(properties) != shape[0]:
            raise InputError(f"{len(properties)} properties for {shape[0]} images", "give one row an image")
        if not properties.ebv_b.is_cuda and not bool(torch.isfinite(properties.ebv_b).all()):
            row = int((~torch.isfinite(properties.ebv_b)).int().argmax())
            raise InputError(f"E(B-V) of image {row} of the batch is not finite", "leave that object out")


def _check_finite(views_bchw: torch.Tensor) -> None:
    if not bool(torch.isfinite(views_bchw.sum())):
        bad = ~torch.isfinite(views_bchw).flatten(1).all(dim=1)
        raise InputError(
            f"image {int(bad.int().argmax())} of the batch has pixels that are not finite",
            "leave out objects whose image is not valid",
        )


def _on_device(generator: torch.Generator, device: torch.device) -> torch.Generator:
    """A generator on the device, seeded from the given one unless that is there already."""
    if generator.device.type == device.type:
        return generator
    seed = int(torch.randint(2**62, (1,), generator=generator))
    return torch.Generator(device=device).manual_seed(seed)
