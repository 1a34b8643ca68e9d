"""Exact neighbours within windows of magnitude, over vectors that are sorted by magnitude.

In that order the candidates of an object are one range of positions, and those of a run of objects are one range too,
of which only the rims have to be looked at object by object. So a unit of work reads its range once, in slices.
"""

import bisect
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenscore.artifacts import StoredArray
from lenscore.similarity.topk import NO_ROW, QUERIES, Best, Floats, TopK

SLICE_ROWS = 16384
GPU_QUERIES = 4096
CONVERT_ROWS = 256

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Sorted:
    """Vectors by rising magnitude.

    Args:
        mag: (N,) float32, rising up to `ranked`, NaN beyond.
        order: row of each position, (N,) uint32.
        vectors: (N, D) float16; the cosine is taken of these.
        ranked: number of objects that take part; the others come last.
    """

    mag: "StoredArray | NDArray[np.float32]"
    order: "StoredArray | NDArray[np.uint32]"
    vectors: "StoredArray | NDArray[np.float16]"
    ranked: int

    def unit_vectors(self, start: int, stop: int) -> Floats:
        """Vectors of length one, (stop - start, D) float32."""
        vectors = np.asarray(self.vectors[start:stop])
        result = np.empty(vectors.shape, np.float32)
        for first in range(0, len(vectors), CONVERT_ROWS):  # small pieces stay in the cache
            part = result[first : first + CONVERT_ROWS]
            part[:] = vectors[first : first + CONVERT_ROWS]
            # squares of float16 numbers neither overflow nor vanish in float32
            length = np.sqrt(np.einsum("bd,bd->b", part, part))
            part *= (1 / np.where(length > 0, length, np.float32(1)))[:, None]
        return result

    def first_not_below(self, mag: float) -> int:
        """First position whose magnitude is at least `mag`, found with a few small reads."""
        return bisect.bisect_left(_Magnitudes(self.mag), mag, 0, self.ranked)

    def first_above(self, mag: float) -> int:
        """First position whose magnitude is above `mag`."""
        return bisect.bisect_right(_Magnitudes(self.mag), mag, 0, self.ranked)


class Slice(NamedTuple):
    """Consecutive positions: the first one, (C, D) unit vectors, (C,) row numbers."""

    start: int
    vectors: Floats
    rows: NDArray[np.uint32]

    @property
    def stop(self) -> int:
        """Position after the last one."""
        return self.start + len(self.rows)


def windows(data: Sorted, start: int, stop: int, window_mag: float) -> tuple[Positions, Positions]:
    """The candidates of some objects.

    Args:
        data: sorted vectors.
        start: position of the first object.
        stop: position after the last one, at most `data.ranked`.
        window_mag: candidates differ by at most this much; differences are taken in float64, so they are exact.

    Returns:
        First candidate's position and the position after the last one, of each object, (B,) int64.
    """
    mag = np.asarray(data.mag[start:stop], np.float64)
    first = [data.first_not_below(float(edge) - window_mag) for edge in mag[[0, -1]]]
    last = [data.first_above(float(edge) + window_mag) for edge in mag[[0, -1]]]
    rim = np.asarray(data.mag[first[0] : first[1]], np.float64)
    low = first[0] + np.searchsorted(rim, mag - window_mag, side="left")
    rim = np.asarray(data.mag[last[0] : last[1]], np.float64)
    high = last[0] + np.searchsorted(rim, mag + window_mag, side="right")
    return low, high


def search(
    data: Sorted, start: int, stop: int, k: int, window_mag: float, threads: int = 1, device: str = "cpu"
) -> tuple[Floats, NDArray[np.uint32]]:
    """The k most similar objects of each of a run of objects, exactly.

    Work grows with the run times its window; memory with the run times k (8 (2 k + 2048) bytes an object) and one
    slice a thread, not with the number of objects.

    Args:
        data: sorted vectors.
        start: position of the first object.
        stop: position after the last one.
        k: neighbours wanted.
        window_mag: half-width of the window.
        threads: blocks of queries worked on at a time.
        device: cpu or cuda.

    Returns:
        Similarities (stop - start, k) float32, best first (ties: lower row first), NaN where there are fewer; rows
        (stop - start, k) uint32, NO_ROW there and for objects that take no part.
    """
    similarity = np.full((stop - start, k), np.nan, np.float32)
    rows = np.full((stop - start, k), NO_ROW, np.uint32)
    stop = min(stop, data.ranked)
    if stop <= start:
        return similarity, rows
    blocks = _blocks(data, start, stop, k, window_mag, device)
    begin, end = int(blocks[0].low.min()), int(blocks[-1].high.max())
    with ThreadPoolExecutor(threads) as pool:
        for part in read_slices(data, begin, end):
            list(pool.map(partial(_add, part), blocks))
        for block, (found, names) in zip(blocks, pool.map(lambda item: item.best.result(), blocks), strict=True):
            here = slice(block.start - start, block.start - start + len(found))
            similarity[here], rows[here] = found, names
    return similarity, rows


def read_slices(data: Sorted, start: int, stop: int) -> Iterator[Slice]:
    """Read a range in slices, the next one while this one is worked on."""
    with ThreadPoolExecutor(1) as reader:
        ahead = None
        for first in range(start, stop, SLICE_ROWS):
            part = ahead.result() if ahead else _read(data, first, min(first + SLICE_ROWS, stop))
            after = first + SLICE_ROWS
            ahead = reader.submit(_read, data, after, min(after + SLICE_ROWS, stop)) if after < stop else None
            yield part


@dataclass(frozen=True)
class _Block:
    start: int
    low: Positions
    high: Positions
    best: Best


def _blocks(data: Sorted, start: int, stop: int, k: int, window_mag: float, device: str) -> list[_Block]:
    low, high = windows(data, start, stop, window_mag)
    size = QUERIES if device == "cpu" else GPU_QUERIES
    blocks = []
    for first in range(start, stop, size):
        last = min(first + size, stop)
        part = slice(first - start, last - start)
        own = np.arange(first, last)
        best = make_best(data.unit_vectors(first, last), k, low[part], high[part], own, device)
        blocks.append(_Block(first, low[part], high[part], best))
    return blocks


def make_best(
    queries: Floats, k: int, low: Positions, high: Positions, own: Positions | None = None, device: str = "cpu"
) -> Best:
    """Something that keeps the best candidates of a block of queries on a device."""
    if device == "cpu":
        return TopK(queries, k, low, high, own)
    from lenscore.similarity.topk_torch import TorchTopK

    return TorchTopK(queries, k, low, high, own, device)


def _add(part: Slice, block: _Block) -> None:
    """Hand a block the part of a slice that its windows touch."""
    first = max(part.start, int(block.low[0]))
    last = min(part.stop, int(block.high[-1]))
    if first < last:
        here = slice(first - part.start, last - part.start)
        block.best.add(first, part.vectors[here], part.rows[here])


def _read(data: Sorted, start: int, stop: int) -> Slice:
    return Slice(start, data.unit_vectors(start, stop), np.asarray(data.order[start:stop], np.uint32))


class _Magnitudes:
    """Magnitudes as exact Python floats, for bisection."""

    def __init__(self, mag: Any) -> None:
        self._mag = mag

    def __len__(self) -> int:
        return len(self._mag)

    def __getitem__(self, position: int) -> float:
        return float(self._mag[position])
