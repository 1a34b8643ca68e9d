"""crossmatch: which objects lie near known lenses (paper 2.2).

A Dask task for each million rows. Time grows linearly with the rows (76 million in seconds, once they are read);
memory is that of a batch a thread and of the pairs found, whatever the catalogue's size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lenscore.config import Config, field

if TYPE_CHECKING:
    from lenscore.artifacts import Checkpoints, Inputs, Runtime, Sink

VERSION = 1


class CrossmatchConfig(Config):
    """How near is near."""

    radius_arcsec: float = field(
        25.15,
        unit="arcsec",
        source="paper 2.2: 96 px",
        description="an object within this of a lens matches it",
        gt=0,
        le=36000,
    )


def run(config: CrossmatchConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Write table pairs and summary.json."""
    from dataclasses import asdict

    from lenscore.survey.matching import match_table, name_pairs, summarise
    from lenscore.survey.sky_geometry import TargetIndex

    catalogue = inputs.one("cutouts").table("catalogue")
    lenses = inputs.one("lens_list").table("lenses").read(["system_id", "ra", "dec", "names", "grades"])
    index = TargetIndex(lenses["ra"].to_numpy(), lenses["dec"].to_numpy(), config.radius_arcsec)
    found, rejected = match_table(
        catalogue, index, scheduler=runtime.dask_scheduler, threads=runtime.threads, done=sink.progress
    )
    sink.reject(rejected)
    sink.write_table("pairs", name_pairs(found, lenses))
    summary = summarise(found, catalogue.num_rows, lenses.num_rows, rejected.num_rows)
    sink.write_json("summary.json", {"radius_arcsec": config.radius_arcsec, **asdict(summary)})
    sink.metrics(rows=found.num_rows, **asdict(summary))
