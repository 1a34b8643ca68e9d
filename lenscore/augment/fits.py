"""Lognormal distributions of noise, point spread and dust that the augmentations draw from (paper, Appendix B)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import model_validator

from lenscore.config import Config, field
from lenscore.errors import InputError

if TYPE_CHECKING:
    import torch

    from lenscore.artifacts import Artifact

QUANTITIES = ("noise", "psf", "ebv")
"""What is fitted: sigma of the noise [nmgy per px], sigma of the PSF [px], E(B-V) [mag]."""
ALL_BANDS = "all"
"""Stands for the band of E(B-V), which has none."""


class Lognormal(Config):
    """A shifted lognormal, x = exp(normal(ln scale, shape)) + loc, as scipy.stats.lognorm has it (equation B3)."""

    shape: float = field(unit="", source="paper, equation B3", description="standard deviation of ln(x - loc)", gt=0)
    loc: float = field(unit="that of x", source="paper, equation B3", description="lower end of the distribution")
    scale: float = field(unit="that of x", source="paper, equation B3", description="exp(mean of ln(x - loc))", gt=0)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        """Draw values, none below zero: loc is negative for the noise, where a plain draw could be too.

        Args:
            shape: shape of the result.
            generator: where the randomness comes from; the values lie on its device.

        Returns:
            float32 tensor, in the unit of the quantity.
        """
        import torch

        normal = torch.randn(shape, generator=generator, device=generator.device)
        return normal.mul_(self.shape).add_(math.log(self.scale)).exp_().add_(self.loc).clamp_min_(0.0)


class Fits(Config):
    """The fitted distributions: one a band for noise and PSF, one for E(B-V)."""

    bands: tuple[str, ...] = field(unit="", source="the fitted release", description="bands, in order", min_length=1)
    noise: tuple[Lognormal, ...] = field(
        unit="nmgy / px", source="paper, equation B1", description="pixel noise sigma of each band"
    )
    psf: tuple[Lognormal, ...] = field(unit="px", source="paper, equation B2", description="PSF sigma of each band")
    ebv: Lognormal = field(unit="mag", source="paper, Appendix B", description="E(B-V)")

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        if not len(self.bands) == len(self.noise) == len(self.psf):
            raise ValueError(
                f"{len(self.noise)} noise and {len(self.psf)} psf fits for bands {self.bands}; give one each"
            )
        return self

    @classmethod
    def table2(cls) -> Fits:
        """The paper's Table 2: g, r, z of the south with mag_z < 20, for 0.262 arcsec pixels."""
        noise = (
            (0.2264926, -0.0006735, 0.0037602),
            (0.2431146, -0.0023663, 0.0067417),
            (0.1334844, -0.0143416, 0.0260779),
        )
        psf = ((0.2109966, 1.0807153, 1.3153171), (0.3008485, 1.2394326, 0.9164757), (0.3471172, 1.1928363, 0.8233702))
        return cls(
            bands=("g", "r", "z"),
            noise=tuple(Lognormal(shape=shape, loc=loc, scale=scale) for shape, loc, scale in noise),
            psf=tuple(Lognormal(shape=shape, loc=loc, scale=scale) for shape, loc, scale in psf),
            ebv=Lognormal(shape=0.67306, loc=0.001146, scale=0.03338),
        )

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> Fits:
        """Read the fits of an `augmentation_fits` artifact."""
        return cls.from_json(artifact.read_json("fits.json"))

    @classmethod
    def from_json(cls, content: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Fits:
        """Read the content of fits.json: {quantity: {band: {shape, loc, scale, ...}}}.

        Raises:
            InputError: a quantity or a band's parameter is missing.
        """
        try:
            bands = tuple(content["noise"])
            return cls(
                bands=bands,
                noise=tuple(_lognormal(content["noise"][band]) for band in bands),
                psf=tuple(_lognormal(content["psf"][band]) for band in bands),
                ebv=_lognormal(content["ebv"][ALL_BANDS]),
            )
        except KeyError as error:
            raise InputError(f"fits.json lacks {error.args[0]!r}", "run fit_augmentations again") from error

    def for_bands(self, bands: tuple[str, ...]) -> Fits:
        """The same fits with the bands in another order, or fewer of them.

        Args:
            bands: the bands wanted, in order.

        Raises:
            InputError: a band was not fitted.
        """
        missing = [band for band in bands if band not in self.bands]
        if missing:
            raise InputError(
                f"no augmentation fits for band {missing[0]!r}, only for {', '.join(self.bands)}",
                "run fit_augmentations on the release's own catalogue",
            )
        order = [self.bands.index(band) for band in bands]
        return Fits(
            bands=bands, noise=tuple(self.noise[i] for i in order), psf=tuple(self.psf[i] for i in order), ebv=self.ebv
        )


def _lognormal(entry: Mapping[str, Any]) -> Lognormal:
    return Lognormal(shape=entry["shape"], loc=entry["loc"], scale=entry["scale"])
