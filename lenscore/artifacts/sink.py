"""What a job writes its artifact through: create-only, hashed, recorded."""

import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.artifacts.arrays import ArraySpec, array_metadata, encode_shard, group_metadata, shard_key
from lenscore.artifacts.artifact import FileInfo, artifact_prefix
from lenscore.artifacts.manifest import canonical_json
from lenscore.artifacts.store import Store
from lenscore.artifacts.tables import PartInfo, Table, TableWriter, footer_sha256
from lenscore.errors import InputError, StoreError

Progress = Callable[[int, int | None, dict[str, Any]], None]


class Sink:
    """Writes the files of one artifact.

    An array's shard belongs to whoever put it first. Any other file whose path is taken by different bytes (of another
    run of the same job) is stored beside it, under its hash, so that two runs never mix their files.

    Args:
        store: where.
        kind: of the artifact.
        id: of the artifact.
        scratch: a local folder for files in the making.
        unit: number of the unit, in a sharded job's run.
        rows: rows that this call must fill.
        arrays: arrays declared by the plan, by path.
        planned: files that the plan wrote, by path.
        progress: called with (done, total, metrics).
    """

    def __init__(
        self,
        store: Store,
        kind: str,
        id: str,
        scratch: Path,
        *,
        unit: int | None = None,
        rows: range = range(0),
        arrays: dict[str, ArraySpec] | None = None,
        planned: dict[str, FileInfo] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.store, self.prefix, self.rows, self.unit = store, artifact_prefix(kind, id), rows, unit
        self.files: dict[str, FileInfo] = {}
        self.arrays = dict(arrays or {})
        self.planned = dict(planned or {})
        self.numbers: dict[str, Any] = {}
        self._scratch, self._progress = scratch, progress
        self._rejected: TableWriter | None = None
        self._rejected_rows = 0

    def table(self, name: str, schema: pa.Schema) -> TableWriter:
        """Open a table for appending; use it as a context manager."""
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._scratch))

        def store_part(number: int, path: Path, rows: int) -> None:
            if self.unit is not None and number:
                raise InputError(f"a unit wrote more than one part of table {name!r}", "write fewer rows a unit")
            # the plan's parts come first; a unit's part must not take the name of one of them
            part = f"unit-{self.unit:06d}" if self.unit is not None else f"{number:06d}"
            self._put(f"{name}/part-{part}.parquet", path, rows)

        return TableWriter(folder, schema, store_part)

    def planned_table(self, name: str) -> Table:
        """A table that the plan wrote, for a unit to read its rows from.

        Raises:
            InputError: the plan wrote no such table.
        """
        infos = [info for path, info in sorted(self.planned.items()) if path.startswith(f"{name}/part-")]
        if not infos:
            raise InputError(f"the plan wrote no table {name!r}", "write it in plan()")
        parts = [PartInfo(f"{self.prefix}/{info.key}", info.rows, info.footer_sha256) for info in infos]
        return Table(self.store, name, parts)

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a whole table."""
        with self.table(name, table.schema) as writer:
            writer.write(table)

    def declare_array(self, path: str, spec: ArraySpec) -> None:
        """Create an array, such as images.zarr/images; its rows follow with `write_rows`."""
        group = path.rpartition("/")[0]
        if group:
            self._put(f"{group}/zarr.json", group_metadata())
        self._put(f"{path}/zarr.json", array_metadata(spec))
        self.arrays[path] = spec

    def write_rows(self, path: str, start: int, values: NDArray[Any]) -> None:
        """Write whole shards of an array.

        Args:
            path: the array's.
            start: first row, a multiple of the shard's rows.
            values: rows (n, *row_shape), complete shards; only the array's last may be short.

        Raises:
            InputError: the array was not declared, or the rows do not fit.
        """
        if path not in self.arrays:
            raise InputError(f"array {path!r} was not declared", f"declare it first; there are {sorted(self.arrays)}")
        spec = self.arrays[path]
        if start % spec.shard_rows:
            raise InputError(f"row {start} of {path} starts no shard", f"start at a multiple of {spec.shard_rows}")
        values = np.ascontiguousarray(values)
        for offset in range(0, len(values), spec.shard_rows):
            shard = (start + offset) // spec.shard_rows
            data = encode_shard(spec, shard, values[offset : offset + spec.shard_rows])
            self._put(shard_key(path, spec, shard), data, first_wins=True)

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a whole file."""
        self._put(path, data)

    def write_json(self, path: str, value: Any) -> None:
        """Write a JSON file, indented for people; NaN is refused."""
        text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False, sort_keys=False)
        self._put(path, f"{text}\n".encode())

    @contextmanager
    def file(self, path: str) -> Iterator[Path]:
        """A local file to be filled, stored when the block ends."""
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            local = Path(folder) / Path(path).name
            yield local
            self._put(path, local)

    def reject(self, rows: pa.Table) -> None:
        """List rows that were set aside; columns as in `lenscore.survey.schema.REJECTED`."""
        if not rows.num_rows:
            return
        if self._rejected is None:
            self._rejected = self.table("rejected", rows.schema)
        self._rejected.write(rows)
        self._rejected_rows += rows.num_rows

    def metrics(self, **values: Any) -> None:
        """Numbers for the manifest."""
        canonical_json(values)
        self.numbers.update(values)

    def progress(self, done: int, total: int | None = None, **metrics: Any) -> None:
        """Say how far the work is."""
        if self._progress:
            self._progress(done, total, metrics)

    def close(self) -> None:
        """Store what was gathered."""
        if self._rejected is not None:
            self._rejected.close()
            self.metrics(rejected=self._rejected_rows)
            self._rejected = None

    def record(self) -> dict[str, Any]:
        """What was written, as JSON types."""
        return {"files": [asdict(info) for info in self.files.values()], "metrics": self.numbers}

    def _put(self, path: str, data: bytes | Path, rows: int = -1, first_wins: bool = False) -> None:
        key = path
        digest, size, footer = _describe(data, path.endswith(".parquet"))
        if not self._create(key, data):
            there, there_size = self.store.sha256(f"{self.prefix}/{key}")
            if first_wins:
                digest, size = there, there_size
            elif there != digest:
                key = f"again/{digest[:16]}/{path}"
                self._create(key, data)
        self._check_stored(key, size)
        self.files[path] = FileInfo(path, key, size, digest, rows, footer)

    def _create(self, key: str, data: bytes | Path) -> bool:
        whole = f"{self.prefix}/{key}"
        return self.store.put_file(whole, data) if isinstance(data, Path) else self.store.put(whole, data, True)

    def _check_stored(self, key: str, size: int) -> None:
        info = self.store.head(f"{self.prefix}/{key}")
        if info is None or info.size != size:
            raise StoreError(
                f"{self.prefix}/{key} was stored with {info.size if info else 0} of {size} bytes", "run again"
            )


def _describe(data: bytes | Path, parquet: bool) -> tuple[str, int, str]:
    """SHA-256, size, and SHA-256 of the footer where there is one; a file is not held in memory."""
    with data.open("rb") if isinstance(data, Path) else io.BytesIO(data) as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
        return digest, handle.seek(0, 2), footer_sha256(handle) if parquet else ""
