"""The k best of many candidates for a block of queries, handed over in slices: exact, and the same in any order of slices.

A candidate and its similarity are packed into one int64 (similarity first, then its row number), so that the smallest
keys are the best candidates, ties go to the lower row, and merging two slices is a partition of integers. faiss keeps
a heap per query instead, which knows neither windows nor an order of ties.
"""

import threading
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Keys = NDArray[np.int64]

NO_ROW = 0xFFFFFFFF
EMPTY = np.iinfo(np.int64).max
# Queries of a block; candidates multiplied at a time, until there is a floor; and candidates picked from at a time (so
# many fit the buffer), which is also how many are multiplied at a time once there is a floor. Chosen by measurement; see
# benchmarks/bench_neighbours.py for how this stands against faiss.
QUERIES = 512
TILE = 16384
PICK = 2048
LOWEST = np.finfo(np.float32).min


class Best(Protocol):
    """The best candidates of a block of queries: on the CPU `TopK`, on a GPU `TorchTopK`."""

    def add(self, start: int, candidates: Floats, rows: NDArray[np.uint32]) -> None:
        """Take a slice of candidates: the first one's position, (C, D) unit vectors, (C,) row numbers."""

    def result(self) -> tuple[Floats, NDArray[np.uint32]]:
        """Similarities (n, k), best first, and row numbers (n, k)."""


def pack(similarity: Floats, rows: NDArray[np.uint32]) -> Keys:
    """Keys that sort by falling similarity, then by rising row (0 to 2^32 - 2)."""
    bits = (similarity + np.float32(0)).view(np.int32)  # + 0 turns -0.0 into 0.0, which is a tie
    # Negative floats sort backwards as integers, so only the others are inverted; the largest gets the smallest key.
    falling = bits ^ (~(bits >> 31) | np.int32(-(2**31)))
    return (falling.astype(np.int64) << 32) | rows


def unpack(keys: Keys) -> tuple[Floats, NDArray[np.uint32]]:
    """Similarity and row of each key; NaN and NO_ROW where there is none."""
    rising = ~(keys >> 32).astype(np.int32)
    bits = np.where(rising < 0, rising ^ np.int32(0x7FFFFFFF), rising)
    none = keys == EMPTY
    similarity = np.where(none, np.float32(np.nan), bits.view(np.float32))
    return similarity, np.where(none, NO_ROW, keys & NO_ROW).astype(np.uint32)


