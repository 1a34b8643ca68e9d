"""Draws a training set that is as flat in magnitude as the counts allow, and shuffles it at the cost of one read."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# A bin's share is drawn by chance with this many standard deviations to spare, then cut to size.
SPARE_SIGMAS = 8


class Candidates(NamedTuple):
    """Rows that may be drawn, and their magnitudes: rows (B,) int64, mag (B,)."""

    rows: NDArray[np.int64]
    mag: NDArray[np.float64]


class Bins:
    """Magnitude bins counted from the faint end; the brightest bin takes all that is brighter still.

    Args:
        mag_max: faint end, mag.
        width_mag: width of a bin, mag.
        count: number of bins.
    """

    def __init__(self, mag_max: float, width_mag: float, count: int = 256) -> None:
        self.mag_max, self.width_mag, self.count = mag_max, width_mag, count

    def find(self, mag: NDArray[np.float64]) -> NDArray[np.int64]:
        """Bin of each magnitude."""
        return np.clip((self.mag_max - mag) / self.width_mag, 0, self.count - 1).astype(np.int64)


def count_candidates(batches: Iterable[Candidates], bins: Bins) -> NDArray[np.int64]:
    """Count candidates by bin, in one pass."""
    counts = np.zeros(bins.count, dtype=np.int64)
    for batch in batches:
        counts += np.bincount(bins.find(batch.mag), minlength=bins.count)
    return counts


def flat_quotas(counts: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Share a number of rows out among bins, as evenly as the counts allow (paper 3.1: equally in mag_z).

    Args:
        counts: candidates in each bin.
        rows: how many to draw.

    Returns:
        How many to draw from each bin: all of those with too few, the same (to one) from the others.
    """
    rows = min(rows, int(counts.sum()))
    low, high = 0, int(counts.max(initial=0))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(counts, middle).sum() <= rows else (low, middle - 1)
    quotas = np.minimum(counts, low)
    fuller = np.flatnonzero(counts > low)[: rows - int(quotas.sum())]
    quotas[fuller] += 1
    return quotas


def draw_rows(
    batches: Iterable[Candidates], bins: Bins, counts: NDArray[np.int64], quotas: NDArray[np.int64], seed: int
) -> NDArray[np.int64]:
    """Draw rows at random, a fixed number from each bin, in one pass; memory grows with what is drawn only.

    Each row has a random number of its own, so the draw does not depend on how the batches are cut.

    Args:
        batches: candidates, as they were counted.
        bins: magnitude bins.
        counts: candidates in each bin.
        quotas: how many to draw from each bin.
        seed: of the draw.

    Returns:
        Row numbers, in ascending order.
    """
    share = (quotas + SPARE_SIGMAS * np.sqrt(quotas) + SPARE_SIGMAS) / np.maximum(counts, 1)
    kept = [Candidates(np.zeros(0, dtype=np.int64), np.zeros(0))]
    for batch in batches:
        lucky = _uniform(batch.rows, seed) < share[bins.find(batch.mag)]
        kept.append(Candidates(batch.rows[lucky], batch.mag[lucky]))
    rows, mag = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    found = bins.find(mag)
    order = np.lexsort((random_numbers(rows, seed), found))
    first = np.searchsorted(found[order], np.arange(bins.count))
    place = np.arange(len(order)) - first[found[order]]
    return np.sort(rows[order[place < quotas[found[order]]]])


def shuffle_by_chunk(rows: NDArray[np.int64], chunk_rows: int, block_rows: int, seed: int) -> NDArray[np.int64]:
    """Shuffle rows so that those of one stored chunk stay in one block, and each chunk is read once.

    The chunks come in random order, and the rows of each block are shuffled. Only rows of the same chunk (neighbours
    in the catalogue) are bound to each other: they share a block, or the edge between two.

    Args:
        rows: row numbers, distinct.
        chunk_rows: rows of a stored chunk.
        block_rows: rows of a block of the result.
        seed: of the shuffle.

    Returns:
        The rows in their new order.
    """
    by_chunk = rows[np.lexsort((rows, random_numbers(rows // chunk_rows, seed)))]
    block = np.arange(len(rows)) // block_rows
    return by_chunk[np.lexsort((random_numbers(by_chunk, seed + 1), block))]


def random_numbers(numbers: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """A random 64-bit number for each number and seed: splitmix64 (Steele et al. 2014), without collisions."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        start = _mix((np.array([seed], dtype=np.int64).astype(np.uint64) + np.uint64(1)) * golden)
        return _mix(start + (numbers.astype(np.uint64) + np.uint64(1)) * golden)


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _uniform(rows: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    return (random_numbers(rows, seed) >> np.uint64(11)).astype(np.float64) * 2.0**-53
