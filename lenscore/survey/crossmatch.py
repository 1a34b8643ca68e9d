"""Crossmatch of two tables of a person's own, in any common format."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.errors import InputError, StoreError
from lenscore.survey.columns import find_column, find_position_columns
from lenscore.survey.ids import NO_ID
from lenscore.survey.matching import (
    RADIUS_ARCSEC,
    MatchSummary,
    floats,
    mark_nearest,
    match_batches,
    rejected_positions,
    summarise,
)
from lenscore.survey.sky_geometry import TargetIndex, good_positions
from lenscore.survey.tables import read_table, table_batches

ID_NAMES = ("ls_id", "object_id", "objectid", "source_id", "targetid", "id", "name", "objname", "designation")
ENDINGS = (".csv", ".tsv", ".parquet", ".fits", ".vot", ".xml")

FILE_PAIRS = pa.schema(
    [
        pa.field("object_row", pa.int64()),
        pa.field("object_id", pa.string()),
        pa.field("object_ra", pa.float64(), metadata={"unit": "deg"}),
        pa.field("object_dec", pa.float64(), metadata={"unit": "deg"}),
        pa.field("lens_row", pa.int64()),
        pa.field("lens_id", pa.string()),
        pa.field("lens_ra", pa.float64(), metadata={"unit": "deg"}),
        pa.field("lens_dec", pa.float64(), metadata={"unit": "deg"}),
        pa.field("separation_arcsec", pa.float64(), metadata={"unit": "arcsec"}),
        pa.field("nearest", pa.bool_()),
    ]
)
"""Pairs as written for people. Rows count from 0, without the header; ids are "" where a table has none."""


def match_files(
    objects_path: str | Path,
    lenses_path: str | Path,
    radius_arcsec: float = RADIUS_ARCSEC,
    out_path: str | Path | None = None,
    *,
    objects_ra: str | None = None,
    objects_dec: str | None = None,
    lenses_ra: str | None = None,
    lenses_dec: str | None = None,
) -> MatchSummary:
    """Match a table of objects against a table of lenses.

    Objects are streamed: time grows linearly with them, memory with the lenses and the pairs found only (a VOTable is
    read whole). Rows whose position cannot be used are left out and written to OUT.rejected.csv.

    Args:
        objects_path, lenses_path: CSV, TSV, FITS, VOTable or Parquet.
        radius_arcsec: largest separation [arcsec].
        out_path: where the pairs go; its ending tells the format. None: count only.
        objects_ra, objects_dec, lenses_ra, lenses_dec: names of the position columns [deg]; found where None.

    Returns:
        The counts.

    Raises:
        NotFoundError: a file does not exist.
        InputError: a table cannot be read, is empty, or a column is missing; the output's ending is not known.
    """
    out = _checked_output(out_path)
    lenses, bad_lenses, lens_rows, lens_ids = _read_lenses(lenses_path, lenses_ra, lenses_dec)
    index = TargetIndex(lenses["ra"].to_numpy(), lenses["dec"].to_numpy(), radius_arcsec)
    found, object_ids, bad_objects, objects = _match_objects(objects_path, index, objects_ra, objects_dec)
    rejected = pa.concat_tables([bad_objects, bad_lenses])
    if out is not None:
        target = found["target"]
        lens_columns = [pa.array(lens_rows), lens_ids, lenses["ra"], lenses["dec"]]
        pairs = [
            found["row"],
            object_ids,
            found["ra"],
            found["dec"],
            *(column.take(target) for column in lens_columns),
            found["separation_arcsec"],
            mark_nearest(found),
        ]
        write_table(pa.table(pairs, schema=FILE_PAIRS), out)
        if rejected.num_rows:
            write_table(rejected, out.with_name(f"{out.name}.rejected.csv"))
    return summarise(found, objects, lenses.num_rows, rejected.num_rows)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a small table whole or not at all, in the format that the file's ending says.

    Args:
        table: flat columns, units in the fields' metadata.
        path: ends in .csv, .tsv, .parquet, .fits, .vot or .xml.

    Raises:
        StoreError: the place cannot be written.
    """
    with _replacing(path) as temporary:
        if path.suffix in (".csv", ".tsv"):
            import pyarrow.csv

            options = pyarrow.csv.WriteOptions(delimiter="\t" if path.suffix == ".tsv" else ",", quoting_style="needed")
            pyarrow.csv.write_csv(table, temporary, options)
        elif path.suffix == ".parquet":
            import pyarrow.parquet

            pyarrow.parquet.write_table(table, temporary, compression="zstd")
        else:
            _write_with_astropy(table, temporary, "fits" if path.suffix == ".fits" else "votable")


