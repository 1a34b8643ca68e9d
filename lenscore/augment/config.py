"""Settings of the augmentations."""

from typing import Literal, Self

from pydantic import model_validator

from lenscore.config import Config, field


class AugmentConfig(Config):
    """Which augmentations are applied, in this order, and how strong they are."""

    extinction: bool = field(
        True, unit="", source="paper 3.1", description="remove the object's own dust, add that of a drawn E(B-V)"
    )
    flip: bool = field(True, unit="", source="paper 3.1", description="flip each axis with probability 1/2")
    rotate: bool = field(
        True, unit="", source="paper 3.1", description="rotate by an angle uniform in 0..2 pi, bilinear"
    )
    rescale: bool = field(True, unit="", source="paper 3.1", description="resize both axes by one factor, bilinear")
    scale_low: float = field(0.9, unit="", source="paper 3.1", description="smallest size factor", gt=0)
    scale_high: float = field(1.1, unit="", source="paper 3.1", description="largest size factor", gt=0)
    blur: bool = field(True, unit="", source="paper 3.1", description="Gaussian blur of each band, to a drawn PSF")
    shift: bool = field(
        True, unit="", source="paper 3.1", description="shift each axis by whole pixels before the crop"
    )
    shift_px: int = field(7, unit="px", source="paper 3.1", description="largest shift, either way", ge=0)
    noise: bool = field(True, unit="", source="paper 3.1", description="Gaussian noise in each band, to a drawn level")
    noise_pool: bool = field(
        False,
        unit="",
        source="assumed: a tenth of the time of a view",
        description="on a CPU, cut noise from a fixed pool of 4 million normal values at drawn places, of either sign: "
        "two images share a stretch, displaced, in 0.4 % of cases",
    )
    fill: Literal["zero", "reflect"] = field(
        "zero",
        unit="",
        source="FACTS: Augmentations",
        description="what lies beyond the stored image; zero shows in about 10 % of views of 96 of 152 px",
    )
    initial: Literal["drawn", "measured"] = field(
        "drawn",
        unit="",
        source="paper, Appendix B (drawn); FACTS: Augmentations (measured)",
        description="PSF and noise that an image has already: drawn from the fits, or the object's own",
    )

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.scale_low > self.scale_high:
            raise ValueError(f"scale_low = {self.scale_low} exceeds scale_high = {self.scale_high}; swap them")
        return self
