"""Sizes and splits of the published figures."""

from lenscore.config import Config, field


class FigureConfig(Config):
    """How the figures of a catalogue look."""

    mag_split: float = field(20.0, unit="mag", source="paper Table 1", description="split of the south in mag_z")
    gallery_columns: int = field(
        12, unit="pictures", source="paper Figures 6-8", description="pictures side by side", ge=1
    )
    gallery_limit: int = field(
        240, unit="pictures", source="assumed: a page", description="pictures in a gallery", ge=1
    )
    similar_shown: int = field(
        12, unit="pictures", source="paper Figure 3", description="similar objects shown a query", ge=1
    )
    queries_shown: int = field(3, unit="objects", source="paper Figure 3", description="similarity queries shown", ge=1)
    gallery_px: int = field(96, unit="px", source="paper 2", description="side of a picture", ge=8)
