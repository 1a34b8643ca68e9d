"""compare: the differences between two versions of the candidates, each with its cause.

The catalogues are streamed, once or twice each, a Dask task for each million rows; memory grows with the candidates
only, time linearly with the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lenscore.config import Config, field

if TYPE_CHECKING:
    from lenscore.artifacts import Checkpoints, Inputs, Runtime, Sink

VERSION = 1


class CompareConfig(Config):
    """When two objects are one, and when its imaging has changed."""

    match_arcsec: float = field(
        1.0,
        unit="arcsec",
        source="FACTS: Survey",
        description="objects of different releases are one if mutually nearest within this",
        gt=0,
        le=60,
    )
    mag_tolerance: float = field(
        0.02,
        unit="mag",
        source="assumed: a repeated measurement's scatter",
        description="imaging counts as changed where a magnitude differs by more",
        ge=0,
    )
    imaging_tolerance: float = field(
        0.05,
        unit="",
        source="assumed: less is not seen in an image",
        description="imaging counts as changed where depth or seeing differ by more than this fraction",
        ge=0,
    )


def run(config: CompareConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Write table differences and summary.json."""
    from lenscore.candidates.compare import Tolerance, compare_versions
    from lenscore.candidates.twins import Version

    before = Version.open(inputs.one("before"), inputs.many("cutouts_before"))
    after = Version.open(inputs.one("after"), inputs.many("cutouts_after"))
    tolerance = Tolerance(config.mag_tolerance, config.imaging_tolerance)
    differences, summary = compare_versions(
        before, after, config.match_arcsec, tolerance, scheduler=runtime.dask_scheduler, threads=runtime.threads
    )
    sink.write_table("differences", differences)
    sink.write_json("summary.json", summary)
    sink.metrics(
        rows=differences.num_rows,
        in_both=summary["in_both"],
        **{change.replace(" ", "_"): sum(causes.values()) for change, causes in summary["changes"].items()},
    )