def _write_with_astropy(table: pa.Table, path: Path, kind: str) -> None:
    from astropy.table import Table

    columns = {name: _plain(table[name]) for name in table.column_names}
    rows = Table(columns)
    for name in columns:
        metadata = table.schema.field(name).metadata or {}
        rows[name].unit = metadata.get(b"unit", b"").decode() or None
    rows.write(path, format=kind, overwrite=True)


def _plain(column: pa.ChunkedArray) -> NDArray[np.generic]:
    return np.array(column.to_pylist(), dtype=str) if pa.types.is_string(column.type) else column.to_numpy()


def _checked_output(path: str | Path | None) -> Path | None:
    if path is None:
        return None
    out = Path(path)
    if out.suffix not in ENDINGS:
        raise InputError(f"cannot tell a format from {out.name!r}", f"let it end in one of {', '.join(ENDINGS)}")
    if not out.absolute().parent.is_dir():
        raise InputError(f"the folder {out.absolute().parent} does not exist", "make it, or write elsewhere")
    return out


def _read_lenses(
    path: str | Path, ra: str | None, dec: str | None
) -> tuple[pa.Table, pa.Table, NDArray[np.int64], pa.Array]:
    table = read_table(path)
    if table.num_rows == 0:
        raise InputError(f"table {path} holds no lenses (0 rows)", "give a table with at least one")
    names = find_position_columns(table.column_names, ra, dec, path)
    ra_n, dec_n = (degrees(table[name], name, path) for name in names)
    good = good_positions(ra_n, dec_n)
    rows, bad = np.flatnonzero(good), np.flatnonzero(~good)
    rejected = rejected_positions(ra_n[bad], dec_n[bad], bad, np.full(len(bad), NO_ID), str(path))
    ids = _identities(table).take(pa.array(rows))
    return pa.table({"ra": ra_n[rows], "dec": dec_n[rows]}), rejected, rows, ids


def _match_objects(
    path: str | Path, index: TargetIndex, ra: str | None, dec: str | None
) -> tuple[pa.Table, pa.ChunkedArray, pa.Table, int]:
    found, bad, ids, row = [], [], [], 0
    columns = next(table_batches(path)).column_names
    names, identity = find_position_columns(columns, ra, dec, path), find_column(columns, ID_NAMES)
    for table in table_batches(path, columns=list(dict.fromkeys([*names, identity] if identity else names))):
        positions = [degrees(table[name], name, path) for name in names]
        batch = pa.RecordBatch.from_arrays([pa.array(angle) for angle in positions], names=["ra", "dec"])
        pairs, rejected = match_batches([batch], index, row, str(path))
        found.append(pairs)
        bad.append(rejected)
        ids.append(_identities(table).take(pa.array(pairs["row"].to_numpy() - row)))
        row += table.num_rows
    if row == 0:
        raise InputError(f"table {path} holds no objects (0 rows)", "give a table with at least one")
    return pa.concat_tables(found), pa.chunked_array(ids, pa.string()), pa.concat_tables(bad), row


def degrees(column: pa.ChunkedArray, name: str, path: str | Path) -> NDArray[np.float64]:
    """A column of angles as numbers; a text that is no number becomes NaN.

    Args:
        column: numbers, or text or times (which readers make of columns with bad values).
        name, path: for the message.

    Returns:
        Angles (N,) [deg].

    Raises:
        InputError: it holds no number at all, such as angles in hours, minutes and seconds.
    """
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return floats(column)
    values = np.array([_number(value) for value in column.to_pylist()], dtype=np.float64)
    if len(values) and np.isnan(values).all():
        first = column[0].as_py()
        raise InputError(f"column {name!r} of {path} holds no number, but '{first}'", "give decimal degrees")
    return values


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return float("nan")


def _identities(table: pa.Table) -> pa.Array:
    name = find_column(table.column_names, ID_NAMES)
    if name is None:
        return pa.array([""] * table.num_rows, pa.string())
    return table[name].cast(pa.string()).combine_chunks().fill_null("")


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    try:
        handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}-", suffix=path.suffix)
        os.close(handle)
        try:
            yield Path(name)
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        why = error.strerror or error
        raise StoreError(f"cannot write {path}: {why}", "check the place and its free space") from error
