"""inspect: numbered sheets of candidates for people (paper section 4.3), or of listed lenses that wait for a vote.

Memory: the pictures of all objects that are shown (27 kB each); time: a few milliseconds each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lenscore.config import Config, field

if TYPE_CHECKING:
    from lenscore.artifacts import Checkpoints, Inputs, Runtime, Sink

VERSION = 1
BATCH = 500


class InspectConfig(Config):
    """How the sheets look."""

    columns: int = field(5, unit="pictures", source="paper 4.3", description="pictures side by side", ge=1, le=50)
    rows: int = field(100, unit="pictures", source="paper 4.3", description="rows of a sheet", ge=1, le=1000)
    size_px: int = field(96, unit="px", source="paper 2", description="side of a picture", ge=8, le=1024)
    limit: int = field(
        18500,
        unit="objects",
        source="paper 4.3: 7,500 + 3,000 + 5,000 and the similarity searches",
        description="objects shown, the best candidates first",
        ge=1,
    )


def run(config: InspectConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Write sheet-0001.png …, index.html, and the table sheets that links numbers to objects."""
    import pyarrow as pa

    from lenscore.figures.pictures import candidate_pictures, vetting_pictures
    from lenscore.figures.sheets import draw_sheet, page

    kind, listed = inputs.either("candidates", "labels")
    title, draw = {
        "candidates": ("Lens candidates", candidate_pictures),
        "labels": ("Listed lenses to vet", vetting_pictures),
    }[kind]
    pictures = draw(listed, inputs.many("cutouts"), config.limit, config.size_px, sink.progress)
    per_sheet = config.columns * config.rows
    sheet_of = [i // per_sheet + 1 for i in range(len(pictures))]
    for number in range(1, max(sheet_of, default=0) + 1):
        shown = pictures[(number - 1) * per_sheet : number * per_sheet]
        sink.write_bytes(f"sheet-{number:04d}.png", draw_sheet(shown, config.columns))
    sink.write_bytes("index.html", page(title, pictures).encode())
    sink.write_table(
        "sheets",
        pa.table(
            {
                "sheet": pa.array(sheet_of, pa.int32()),
                "number": pa.array([item.number for item in pictures], pa.int64()),
                "ls_id": pa.array([item.ls_id for item in pictures], pa.int64()),
            }
        ),
    )
    sink.metrics(pictures=len(pictures))
