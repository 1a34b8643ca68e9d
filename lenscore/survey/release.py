"""What a release of a survey is: its bands, pixel scale, image sizes and region."""

from typing import Literal, Self

from pydantic import model_validator

from lenscore.config import Config, field
from lenscore.errors import NotFoundError


class Release(Config):
    """A survey data release of one region."""

    name: str = field(
        unit="",
        source="DESIGN: words",
        description="release and region, as dr9-south",
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}$",
    )
    region: Literal["south", "north"] = field("south", unit="", source="paper 2", description="part of the survey")
    bands: tuple[str, ...] = field(
        ("g", "r", "z"), unit="", source="paper 2", description="bands, in image order", min_length=1
    )
    pixel_scale_arcsec: float = field(
        0.262, unit="arcsec / px", source="DR9 documentation", description="pixel scale", gt=0
    )
    stored_px: int = field(152, unit="px", source="paper 2", description="side of a stored cutout", ge=8)
    network_px: int = field(96, unit="px", source="paper 2", description="side seen by the networks", ge=8)
    extinction: tuple[float, ...] = field(
        (3.214, 2.165, 1.211),
        unit="mag / mag",
        source="DR9 documentation",
        description="A / E(B-V) of each band",
    )
    release_numbers: tuple[int, ...] = field(
        (), unit="", source="DR9 documentation", description="values of RELEASE that belong to it; empty: any"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.extinction) != len(self.bands):
            raise ValueError(f"{len(self.extinction)} extinction values for {len(self.bands)} bands; give one each")
        if self.network_px > self.stored_px:
            raise ValueError(f"network_px = {self.network_px} exceeds stored_px = {self.stored_px}; lower it")
        return self

    @property
    def field_arcsec(self) -> float:
        """Side of the field that the networks see, in arcsec (25.15 for DR9)."""
        return self.network_px * self.pixel_scale_arcsec


RELEASES = {
    release.name: release
    for release in (
        Release(name="dr9-south", release_numbers=(9010, 9012)),
        Release(name="dr9-north", region="north", release_numbers=(9011,)),
        Release(name="demo-dr1"),
        Release(name="demo-dr2"),
    )
}
"""Releases known by name."""


def find_release(name: str) -> Release:
    """Look a release up.

    Args:
        name: its name.

    Returns:
        The release.

    Raises:
        NotFoundError: it is not known.
    """
    if name not in RELEASES:
        raise NotFoundError(
            f"unknown release {name!r}", f"use one of {', '.join(RELEASES)}, or describe it under [release]"
        )
    return RELEASES[name]
