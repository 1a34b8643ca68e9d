"""A complete artifact, opened for reading."""

import contextlib
import hashlib
import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lenscore.artifacts.arrays import StoredArray
from lenscore.artifacts.manifest import Manifest, Reference, parse_manifest, sha256
from lenscore.artifacts.store import Store
from lenscore.artifacts.tables import PartInfo, Table
from lenscore.errors import DamagedError, InputError, NotFoundError

FILES = pa.schema(
    [
        pa.field("path", pa.string()),
        pa.field("key", pa.string()),
        pa.field("size", pa.int64()),
        pa.field("sha256", pa.string()),
        pa.field("rows", pa.int64()),
        pa.field("footer_sha256", pa.string()),
    ]
)
"""files.parquet. key is where the bytes lie, relative to the artifact: the path itself, but for a file whose path
was taken by another run of the same job. rows (-1) and footer_sha256 ("") are for the parts of tables."""


@dataclass(frozen=True)
class FileInfo:
    """A row of files.parquet."""

    path: str
    key: str
    size: int
    sha256: str
    rows: int = -1
    footer_sha256: str = ""


class Artifact:
    """A complete, immutable artifact. Whatever is read through it has passed its checksum."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self.store = store
        self.manifest = manifest

    @staticmethod
    def open(store: Store, kind: str, id: str) -> "Artifact":
        """Open an artifact.

        Raises:
            NotFoundError: it does not exist, or is not complete.
            DamagedError: its manifest is not readable or says it is another one.
        """
        key = manifest_key(kind, id)
        try:
            data = store.get(key)
        except NotFoundError as error:
            raise NotFoundError(
                f"{store.url} holds no complete artifact {kind}/{id}", "list them with `lenscore artifacts ls`"
            ) from error
        manifest = parse_manifest(data, f"{store.url}/{key}")
        if (manifest.kind, manifest.id) != (kind, id):
            raise DamagedError(
                f"{key} describes {manifest.kind}/{manifest.id}", "restore it from a copy, or make it again"
            )
        return Artifact(store, manifest)

    def __repr__(self) -> str:
        return f"Artifact({self.kind}/{self.id[:12]})"

    @property
    def kind(self) -> str:
        """What it is."""
        return self.manifest.kind

    @property
    def id(self) -> str:
        """64 hexadecimal digits."""
        return self.manifest.id

    @property
    def reference(self) -> Reference:
        """What manifests call it."""
        return self.manifest.reference

    @property
    def prefix(self) -> str:
        """Its folder in the store."""
        return artifact_prefix(self.kind, self.id)

    @cached_property
    def files(self) -> dict[str, FileInfo]:
        """Its files by path. Memory grows with their number (three for each shard of 1024 images)."""
        data = self.store.get(f"{self.prefix}/files.parquet")
        if sha256(data) != self.manifest.files_sha256:
            other = f"{self.prefix}/{other_files_key(self.manifest.files_sha256)}"
            data = self.store.get(other) if self.store.exists(other) else data
        if sha256(data) != self.manifest.files_sha256:
            raise DamagedError(
                f"{self.prefix}/files.parquet fails its checksum", "restore it from a copy, or make it again"
            )
        return {row["path"]: FileInfo(**row) for row in pq.read_table(io.BytesIO(data)).to_pylist()}

    def exists(self, path: str) -> bool:
        """Whether it has such a file."""
        return path in self.files

    def has_table(self, name: str) -> bool:
        """Whether it has such a table."""
        return any(path.startswith(f"{name}/part-") for path in self.files)

    def table(self, name: str) -> Table:
        """Open a table.

        Raises:
            InputError: there is no such table.
        """
        parts = [info for path, info in sorted(self.files.items()) if path.startswith(f"{name}/part-")]
        if not parts:
            tables = sorted({path.split("/part-")[0] for path in self.files if "/part-" in path})
            raise InputError(
                f"{self.kind} {self.id[:12]} has no table {name!r}", f"it has {', '.join(tables) or 'none'}"
            )
        infos = [PartInfo(f"{self.prefix}/{info.key}", info.rows, info.footer_sha256) for info in parts]
        return Table(self.store, name, infos)

    def array(self, path: str) -> StoredArray:
        """Open an array by its path, such as images.zarr/images."""
        self.read_bytes(f"{path}/zarr.json")
        return StoredArray(self.store, f"{self.prefix}/{path}")

    def read_bytes(self, path: str) -> bytes:
        """A whole file.

        Raises:
            InputError: there is no such file.
            DamagedError: it fails its checksum.
        """
        info = self.file(path)
        try:
            data = self.store.get(self.key(path))
        except NotFoundError as error:
            raise DamagedError(f"{self.key(path)} is missing", "restore it from a copy, or make it again") from error
        if sha256(data) != info.sha256:
            raise DamagedError(f"{self.key(path)} fails its checksum", "restore it from a copy, or make it again")
        return data

    def read_json(self, path: str) -> Any:
        """A JSON file."""
        return json.loads(self.read_bytes(path))

    def file(self, path: str) -> FileInfo:
        """What files.parquet says of a file."""
        if path not in self.files:
            raise InputError(
                f"{self.kind} {self.id[:12]} has no file {path!r}", "list its files with `lenscore artifacts show`"
            )
        return self.files[path]

    def key(self, path: str) -> str:
        """Key of a file in the store."""
        return f"{self.prefix}/{self.file(path).key}"

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        """A file as a real path, verified; a copy for the length of the block where the store is S3."""
        with contextlib.ExitStack() as stack:
            copy = None
            if not self.store.is_local:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="lenscore-"))
                copy = Path(folder) / Path(path).name
            self.check(path, copy)
            yield copy or self.store.path(self.key(path))

    def check(self, path: str, copy: Path | None = None) -> None:
        """Read a file piece by piece, compare it with its checksum, and keep a copy if a place for it is given.

        Raises:
            InputError: there is no such file.
            DamagedError: it is missing, or fails its checksum; what was copied is of no use.
        """
        info, key, digest = self.file(path), self.key(path), hashlib.sha256()
        with copy.open("wb") if copy else contextlib.nullcontext() as target:
            try:
                for piece in self.store.chunks(key):
                    digest.update(piece)
                    if target is not None:
                        target.write(piece)
            except NotFoundError as error:
                raise DamagedError(f"{key} is missing", "restore it from a copy, or make it again") from error
        if digest.hexdigest() != info.sha256:
            raise DamagedError(f"{key} fails its checksum", "restore it from a copy, or make it again")


def artifact_prefix(kind: str, id: str) -> str:
    """Folder of an artifact in the store."""
    return f"artifacts/{kind}/{id}"


def other_files_key(digest: str) -> str:
    """Where the table of files lies if another run of the same job stored a different one first."""
    return f"again/{digest[:16]}/files.parquet"


def manifest_key(kind: str, id: str) -> str:
    """Key of an artifact's manifest."""
    return f"{artifact_prefix(kind, id)}/manifest.json"
