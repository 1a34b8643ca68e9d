"""Arrays at rest: Zarr v3, sharded, compressed, with checksums; whole shards are put create-only."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from obstore.exceptions import BaseError
from zarr.abc.store import ByteRequest
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, ZstdCodec
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.metadata import ArrayV3Metadata
from zarr.storage import MemoryStore, ObjectStore

from lenscore.artifacts.store import Store, store_errors
from lenscore.errors import DamagedError, InputError, LensError


@dataclass(frozen=True)
class ArraySpec:
    """An array of rows.

    Args:
        rows: number of rows.
        row_shape: shape of one row.
        dtype: numpy's name of the element type.
        chunk_rows: rows read and decompressed together.
        shard_rows: rows in one stored object; a multiple of chunk_rows.
        level: zstd level.
        fill: fill value (stated only; every chunk is written).
    """

    rows: int
    row_shape: tuple[int, ...]
    dtype: str
    chunk_rows: int
    shard_rows: int
    level: int = 3
    fill: float = 0

    def __post_init__(self) -> None:
        if self.shard_rows % self.chunk_rows:
            raise InputError(
                f"shard_rows = {self.shard_rows} is no multiple of chunk_rows = {self.chunk_rows}", "change one"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole array."""
        return (self.rows, *self.row_shape)

    @property
    def shards(self) -> int:
        """Number of stored objects."""
        return -(-self.rows // self.shard_rows)


def create_array(store: Any, path: str, spec: ArraySpec) -> "zarr.Array[Any]":
    """Create the array in a Zarr store; nothing but its metadata is written."""
    sharding = ShardingCodec(
        chunk_shape=(spec.chunk_rows, *spec.row_shape),
        codecs=[BytesCodec(), ZstdCodec(level=spec.level, checksum=True)],
        index_codecs=[BytesCodec(), Crc32cCodec()],
    )
    array: zarr.Array[Any] = zarr.create(
        store=store,
        path=path,
        shape=spec.shape,
        chunks=(spec.shard_rows, *spec.row_shape),
        dtype=spec.dtype,
        codecs=[sharding],
        fill_value=spec.fill,
        zarr_format=3,
        config={"write_empty_chunks": True},
    )
    return array


def shard_key(path: str, spec: ArraySpec, shard: int) -> str:
    """Key of a shard, relative to the artifact."""
    return "/".join([path, "c", str(shard), *("0" for _ in spec.row_shape)])


def encode_shard(spec: ArraySpec, shard: int, values: NDArray[Any]) -> bytes:
    """The bytes of one shard.

    Args:
        spec: the array's.
        shard: its number.
        values: its rows, complete (the last one may be short), (n, *row_shape).

    Returns:
        What a Zarr writer would store.

    Raises:
        InputError: shape, type or number of rows do not fit the spec.
    """
    expected = min(spec.shard_rows, spec.rows - shard * spec.shard_rows)
    if values.shape != (expected, *spec.row_shape):
        raise InputError(f"shard {shard} got shape {values.shape}", f"hand over {(expected, *spec.row_shape)}")
    if values.dtype != np.dtype(spec.dtype):
        raise InputError(f"shard {shard} got type {values.dtype}", f"convert to {spec.dtype}")
    # An array of this one shard has the same bytes as the shard has in the whole array, but for a short last one,
    # whose missing rows are chunks that are not there, as in the whole array.
    alone = ArraySpec(expected, spec.row_shape, spec.dtype, spec.chunk_rows, spec.shard_rows, spec.level, spec.fill)
    memory = MemoryStore()
    create_array(memory, "a", alone)[:] = values
    return bytes(memory._store_dict[shard_key("a", spec, 0)].to_bytes())


def array_metadata(spec: ArraySpec) -> bytes:
    """The array's zarr.json."""
    memory = MemoryStore()
    create_array(memory, "a", spec)
    return bytes(memory._store_dict["a/zarr.json"].to_bytes())


def group_metadata() -> bytes:
    """A group's zarr.json."""
    return b'{"attributes":{},"zarr_format":3,"node_type":"group"}'


class _CompleteStore(ObjectStore[Any]):
    """A store in which a missing or empty chunk is damage, not zeros."""

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        found = await super().get(key, prototype, byte_range)
        if not found and "/c/" in key:
            raise DamagedError(
                f"{key} is {'missing' if found is None else 'empty'}",
                "run `lenscore artifacts verify`, then make the artifact again",
            )
        return found


class StoredArray:
    """A read-only array of an artifact; damaged or missing bytes raise, they never become numbers."""

    def __init__(self, store: Store, key: str) -> None:
        self.key = key
        self._url = store.url
        with _damage(store.url, key):
            self.zarr: zarr.Array[Any] = zarr.open_array(
                _CompleteStore(store.backend, read_only=True), path=key, mode="r", zarr_format=3
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (N, *row_shape)."""
        return self.zarr.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        return np.dtype(self.zarr.dtype)

    @property
    def shard_rows(self) -> int:
        """Rows in one stored object."""
        shards = self.zarr.shards
        return int(shards[0]) if shards else int(self.zarr.chunks[0])

    @property
    def chunk_rows(self) -> int:
        """Rows decompressed together."""
        return int(self.zarr.chunks[0])

    @property
    def metadata(self) -> ArrayV3Metadata:
        """Zarr's own description."""
        metadata = self.zarr.metadata
        if not isinstance(metadata, ArrayV3Metadata):
            raise DamagedError(f"{self.key} is not Zarr v3", "make the artifact again")
        return metadata

    def __len__(self) -> int:
        return int(self.zarr.shape[0])

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        with _damage(self._url, self.key):
            return np.asarray(self.zarr[selection])

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Rows in any order, repeats allowed."""
        with _damage(self._url, self.key):
            return np.asarray(self.zarr.oindex[rows])


@contextmanager
def _damage(url: str, key: str) -> Iterator[None]:
    """Turn a decoder's complaint into DamagedError, and that of a store that is away into StoreError."""
    try:
        yield
    except (IndexError, LensError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, BaseError | ConnectionError) and "range" not in str(error).lower():
            with store_errors(url, key):
                raise
        why = str(error).partition("\n")[0]
        raise DamagedError(
            f"{key} cannot be read ({type(error).__name__}: {why})",
            "run `lenscore artifacts verify`, then make the artifact again",
        ) from error
