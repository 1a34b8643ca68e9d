"""Tables at rest: a folder of Parquet parts, read as one table in the order of their names."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lenscore.artifacts.store import Store, store_errors
from lenscore.errors import DamagedError, InputError, NotFoundError

PART_ROWS = 1_000_000
GROUP_ROWS = 65_536
MAGIC = b"PAR1"


@dataclass(frozen=True)
class PartInfo:
    """A Parquet part at rest: its key in the store, its number of rows, and the hash of its footer."""

    key: str
    rows: int
    footer_sha256: str


class Table:
    """A stored table. Page checksums and the footer's hash are verified on every read.

    Memory grows with what is asked for: `batches` holds one batch, whatever the table's size.
    """

    def __init__(self, store: Store, name: str, parts: Sequence[PartInfo]) -> None:
        self.store = store
        self.name = name
        self._parts = tuple(parts)
        self._starts = np.cumsum([0, *(part.rows for part in self._parts)])
        self._filesystem, self._root = store.filesystem()

    @property
    def num_rows(self) -> int:
        """Rows of the whole table."""
        return int(self._starts[-1])

    @property
    def schema(self) -> pa.Schema:
        """Columns, with units in the fields' metadata."""
        with self._open(self._parts[0]) as file:
            return file.schema_arrow

    @property
    def parts(self) -> list[tuple[str, int]]:
        """(address for fsspec, rows) of each part, for Dask."""
        scheme = "file://" if self.store.is_local else "s3://"
        return [(f"{scheme}{self._root}/{part.key}", part.rows) for part in self._parts]

    @property
    def storage_options(self) -> dict[str, Any]:
        """Options for fsspec."""
        return self.store.storage_options

    def read(self, columns: Sequence[str] | None = None, start: int = 0, stop: int | None = None) -> pa.Table:
        """Rows start..stop as one table in memory.

        Raises:
            InputError: a column is not there.
            DamagedError: the bytes fail their checksum.
        """
        batches = list(self.batches(columns, GROUP_ROWS, start, stop))
        return pa.Table.from_batches(batches, schema=self._selected_schema(columns))

    def batches(
        self, columns: Sequence[str] | None = None, rows: int = GROUP_ROWS, start: int = 0, stop: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows start..stop in batches of at most `rows`."""
        self._selected_schema(columns)
        stop = self.num_rows if stop is None else min(stop, self.num_rows)
        for part, first in zip(self._parts, self._starts, strict=False):
            low, high = max(start - int(first), 0), min(stop - int(first), part.rows)
            if low < high:
                yield from self._part_batches(part, columns, rows, low, high)

    def _part_batches(
        self, part: PartInfo, columns: Sequence[str] | None, rows: int, low: int, high: int
    ) -> Iterator[pa.RecordBatch]:
        with self._open(part) as file:
            starts = np.cumsum([0, *(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups))])
            groups = [i for i in range(file.num_row_groups) if starts[i] < high and starts[i + 1] > low]
            position = int(starts[groups[0]])
            try:
                for batch in file.iter_batches(batch_size=rows, row_groups=groups, columns=_list(columns)):
                    begin, end = max(low - position, 0), min(high - position, batch.num_rows)
                    if begin < end:
                        yield batch.slice(begin, end - begin)
                    position += batch.num_rows
            except (pa.ArrowException, OSError) as error:
                raise _damaged(part.key, str(error)) from error

    def _open(self, part: PartInfo) -> "_OpenPart":
        return _OpenPart(self.store.url, self._filesystem, f"{self._root}/{part.key}", part)

    def _selected_schema(self, columns: Sequence[str] | None) -> pa.Schema:
        schema = self.schema
        if columns is None:
            return schema
        for name in columns:
            if name not in schema.names:
                raise InputError(f"table {self.name!r} has no column {name!r}", f"it has {', '.join(schema.names)}")
        return pa.schema([schema.field(name) for name in columns], metadata=schema.metadata)


class _OpenPart:
    def __init__(self, url: str, filesystem: Any, path: str, part: PartInfo) -> None:
        self.url, self.filesystem, self.path, self.part = url, filesystem, path, part

    def __enter__(self) -> pq.ParquetFile:
        try:
            self.handle = _Handle(self.url, self.part.key, self.filesystem, self.path)
        except NotFoundError as error:
            raise _damaged(self.part.key, "it is missing") from error
        try:
            if footer_sha256(self.handle) != self.part.footer_sha256:
                raise _damaged(self.part.key, "its footer fails the checksum")
            self.handle.seek(0)
            self.file = pq.ParquetFile(self.handle, page_checksum_verification=True)
        except BaseException:
            self.handle.close()
            raise
        return self.file

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.handle.close()


class _Handle:
    """An open file of a store. A store that is away is a StoreError here, before pyarrow takes it for bad bytes."""

    def __init__(self, url: str, key: str, filesystem: Any, path: str) -> None:
        self._url, self._key = url, key
        with self._reading():
            self._file = filesystem.open(path, "rb", block_size=1 << 22)

    @property
    def closed(self) -> bool:
        """As of any file."""
        return bool(self._file.closed)

    def read(self, size: int = -1) -> bytes:
        """As of any file."""
        with self._reading():
            return bytes(self._file.read(size))

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of any file."""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """As of any file."""
        return int(self._file.tell())

    def close(self) -> None:
        """As of any file."""
        self._file.close()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with store_errors(self._url, self._key):
            try:
                yield
            except OSError:
                raise
            except Exception as error:  # of the S3 client, whose errors are of no common kind
                raise ConnectionError(str(error)) from error


def footer_sha256(handle: Any) -> str:
    """Hash of a Parquet file's footer, which holds all that the page checksums do not cover."""
    size = handle.seek(0, 2)
    handle.seek(max(size - 8, 0))
    tail = handle.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != MAGIC or length + 12 > size:
        return ""
    handle.seek(size - 8 - length)
    return hashlib.sha256(handle.read(length + 8)).hexdigest()


class ParquetPart:
    """Writes one Parquet file with page checksums; the same rows give the same bytes."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path, self.rows = path, 0
        self._writer = pq.ParquetWriter(
            path, schema, compression="zstd", write_page_checksum=True, store_schema=True, write_statistics=True
        )

    def write(self, table: pa.Table) -> None:
        """Append rows."""
        self._writer.write_table(table, row_group_size=GROUP_ROWS)
        self.rows += table.num_rows

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


class TableWriter:
    """Appends rows to a table of an artifact; a part is stored whenever it is full, the last one on exit.

    Rows are gathered into full row groups, so that the bytes do not depend on how they were handed over.
    """

    def __init__(self, scratch: Path, schema: pa.Schema, store_part: Any, part_rows: int = PART_ROWS) -> None:
        self.schema = schema
        self._scratch, self._store_part, self._part_rows = scratch, store_part, part_rows
        self._pending: list[pa.Table] = []
        self._pending_rows, self._number = 0, 0
        self._part: ParquetPart | None = None

    def write(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Append rows.

        Raises:
            InputError: the columns are not those of the schema.
        """
        table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
        if table.schema.names != self.schema.names:
            raise InputError(f"got columns {table.schema.names}", f"hand over {self.schema.names}, in this order")
        try:
            self._pending.append(table.cast(self.schema))
        except (pa.ArrowException, ValueError) as error:
            raise InputError(f"a column has the wrong type: {error}", f"hand over {self.schema.types}") from error
        self._pending_rows += table.num_rows
        while self._pending_rows >= GROUP_ROWS:
            self._flush(GROUP_ROWS)

    def _flush(self, rows: int) -> None:
        table = pa.concat_tables(self._pending) if self._pending else self.schema.empty_table()
        room = self._part_rows - (self._part.rows if self._part else 0)
        rows = min(rows, room)
        if self._part is None:
            self._part = ParquetPart(self._scratch / f"part-{self._number:06d}.parquet", self.schema)
        self._part.write(table.slice(0, rows).combine_chunks())
        self._pending = [table.slice(rows)] if table.num_rows > rows else []
        self._pending_rows = table.num_rows - rows
        if self._part.rows >= self._part_rows:
            self._finish_part()

    def _finish_part(self) -> None:
        if self._part is None:
            return
        self._part.close()
        self._store_part(self._number, self._part.path, self._part.rows)
        self._part.path.unlink()
        self._part, self._number = None, self._number + 1

    def close(self) -> None:
        """Store what is left; a table without rows still gets one part."""
        while self._pending_rows or (self._part is None and self._number == 0):
            self._flush(self._pending_rows)
        self._finish_part()

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()


def _list(columns: Sequence[str] | None) -> list[str] | None:
    return None if columns is None else list(columns)


def _damaged(key: str, why: str) -> DamagedError:
    return DamagedError(
        f"{key} is damaged: {why.splitlines()[0] if why else 'unreadable'}",
        "run `lenscore artifacts verify`, then make the artifact again",
    )
