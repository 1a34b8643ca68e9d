"""Features of many objects: where they are held, and walking over them in blocks with read-ahead."""

import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lenscore.cutouts.shards import ShardReader
from lenscore.errors import InputError
from lenscore.similarity import Embeddings

Ints = NDArray[np.int64]
Half = NDArray[np.float16]

BLOCK_BYTES = 16 << 20
READERS = 4
MEMORY_SHARE = 0.7


class Rows(Protocol):
    """Feature vectors that can be read by consecutive numbers."""

    rows: int
    dimension: int

    def read(self, start: int, stop: int) -> Half:
        """Rows start to stop, (stop - start, D) float16."""
        ...


class Features(Rows, Protocol):
    """Feature vectors of a whole release."""

    widths: tuple[int, ...]

    def take(self, rows: Ints) -> Half:
        """Any rows, in the order asked for."""
        ...


class HeldRows:
    """Rows in memory, or in a file mapped into it."""

    def __init__(self, values: Half) -> None:
        self.values = values
        self.rows, self.dimension = values.shape

    def read(self, start: int, stop: int) -> Half:
        """Rows start to stop; a view."""
        return self.values[start:stop]


class StoreVectors:
    """Consecutive rows of one embeddings artifact, chunk by chunk without Zarr's work for each; threads may share it."""

    def __init__(self, embeddings: Embeddings) -> None:
        self._shards = ShardReader(embeddings.artifact, "embeddings.zarr/embeddings")
        self.dimension = embeddings.dimension

    def read(self, start: int, stop: int) -> Half:
        """Rows start to stop, (stop - start, D) float16."""
        size, out = self._shards.chunk_rows, np.empty((stop - start, self.dimension), np.float16)
        for chunk in range(start // size, -(-stop // size)):
            first, last = max(start, chunk * size), min(stop, (chunk + 1) * size)
            if last - first == size:
                self._shards.decode(self._shards.fetch(chunk), out[first - start : last - start])
            else:
                out[first - start : last - start] = self._shards.read(chunk)[first - chunk * size : last - chunk * size]
        return out


class SideBySide:
    """Several encoders' embeddings of the same objects as one long vector each.

    Args:
        embeddings: readers of embeddings of the same cutouts, row for row.

    Raises:
        InputError: none, or they differ in rows or in what they were made from.
    """

    def __init__(self, embeddings: Sequence[Embeddings]) -> None:
        if not embeddings:
            raise InputError("no embeddings were handed over", "give --input embeddings=embeddings/ID")
        made_from = [(reader.rows, reader.info.get("cutouts")) for reader in embeddings]
        if len(set(made_from)) > 1:
            raise InputError(f"embeddings of different cutouts were put side by side: {made_from}", "embed one release")
        self.readers = tuple(embeddings)
        self._vectors = [StoreVectors(reader) for reader in embeddings]
        self.rows = embeddings[0].rows
        self.widths = tuple(reader.dimension for reader in embeddings)
        self.dimension = sum(self.widths)
        self.encoders = tuple(str(reader.info["model"]) for reader in embeddings)

    def read(self, start: int, stop: int) -> Half:
        """Rows start to stop of all encoders, (stop - start, D) float16."""
        parts = [vectors.read(start, stop) for vectors in self._vectors]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def take(self, rows: Ints) -> Half:
        """Any rows, in the order asked for."""
        return np.concatenate([reader.take(rows) for reader in self.readers], axis=1)

    def valid(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Whether every encoder has the row, (stop - start,)."""
        return np.logical_and.reduce([reader.valid(start, stop) for reader in self.readers])

    def ls_id(self, start: int, stop: int) -> Ints:
        """Identities, (stop - start,)."""
        return self.readers[0].ls_id(start, stop)

    def objects(self, block_rows: int = 1 << 20) -> Iterator[tuple[int, Ints, NDArray[np.bool_]]]:
        """Walk over identities: (first row, ls_id, valid)."""
        for start in range(0, self.rows, block_rows):
            stop = min(self.rows, start + block_rows)
            yield start, self.ls_id(start, stop), self.valid(start, stop)


class TakenRows:
    """Chosen rows of a store, read anew whenever they are asked for."""

    def __init__(self, features: Features, chosen: Ints) -> None:
        self.features, self.chosen = features, chosen
        self.rows, self.dimension = len(chosen), features.dimension

    def read(self, start: int, stop: int) -> Half:
        """Rows start to stop of those chosen."""
        return self.features.take(self.chosen[start:stop])


def block_rows(dimension: int) -> int:
    """Rows of a block of about BLOCK_BYTES of float16; a power of two, so that work is cut alike everywhere."""
    return 1 << max(10, (BLOCK_BYTES // (2 * dimension)).bit_length() - 1)


def read_blocks(features: Rows, stop: int | None = None) -> Iterator[tuple[int, Half]]:
    """Walk over rows 0 to stop; the next blocks are read while this one is worked on.

    Args:
        features: what to read.
        stop: row after the last; all if none.

    Yields:
        (first row, (n, D) float16), views where the rows are held in memory.
    """
    stop = features.rows if stop is None else stop
    size = block_rows(features.dimension)
    spans = [(start, min(stop, start + size)) for start in range(0, stop, size)]
    with ThreadPoolExecutor(READERS) as pool:
        ahead = deque(pool.submit(_read, features, span) for span in spans[:READERS])
        for number, (start, _) in enumerate(spans):
            block = ahead.popleft().result()
            ahead.extend(pool.submit(_read, features, span) for span in spans[number + READERS : number + READERS + 1])
            yield start, block


def hold(features: Features, sets: Sequence[Ints], memory_gib: float, scratch: Path) -> tuple[list[Rows], list[str]]:
    """Bring chosen rows close: into memory while they fit, else into packed files, else leave them in the store.

    One sweep over the store. A draw of one object in ten, left in the store, would be read ten times over at every
    step of a fit; packed in a file it is read as it is.

    Args:
        features: the store's rows.
        sets: numbers of the rows wanted, each set in its own order, (n,) int64; the first ones matter most.
        memory_gib: memory that may be filled.
        scratch: a folder on a local disk, to be removed after use.

    Returns:
        (for each set its rows in the order asked for, and where they are: "memory", "file" or "store").
    """
    memory, disk = MEMORY_SHARE * memory_gib * 2**30, 0.9 * shutil.disk_usage(scratch).free
    held: list[Rows] = []
    places, arrays = [], []
    for number, rows in enumerate(sets):
        shape = (len(rows), features.dimension)
        size = 2 * shape[0] * shape[1]
        if size <= memory:
            memory, place, array = memory - size, "memory", np.empty(shape, np.float16)
        elif size <= disk:
            path = scratch / f"rows-{number}.npy"
            disk, place, array = disk - size, "file", np.lib.format.open_memmap(path, "w+", np.float16, shape)
        else:
            place, array = "store", None
        held.append(TakenRows(features, rows) if array is None else HeldRows(array))
        places.append(place)
        arrays.append(array)
    _gather(features, sets, arrays)
    return held, places


def _gather(features: Features, sets: Sequence[Ints], arrays: Sequence[Half | None]) -> None:
    wanted = [(array, *_rising(rows)) for rows, array in zip(sets, arrays, strict=True) if array is not None]
    if not wanted:
        return
    for start, block in read_blocks(features):
        for array, rows, places in wanted:
            first, last = np.searchsorted(rows, [start, start + len(block)])
            array[places[first:last]] = block[rows[first:last] - start]


def _rising(rows: Ints) -> tuple[Ints, Ints]:
    places = np.argsort(rows, kind="stable")
    return rows[places], places


def _read(features: Rows, span: tuple[int, int]) -> Half:
    return features.read(*span)
