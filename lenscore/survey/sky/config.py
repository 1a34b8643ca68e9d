"""Settings of the simulated sky."""

from typing import Literal

from lenscore.config import Config, field

BLOCK_ROWS = 1024
"""Catalogue rows drawn together, from a seed of their own; a scene never crosses into another block."""

MAX_BLOCKS = 10_000
"""Blocks for which the footprint has bricks."""


class SkyConfig(Config):
    """A universe (seed, objects and everything below) and the release through which it is seen."""

    release: Literal["demo-dr1", "demo-dr2"] = field(
        "demo-dr1",
        unit="",
        source="DESIGN: words",
        description="the release; demo-dr2 is the same sky, deeper",
    )
    seed: int = field(0, unit="", source="assumed: any", description="seed of the universe", ge=0, lt=2**32)
    objects: int = field(
        8192,
        unit="objects",
        source="assumed: the demo's size",
        description="rows of the catalogue",
        ge=1,
        le=BLOCK_ROWS * MAX_BLOCKS,
    )

    lens_fraction: float = field(
        0.015,
        unit="",
        source="assumed: enough for the demo; the sky has 1e-4 (paper 1)",
        description="share of objects that are lenses",
        ge=0,
        le=0.2,
    )
    ring_fraction: float = field(
        0.02, unit="", source="assumed: rarer in the sky", description="share of ring galaxies", ge=0, le=0.2
    )
    satellite_fraction: float = field(
        0.06,
        unit="",
        source="assumed: rarer in the sky",
        description="share of red galaxies with blue satellites",
        ge=0,
        le=0.2,
    )
    merger_fraction: float = field(
        0.04,
        unit="",
        source="assumed: a few percent of galaxies",
        description="share of mergers",
        ge=0,
        le=0.2,
    )
    spiral_fraction: float = field(
        0.10,
        unit="",
        source="assumed: those with arms that show",
        description="share of spirals",
        ge=0,
        le=0.2,
    )
    star_fraction: float = field(
        0.02,
        unit="",
        source="assumed: enough for the selection to act",
        description="share of stars (type PSF)",
        ge=0,
        le=0.1,
    )
    early_share: float = field(
        0.58,
        unit="",
        source="assumed: a mag_z-limited sample",
        description="early types among the galaxies that are none of the above",
        ge=0,
        le=1,
    )

    like_early: float = field(
        0.45,
        unit="",
        source="assumed: keeps the catalogue's columns from telling lenses",
        description="share of early types drawn from the deflectors' table",
        ge=0,
        le=1,
    )
    like_satellite: float = field(
        0.8,
        unit="",
        source="as like_early",
        description="the same for red galaxies with blue satellites",
        ge=0,
        le=1,
    )
    like_merger: float = field(0.5, unit="", source="as like_early", description="the same for mergers", ge=0, le=1)
    like_ring: float = field(0.3, unit="", source="as like_early", description="the same for ring galaxies", ge=0, le=1)

    group_early: float = field(
        0.35,
        unit="",
        source="assumed: 0.4 other objects with mag_z < 20 lie within 25 arcsec at DR9's density",
        description="share of early types, lenses among them, with other objects of the catalogue beside them",
        ge=0,
        le=1,
    )
    group_late: float = field(0.2, unit="", source="as group_early", description="the same for all others", ge=0, le=1)

    mag_z_bright: float = field(
        15.5, unit="mag", source="training_lenses.tsv", description="brightest field galaxy in z"
    )
    mag_z_limit: float = field(
        20.25,
        unit="mag",
        source="assumed: so that the selection (mag_z < 20, paper 2) has an edge",
        description="faintest object of the catalogue in z",
        ge=18,
        le=22,
    )
    count_slope: float = field(
        0.40,
        unit="1 / mag",
        source="assumed: galaxy counts of bright surveys, near Euclid's 0.6 dimmed by redshift",
        description="d log10 N / d mag_z of field galaxies",
        ge=0,
        le=1,
    )
    neighbour_density: float = field(
        22.0,
        unit="1 / arcmin2",
        source="assumed: counts to r = 24.5",
        description="galaxies too faint for the catalogue",
        ge=0,
        le=200,
    )
    bright_star_fraction: float = field(
        0.04,
        unit="",
        source="assumed: stars brighter than r = 18.5 within 20 arcsec at middle latitudes",
        description="share of scenes with a bright foreground star",
        ge=0,
        le=1,
    )

    theta_e_median_arcsec: float = field(
        1.8,
        unit="arcsec",
        source="assumed: candidates found by eye in ground-based images lie at 1-3 arcsec",
        description="median Einstein radius",
        gt=0,
    )
    theta_e_scatter: float = field(
        0.36,
        unit="ln arcsec",
        source="as theta_e_median_arcsec",
        description="scatter of its logarithm",
        ge=0,
        le=1,
    )
    theta_e_min_arcsec: float = field(
        0.8,
        unit="arcsec",
        source="assumed: blended below the seeing",
        description="smallest Einstein radius",
        gt=0,
    )
    theta_e_max_arcsec: float = field(
        4.5,
        unit="arcsec",
        source="assumed: groups; clusters are left out",
        description="largest Einstein radius",
        gt=0,
        le=6,
    )
    source_mag_g: float = field(
        23.3,
        unit="mag",
        source="assumed: blue galaxies at redshift 1-3",
        description="mean unlensed magnitude of a source",
    )
    source_mag_scatter: float = field(0.7, unit="mag", source="as source_mag_g", description="its scatter", ge=0, le=3)
    findable_snr: float = field(
        45.0,
        unit="",
        source="assumed: by eye on sheets of this sky",
        description="arcs above this signal to noise (part of the deflector counted as noise) count as findable",
        ge=0,
    )

    known_fraction: float = field(
        0.5,
        unit="",
        source="assumed: half for training, half to find",
        description="findable lenses that are listed",
        ge=0,
        le=1,
    )
    listed_twice: float = field(
        0.1,
        unit="",
        source="assumed: lists overlap",
        description="listed lenses that a second reference lists too",
        ge=0,
        le=1,
    )
    doubtful_fraction: float = field(
        0.001,
        unit="",
        source="assumed: few; the paper set aside three of four listed candidates",
        description="share of objects that are look-alikes listed with grade C",
        ge=0,
        le=0.1,
    )
    off_footprint: int = field(
        5,
        unit="lenses",
        source="assumed: a few",
        description="listed lenses outside the footprint",
        ge=0,
        le=10_000,
    )

    bad_image_fraction: float = field(
        0.004,
        unit="",
        source="assumed: a few",
        description="images with a missing band, NaN or no valid pixel",
        ge=0,
        le=0.5,
    )
    bad_row_fraction: float = field(
        0.002, unit="", source="assumed: a few", description="catalogue rows with a fault", ge=0, le=0.5
    )

    changed_fraction: float = field(
        0.02,
        unit="",
        source="assumed: a few percent",
        description="objects new in demo-dr2, and as many that vanish",
        ge=0,
        le=0.4,
    )
    second_noise: float = field(
        0.7,
        unit="",
        source="assumed: twice the exposures",
        description="demo-dr2's noise relative to demo-dr1's",
        gt=0,
        le=1,
    )
    jitter_arcsec: float = field(
        0.03,
        unit="arcsec",
        source="assumed: astrometric error, cut at 0.05 arcsec",
        description="position error of an object in each axis and release",
        ge=0,
        le=0.05,
    )

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.objects // BLOCK_ROWS)

    def block_rows(self, block: int) -> int:
        """Catalogue rows of a block: BLOCK_ROWS but for the last."""
        return min(BLOCK_ROWS, self.objects - block * BLOCK_ROWS)
