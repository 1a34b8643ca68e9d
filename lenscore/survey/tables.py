"""Tables of any common format, streamed as Arrow: CSV, TSV, FITS, VOTable, Parquet (also HATS folders)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from lenscore.errors import InputError, NotFoundError
from lenscore.survey.columns import check_columns, find_column, find_position_columns, listed
from lenscore.survey.formats import (
    fits_batches,
    open_file,
    parquet_batches,
    parquet_files,
    text_batches,
    votable_batches,
)

__all__ = [
    "check_columns",
    "find_column",
    "find_position_columns",
    "listed",
    "parquet_files",
    "read_table",
    "table_batches",
    "table_format",
]

BATCH_ROWS = 65536


def read_table(path: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a whole table.

    Args:
        path: file (its content, not its name, tells the format), or a folder of Parquet files.
        columns: names to keep, in this order; all of them by default.

    Returns:
        The table.

    Raises:
        NotFoundError: there is no such file.
        InputError: it cannot be read, is cut off, or lacks a column.
    """
    batches = list(table_batches(path, columns=columns))
    return pa.concat_tables(batches)


def table_batches(path: str | Path, rows: int = BATCH_ROWS, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Read a table in pieces; memory is that of one piece (VOTable, an XML format, is read whole).

    Args:
        path: as for `read_table`.
        rows: rows a piece.
        columns: names to keep.

    Yields:
        Tables of at most `rows` rows; one without rows if the table has none.

    Raises:
        NotFoundError: there is no such file.
        InputError: it cannot be read, is cut off, or lacks a column.
    """
    file = _existing(path)
    try:
        yield from _READERS[table_format(file)](file, rows, columns)
    except InputError:
        raise
    except (pa.ArrowInvalid, OSError, ValueError, TypeError, EOFError) as error:
        raise InputError(f"cannot read table {file}: {_first_line(error)}", "check that the file is whole") from error


def table_format(path: Path) -> str:
    """Tell a table's format from its first bytes.

    Returns:
        "parquet", "fits", "votable" or "text".
    """
    if path.is_dir():
        return "parquet"
    with open_file(path) as file:
        head = file.read(512)
    if not head:
        raise InputError(f"table {path} is empty (0 bytes)", "check the file")
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"SIMPLE"):
        return "fits"
    return "votable" if head.lstrip().startswith((b"<?xml", b"<VOTABLE")) else "text"


def _existing(path: str | Path) -> Path:
    text = str(path)
    file = Path(unquote(urlsplit(text).path)) if text.startswith("file:") else Path(text)
    if not file.exists():
        raise NotFoundError(f"table {text} does not exist", "check the path")
    return file


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


_READERS = {"parquet": parquet_batches, "text": text_batches, "fits": fits_batches, "votable": votable_batches}
