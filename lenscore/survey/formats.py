"""How each format of table is read in pieces, as Arrow tables."""

import gzip
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from lenscore.errors import InputError
from lenscore.survey.columns import check_columns

INFER_BYTES = 64 << 20
"""A text column's type is found from this many bytes at the file's start: all of it, for most files."""


def open_file(path: Path) -> Any:
    """Open a file for reading bytes, unpacking .gz."""
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def parquet_batches(path: Path, rows: int, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    """Read a Parquet file, or all those of a folder."""
    files = parquet_files(path) if path.is_dir() else [path]
    for number, file in enumerate(files):
        with pq.ParquetFile(file) as parquet:
            check_columns(parquet.schema_arrow.names, columns or (), str(file))
            schema = _chosen(parquet.schema_arrow, columns)
            if number == 0:
                yield schema.empty_table()
            for batch in parquet.iter_batches(rows, columns=list(columns) if columns else None):
                yield pa.Table.from_batches([batch]).select(schema.names)


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files below a folder, in order; those whose names begin with _ or . are not data.

    Raises:
        InputError: there are none.
    """
    files = sorted(file for file in folder.rglob("*.parquet") if not file.name.startswith(("_", ".")))
    if not files:
        raise InputError(f"no Parquet file below {folder}", "give a table, or a folder of Parquet files")
    return files


def _chosen(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    return pa.schema([schema.field(name) for name in columns]) if columns else schema


def text_batches(path: Path, rows: int, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    """Read CSV, TSV and their like; lines before the header that begin with # are comments."""
    with open_file(path) as file:
        skipped, header = _header(file)
    size = path.stat().st_size * (20 if path.suffix == ".gz" else 1)
    read = pa.csv.ReadOptions(block_size=min(max(size, 1 << 16), INFER_BYTES), skip_rows=skipped, use_threads=False)
    parse = pa.csv.ParseOptions(delimiter=_delimiter(header, path))
    names = [name.strip().strip('"') for name in header.split(parse.delimiter)]
    check_columns(names, columns or (), str(path))
    convert = pa.csv.ConvertOptions(include_columns=list(columns) if columns else None)
    with open_file(path) as file, pa.csv.open_csv(file, read, parse, convert) as reader:
        yield _texts(reader.schema.empty_table())
        for batch in reader:
            yield from _pieces(_texts(pa.Table.from_batches([batch])), rows)


def _header(file: io.BufferedIOBase) -> tuple[int, str]:
    """Count the comment lines before the header, and return the header."""
    for number, raw in enumerate(file):
        line = raw.decode("utf-8-sig", errors="replace").strip()
        if line and not line.startswith("#"):
            return number, line
    raise InputError("the table holds no header line", "the first line must name the columns")


def _delimiter(header: str, path: Path) -> str:
    counts = {mark: header.count(mark) for mark in ("\t", ",", ";", "|", " ")}
    if ".tsv" in path.suffixes or ".tab" in path.suffixes:
        return "\t"
    best = next((mark for mark in ("\t", ",", ";", "|") if counts[mark]), None)
    return best or (" " if counts[" "] else ",")


def _texts(table: pa.Table) -> pa.Table:
    """Columns without any value come as null: make them text, so that pieces agree."""
    for position, field in enumerate(table.schema):
        if pa.types.is_null(field.type):
            table = table.set_column(position, field.name, table.column(position).cast(pa.string()))
    return table


def _pieces(table: pa.Table, rows: int) -> Iterator[pa.Table]:
    for start in range(0, table.num_rows, rows):
        yield table.slice(start, rows)


def fits_batches(path: Path, rows: int, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    """Read the first table of a FITS file."""
    from astropy.io import fits

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a cut-off file is found out below
        with fits.open(path, memmap=path.suffix != ".gz") as hdus:
            hdu = next((hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)), None)
            if hdu is None:
                raise InputError(f"{path} holds no table, only {len(hdus)} images", "give a FITS file with a table")
            if path.suffix != ".gz":
                check_whole(path, hdu)
            names = list(hdu.columns.names)
            check_columns(names, columns or (), str(path))
            chosen = list(columns) if columns else names
            yield _fits_slice(hdu, chosen, 0, 0)
            for start in range(0, len(hdu.data), rows):
                yield _fits_slice(hdu, chosen, start, start + rows)


def check_whole(path: Path, hdu: Any) -> None:
    """Compare a file's size with what a FITS header promises.

    Raises:
        InputError: the file is cut off.
    """
    info = hdu.fileinfo() or {}
    # the last block's padding carries no data: a file without it is still whole
    needed = info.get("datLoc", 0) + abs(hdu.header.get("BITPIX", 8)) // 8 * _elements(hdu.header)
    size = path.stat().st_size
    if size < needed:
        raise InputError(f"{path.name} is cut off: {size} of {needed} bytes", "fetch the file again")


def _elements(header: Any) -> int:
    axes = [header[f"NAXIS{axis + 1}"] for axis in range(header.get("NAXIS", 0))]
    return (int(np.prod(axes)) + header.get("PCOUNT", 0)) * header.get("GCOUNT", 1) if axes else 0


def _fits_slice(hdu: Any, names: Sequence[str], start: int, stop: int) -> pa.Table:
    data = hdu.data[start:stop]
    return pa.table({name: _to_arrow(data[name], hdu.columns[name].null) for name in names})


def _to_arrow(values: Any, null: int | None) -> pa.Array:
    array = np.asarray(values)
    if array.dtype.kind in "SU":
        return pa.array(np.char.strip(array.astype(str)).tolist(), pa.string())
    if array.dtype.kind == "O":
        return pa.array([np.asarray(item).tolist() for item in array])
    native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    mask = native == null if null is not None and native.ndim == 1 else None
    if native.ndim == 1:
        return pa.array(native, mask=mask)
    flat = native.reshape(len(native), int(np.prod(native.shape[1:])))
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1])


def votable_batches(path: Path, rows: int, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    """Read the first table of a VOTable, whole."""
    from astropy.io.votable import parse_single_table

    with warnings.catch_warnings(), open_file(path) as file:
        warnings.simplefilter("ignore")
        table = parse_single_table(io.BytesIO(file.read())).to_table(use_names_over_ids=True)
    check_columns(table.colnames, columns or (), str(path))
    chosen = list(columns) if columns else table.colnames
    whole = pa.table({name: _masked(table[name]) for name in chosen})
    yield whole.slice(0, 0)
    yield from _pieces(whole, rows)


def _masked(column: Any) -> pa.Array:
    mask = getattr(column, "mask", None)
    values = np.asarray(column.filled() if mask is not None and column.dtype.kind != "O" else column)
    if values.dtype.kind == "O":
        return pa.array([None if item is np.ma.masked or item is None else str(item) for item in column])
    if values.dtype.kind in "SU":
        return pa.array(np.char.strip(values.astype(str)).tolist(), pa.string(), mask=mask)
    if values.ndim > 1:
        return _to_arrow(values, None)
    native = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    return pa.array(native, mask=None if mask is None else np.asarray(mask))
