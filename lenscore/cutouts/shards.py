"""Reads chunks of a sharded Zarr v3 array by their byte ranges, with every checksum verified.

A shard is its chunks, each a zstd frame with a checksum, and at its end an index of (offset, length) pairs with a crc32c.
Reading these ranges directly saves Zarr's work per chunk; the files stay plain Zarr.
"""

import struct
import threading
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import zstd  # type: ignore[import-untyped]
from numpy.typing import NDArray

from lenscore.artifacts import Artifact
from lenscore.errors import DamagedError, NotFoundError, StoreError

REMEDY = "run `lenscore artifacts verify`, then make the artifact again"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_HAS_CHECKSUM = 0x04
INDEX_ENTRY_BYTES = 16
CRC_BYTES = 4
MAX_INDEXES = 131_072
LOCKS = 64


class ShardReader:
    """One array of an artifact.

    Memory: the indexes of the shards touched, 1 KB each for 64 chunks (75 MB for 76 M images).

    Args:
        artifact: which.
        path: the array's, such as images.zarr/images.

    Raises:
        DamagedError: the array is not laid out as this package writes it.
    """

    def __init__(self, artifact: Artifact, path: str) -> None:
        self._artifact, self.path = artifact, path
        metadata = artifact.read_json(f"{path}/zarr.json")
        try:
            sharding = metadata["codecs"][0]["configuration"]
            self.shape: tuple[int, ...] = tuple(metadata["shape"])
            self.dtype = np.dtype(metadata["data_type"])
            self.shard_rows = int(metadata["chunk_grid"]["configuration"]["chunk_shape"][0])
            self.chunk_shape: tuple[int, ...] = tuple(sharding["chunk_shape"])
            layout = ([codec["name"] for codec in sharding["codecs"]], sharding["index_location"])
        except (KeyError, IndexError, TypeError) as error:
            raise DamagedError(f"{path} is not sharded Zarr v3", REMEDY) from error
        if layout != (["bytes", "zstd"], "end"):
            raise DamagedError(f"{path} is stored with {layout}", "read it with zarr, or make the artifact again")
        self.chunk_rows = self.chunk_shape[0]
        self._chunks = self.shard_rows // self.chunk_rows
        self._indexes: dict[int, NDArray[np.uint64]] = {}
        self._local = threading.local()
        self._locks = [threading.Lock() for _ in range(LOCKS)]

    def fetch(self, chunk: int) -> memoryview:
        """Read the stored bytes of a chunk; they may be overwritten by the next call in the same thread.

        Raises:
            DamagedError: the shard is missing, or its index is not what was written.
            StoreError: the store is away.
        """
        shard, inner = divmod(chunk, self._chunks)
        offset, length = (int(value) for value in self._index(shard)[inner])
        return self._range(shard, offset, length)

    def decode(self, data: memoryview, out: NDArray[Any]) -> None:
        """Decode a chunk.

        Args:
            data: its stored bytes.
            out: receives its values, of shape `chunk_shape`, contiguous.

        Raises:
            DamagedError: the bytes are not those that were written.
        """
        if len(data) < 5 or data[:4] != ZSTD_MAGIC or not data[4] & ZSTD_HAS_CHECKSUM:
            raise DamagedError(f"a chunk of {self.path} is no checksummed zstd frame", REMEDY)
        try:
            zstd.decompress(data, out)
        except (RuntimeError, ValueError) as error:
            raise DamagedError(f"a chunk of {self.path} fails its checksum ({error})", REMEDY) from error

    def read(self, chunk: int) -> NDArray[Any]:
        """Fetch and decode a chunk."""
        out = np.empty(self.chunk_shape, dtype=self.dtype)
        self.decode(self.fetch(chunk), out)
        return out

    def _index(self, shard: int) -> NDArray[np.uint64]:
        found = self._indexes.get(shard)
        if found is not None:
            return found
        # One lock for several shards: many threads often want the same index at once, and one request is enough.
        with self._locks[shard % LOCKS]:
            if shard not in self._indexes:
                if len(self._indexes) >= MAX_INDEXES:
                    self._indexes.clear()
                self._indexes[shard] = index = self._read_index(shard)
                return index
            return self._indexes[shard]

    def _read_index(self, shard: int) -> NDArray[np.uint64]:
        length = self._chunks * INDEX_ENTRY_BYTES + CRC_BYTES
        end = self._size(shard) - length
        data = bytes(self._range(shard, end, length)) if end >= 0 else b""
        if len(data) != length or struct.unpack("<I", data[-CRC_BYTES:])[0] != google_crc32c.value(data[:-CRC_BYTES]):
            raise DamagedError(f"the index of shard {shard} of {self.path} fails its checksum", REMEDY)
        return np.frombuffer(data[:-CRC_BYTES], dtype="<u8").reshape(-1, 2)

    def _name(self, shard: int) -> str:
        return "/".join([self.path, "c", str(shard), *("0" for _ in self.shape[1:])])

    def _size(self, shard: int) -> int:
        return self._artifact.file(self._name(shard)).size

    def _range(self, shard: int, offset: int, length: int) -> memoryview:
        if offset + length > self._size(shard):
            raise DamagedError(f"shard {shard} of {self.path} lacks a chunk", REMEDY)
        key = self._artifact.key(self._name(shard))
        try:
            data = self._read(key, offset, length)
        except (NotFoundError, FileNotFoundError) as error:
            raise DamagedError(f"{key} is missing", REMEDY) from error
        except OSError as error:
            raise StoreError(f"cannot read {key}: {error.strerror}", "check the disk and run again") from error
        if len(data) != length:
            raise DamagedError(f"{key} is cut short", REMEDY)
        return data

    def _read(self, key: str, offset: int, length: int) -> memoryview:
        store = self._artifact.store
        if not store.is_local:
            return store.get_ranges(key, [offset], [length])[0]
        # Half the cost of the general way, for a folder: no new memory, whose pages would have to be faulted in.
        with open(store.path(key), "rb", buffering=0) as file:
            file.seek(offset)
            buffer = self._memory(length)
            return buffer[: file.readinto(buffer)]

    def _memory(self, length: int) -> memoryview:
        buffer: bytearray = getattr(self._local, "buffer", bytearray())
        if len(buffer) < length:
            self._local.buffer = buffer = bytearray(length + length // 4)
        return memoryview(buffer)[:length]
