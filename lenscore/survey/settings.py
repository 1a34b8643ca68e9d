"""Settings of reading a survey: which objects are taken, and how files are fetched."""

from lenscore.config import Config, field


class Selection(Config):
    """Which objects to take."""

    types_excluded: tuple[str, ...] = field(
        ("PSF",), unit="", source="paper 2", description="values of TYPE to leave out"
    )
    band: str = field("z", unit="", source="paper 2", description="band of the magnitude cut")
    mag_limit: float | None = field(
        20.0, unit="mag", source="paper 2", description="take objects brighter than this; none: take all"
    )
    fainter: int = field(
        0,
        unit="",
        source="paper 2: 20 million in the south",
        ge=0,
        description="take so many of the next fainter objects as well",
    )
    extinction_corrected: bool = field(
        False,
        unit="",
        source="assumed: the paper does not say",
        description="correct magnitudes for extinction before the cut",
    )


class Transfer(Config):
    """How files are fetched from elsewhere. None of it can change a result."""

    requests_per_second: float = field(
        4.0,
        unit="1/s",
        source="assumed: polite to a public archive",
        identity=False,
        gt=0,
        description="requests that one process sends at most",
    )
    retries: int = field(
        6, unit="", source="assumed", identity=False, ge=0, description="new attempts after a failed one"
    )
    first_wait_s: float = field(
        1.0,
        unit="s",
        source="assumed",
        identity=False,
        ge=0,
        description="wait before the first new attempt; then twice that",
    )
    timeout_s: float = field(
        60.0, unit="s", source="assumed", identity=False, gt=0, description="silence that is a failure"
    )
    cache: str = field(
        "",
        unit="",
        source="assumed",
        identity=False,
        description="folder for fetched files, kept between runs; empty: lenscore/ in the user's cache folder",
    )
    cache_gib: float = field(
        20.0,
        unit="GiB",
        source="assumed",
        identity=False,
        gt=0,
        description="size of that folder; the longest unused go first",
    )
    hub: str = field(
        "https://huggingface.co",
        unit="",
        source="the hub's documentation",
        identity=False,
        description="address that hf:// stands for",
    )
