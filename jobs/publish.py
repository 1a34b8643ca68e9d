"""publish: the catalogue for others, in four formats, with the paper's table and figures, and where it all came from.

The candidates (some 20,000 rows) are held in memory; the catalogues that shade the maps are streamed. Time grows
linearly with the releases' rows: a minute for ten million.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lenscore.config import field
from lenscore.figures.settings import FigureConfig

if TYPE_CHECKING:
    from lenscore.artifacts import Checkpoints, Inputs, Runtime, Sink

VERSION = 2


class PublishConfig(FigureConfig):
    """What is published."""

    grades: tuple[str, ...] = field(
        ("A", "B", "?", ""),
        unit="",
        source="paper 4.4: A and B; ungraded until people have looked",
        description="grades that go into the catalogue; the empty one is `not graded`",
    )


def run(config: PublishConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Write catalogue.{parquet,csv,fits,vot}, table1.csv, figures and README.md; and the table catalogue."""
    from lenscore.candidates.formats import FORMATS, to_csv
    from lenscore.candidates.release import provenance, published_rows
    from lenscore.candidates.summary import table_one
    from lenscore.figures.release import release_figures

    table = published_rows(inputs.one("candidates"), inputs.many("grades"), config.grades)
    counts = table_one(table, config.mag_split)
    sink.write_table("catalogue", table)
    for form, writer in FORMATS.items():
        sink.write_bytes(f"catalogue.{form}", writer(table))
    sink.write_bytes("table1.csv", to_csv(counts))
    figures = []
    for path, data in release_figures(config, inputs, table, sink.progress):
        sink.write_bytes(path, data)
        figures.append(path)
    sink.write_bytes("README.md", provenance(inputs, counts, figures).encode())
    sink.metrics(candidates=table.num_rows)