class TopK:
    """The k best candidates of each query of a block, on the CPU.

    Similarities below the k-th best so far (the floor) are dropped by one comparison; the survivors wait in a buffer,
    which is cut back to the best k when it holds 2 k. Memory: 8 (2 k + PICK) bytes a query,
    and one tile of similarities while a slice is taken.

    Args:
        queries: (n, D) float32 unit vectors.
        k: how many to keep.
        low: first position allowed for each query, (n,) int64.
        high: position after the last one allowed, (n,) int64.
        own: each query's own position, which is no neighbour of itself, (n,) int64; None if it has none.
    """

    def __init__(
        self,
        queries: Floats,
        k: int,
        low: NDArray[np.int64],
        high: NDArray[np.int64],
        own: NDArray[np.int64] | None = None,
    ) -> None:
        self.queries, self.k, self.low, self.high, self.own = queries, k, low, high, own
        self._buffer = np.full((len(queries), 2 * k + PICK), EMPTY, np.int64)
        self._filled = np.full(len(queries), k, np.int64)
        self._floor = np.full(len(queries), LOWEST, np.float32)

    def add(self, start: int, candidates: Floats, rows: NDArray[np.uint32]) -> None:
        """Take a slice of candidates.

        Args:
            start: position of the first one.
            candidates: (C, D) float32 unit vectors.
            rows: their row numbers, (C,).
        """
        first = 0
        while first < len(candidates):
            # A floor is found on a wide tile; after that a narrow one, which stays in the cache, is faster.
            last = first + (TILE if (self._floor == LOWEST).any() else PICK)
            self._add_tile(start + first, candidates[first:last], rows[first:last])
            first = last

    def result(self) -> tuple[Floats, NDArray[np.uint32]]:
        """The best so far.

        Returns:
            Similarities (n, k) float32, best first, NaN where there are fewer; rows (n, k), NO_ROW there.
        """
        self._cut()
        return unpack(np.sort(self._buffer[:, : self.k], axis=1))

    def _add_tile(self, start: int, candidates: Floats, rows: NDArray[np.uint32]) -> None:
        tile = _tile(len(self.queries), len(candidates))
        np.matmul(self.queries, candidates.T, out=tile)
        self._mask(tile, start)
        if (self._floor == LOWEST).any():
            self._raise_floor(tile)
        for left in range(0, tile.shape[1], PICK):
            self._take(tile, left, rows[left : left + PICK])

    def _mask(self, tile: Floats, start: int) -> None:
        """Set similarities outside the windows, and of queries with themselves, to -inf: at the rims only."""
        stop = start + tile.shape[1]
        for first, last in ((start, min(stop, int(self.low.max()))), (max(start, int(self.high.min())), stop)):
            if first < last:
                position = np.arange(first, last)
                outside = (position < self.low[:, None]) | (position >= self.high[:, None])
                tile[:, first - start : last - start][outside] = -np.inf
        if self.own is not None:
            here = np.flatnonzero((self.own >= start) & (self.own < stop))
            tile[here, self.own[here] - start] = -np.inf

    def _raise_floor(self, tile: Floats) -> None:
        """Find a floor that k of the tile pass: guessed from a part of its columns, checked on all of them."""
        width = tile.shape[1]
        if width <= self.k:
            return
        step = max(1, width // PICK)
        share = self.k / step
        rank = self.k if step == 1 else int(share + 3 * share**0.5 + 2)
        part = tile[:, ::step]
        guess = _largest(part, min(rank, part.shape[1]))
        enough = np.count_nonzero(tile >= guess[:, None], axis=1) >= self.k
        guess[~enough] = _largest(tile[~enough], self.k)
        np.maximum(self._floor, guess, out=self._floor)

    def _take(self, tile: Floats, left: int, rows: NDArray[np.uint32]) -> None:
        """Put what passes the floor, of the columns from `left` on that have these rows, into the buffer."""
        width, room, queries = len(rows), self._buffer.shape[1], np.arange(len(tile))
        # ">=": an equal similarity may still win by its lower row.
        chosen = np.flatnonzero(tile[:, left : left + width] >= self._floor[:, None])
        ends = np.searchsorted(chosen, np.arange(len(tile) + 1) * width)
        counts = np.diff(ends)
        query = np.repeat(queries, counts)
        column = chosen - query * width
        similarity = tile.reshape(-1).take(query * tile.shape[1] + left + column)
        slot = np.arange(len(chosen)) + (self._filled - ends[:-1] + queries * room).take(query)
        self._buffer.reshape(-1)[slot] = pack(similarity, rows.take(column))
        self._filled += counts
        if self._filled.max() > 2 * self.k:
            self._cut()

    def _cut(self) -> None:
        """Keep the best k of each query, and raise the floor to the k-th."""
        used = self._buffer[:, : self._filled.max()]
        if used.shape[1] > self.k:
            used.partition(self.k - 1, axis=1)
            used[:, self.k :] = EMPTY
        last = unpack(used[:, self.k - 1])[0]
        np.fmax(self._floor, last, out=self._floor)
        self._filled[:] = self.k


_memory = threading.local()


def _tile(queries: int, width: int) -> Floats:
    """Memory for a tile of similarities, the same for all tiles of a thread: fresh pages cost as much as picking."""
    flat = getattr(_memory, "flat", None)
    if flat is None or flat.size < queries * width:
        flat = _memory.flat = np.empty(queries * width, np.float32)
    return np.asarray(flat[: queries * width].reshape(queries, width))


def _largest(tile: Floats, rank: int) -> Floats:
    """The rank-th largest of each row, (n,)."""
    place = tile.shape[1] - rank
    return np.partition(tile, place, axis=1)[:, place]
