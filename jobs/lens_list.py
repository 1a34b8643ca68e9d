"""lens_list: merge published lists of lenses into one, an entry a system (paper 2.2).

Memory and time grow with the lists (tens of thousands of rows: seconds), not with the survey.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lenscore.config import Config, field
from lenscore.errors import NotFoundError

if TYPE_CHECKING:
    import pyarrow as pa

    from lenscore.artifacts import Checkpoints, Inputs, Runtime, Sink
    from lenscore.survey.lens_lists import Entry

VERSION = 1


class LensFile(Config):
    """A published list in a file: CSV, TSV, FITS, VOTable or Parquet."""

    name: str = field(unit="", source="user", description="what the list is called in the result", min_length=1)
    path: str = field(unit="", source="user", description="where the file is", identity=False)
    ra: str = field("", unit="", source="user", description="column of right ascension, in degrees; empty: found")
    dec: str = field("", unit="", source="user", description="column of declination, in degrees; empty: found")
    name_column: str = field("", unit="", source="user", description="column of the lens's name; empty: found")
    grade_column: str = field("", unit="", source="user", description="column of the grade; empty: found")
    reference_column: str = field("", unit="", source="user", description="column of the reference; empty: found")
    z_lens_column: str = field("", unit="", source="user", description="column of the lens's redshift; empty: found")


class LensListConfig(Config):
    """Which lists, and how near two entries are one system."""

    files: tuple[LensFile, ...] = field(
        (), unit="", source="user", description="lists in files, besides those of skies"
    )
    friends_arcsec: float = field(
        3.0,
        unit="arcsec",
        source="assumed: published positions of one lens differ by up to a few arcsec",
        description="entries linked by steps of at most this are one system",
        ge=0.1,
        le=60,
    )


def listing(config: LensListConfig) -> list[tuple[str, int, str]]:
    """The files' names, sizes and SHA-256."""
    from lenscore.artifacts.manifest import sha256

    found = []
    for file in config.files:
        path = Path(file.path)
        if not path.is_file():
            raise NotFoundError(f"lens list {file.path} does not exist", "correct files.path in the lens_list config")
        found.append((file.name, path.stat().st_size, sha256(path.read_bytes())))
    return found


def run(config: LensListConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Read all lists, merge them, and write table lenses."""
    from lenscore.survey.lens_lists import merge_entries
    from lenscore.survey.tables import read_table

    entries = []
    for file in config.files:
        entries += _entries(read_table(file.path), file, sink)
    for sky in inputs.many("sky"):
        entries += _entries(sky.table("lenses").read(), LensFile(name="published", path=""), sink)
    lenses = merge_entries(entries, config.friends_arcsec)
    sink.write_table("lenses", lenses)
    sink.metrics(rows=lenses.num_rows, entries=len(entries), systems=lenses.num_rows)


def _entries(table: pa.Table, file: LensFile, sink: Sink) -> list[Entry]:
    from lenscore.survey.columns import find_position_columns
    from lenscore.survey.crossmatch import degrees
    from lenscore.survey.lens_lists import ListColumns, read_entries

    names = find_position_columns(table.column_names, file.ra or None, file.dec or None, file.path or file.name)
    ra, dec = (degrees(table[name], name, file.path or file.name) for name in names)
    columns = ListColumns(
        name=file.name_column, grade=file.grade_column, reference=file.reference_column, z_lens=file.z_lens_column
    )
    entries, rejected = read_entries(table, ra, dec, file.name, columns)
    sink.reject(rejected)
    return entries
