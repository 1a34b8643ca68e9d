"""Strata of a search: parts of the survey with a budget of inspections each (paper 4.3)."""

from typing import Literal

from lenscore.config import Config, field


class Stratum(Config):
    """A region and a range of magnitudes, and how many candidates people can look at there."""

    name: str = field(unit="", source="user", description="what it is called in the result", min_length=1)
    region: Literal["south", "north"] = field("south", unit="", source="paper 2", description="part of the survey")
    band: str = field("z", unit="", source="paper 2", description="band of the magnitude")
    mag_min: float | None = field(
        None, unit="mag", source="paper 4.3", description="brightest magnitude, included; none: no limit"
    )
    mag_max: float | None = field(
        None, unit="mag", source="paper 4.3", description="faintest magnitude, left out; none: no limit"
    )
    budget: int = field(unit="objects", source="paper 4.3", description="candidates to be looked at", ge=1)


PAPER_STRATA = (
    Stratum(name="south mag_z < 20", region="south", mag_max=20.0, budget=7500),
    Stratum(name="south mag_z >= 20", region="south", mag_min=20.0, budget=3000),
    Stratum(name="north", region="north", budget=5000),
)
"""What the paper's authors looked at (paper 4.3; FACTS: Inspection)."""
