"""Histograms fine enough to fit from, of any range, filled in one pass and added together exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DROPPED_BITS = 10
"""Lowest bits of a float32's fraction that a bin ignores: 8192 bins to a factor of 2, each 1.2e-4 wide or less."""
LOWEST, HIGHEST = 2.0**-40, 2.0**24
"""Values outside are not counted in bins, but as `outside`."""
_FIRST = int(np.float32(LOWEST).view(np.int32)) >> DROPPED_BITS
_BINS = (int(np.float32(HIGHEST).view(np.int32)) >> DROPPED_BITS) - _FIRST


@dataclass(frozen=True)
class Histogram:
    """Counts in bins of equal relative width.

    A positive float32's bits, read as an integer, grow with its logarithm (piecewise linearly), so that dropping the
    last ones gives a bin's number without knowing the data's range. Counts are integers: the sum of two histograms is
    exact and does not depend on the order. At most 4 MiB, whatever the data.

    Args:
        first: number of the first bin kept.
        counts: (bins,) int64 from there on, up to the last bin that is not empty.
        outside: values that no bin holds: zero, negative, or beyond LOWEST..HIGHEST.
    """

    first: int
    counts: NDArray[np.int64]
    outside: int = 0

    @classmethod
    def empty(cls) -> Histogram:
        """A histogram of nothing."""
        return cls(0, np.zeros(0, dtype=np.int64))

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> Histogram:
        """Count values.

        Args:
            values: any shape; finite.
        """
        bins = (np.ascontiguousarray(values, dtype=np.float32).view(np.int32).ravel() >> DROPPED_BITS) - _FIRST
        if len(bins) and (bins.min() < 0 or bins.max() >= _BINS):
            bins = bins[(bins >= 0) & (bins < _BINS)]
        if len(bins) == 0:
            return cls(0, np.zeros(0, dtype=np.int64), values.size)
        first = int(bins.min())
        return cls(first, np.bincount(bins - first).astype(np.int64), values.size - len(bins))

    def __add__(self, other: Histogram) -> Histogram:
        outside = self.outside + other.outside
        if len(self.counts) == 0 or len(other.counts) == 0:
            full = self if len(self.counts) else other
            return Histogram(full.first, full.counts, outside)
        first = min(self.first, other.first)
        counts = np.zeros(max(self.last, other.last) - first, dtype=np.int64)
        for part in (self, other):
            counts[part.first - first : part.last - first] += part.counts
        return Histogram(first, counts, outside)

    @property
    def last(self) -> int:
        """Number after the last bin kept."""
        return self.first + len(self.counts)

    @property
    def total(self) -> int:
        """Values in bins."""
        return int(self.counts.sum())

    def edges(self) -> NDArray[np.float64]:
        """(bins + 1,) lower edges of the bins and the upper one of the last."""
        bits = (np.arange(self.first, self.last + 1) + _FIRST).astype(np.int32) << DROPPED_BITS
        return bits.view(np.float32).astype(np.float64)

    def filled(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Centres and counts of the bins that are not empty."""
        edges, full = self.edges(), self.counts > 0
        return ((edges[1:] + edges[:-1]) / 2)[full], self.counts[full]

    def quantiles(self, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Quantiles of the values, to the width of a bin."""
        cumulative = np.concatenate([[0], np.cumsum(self.counts)])
        return np.interp(np.asarray(fractions) * cumulative[-1], cumulative, self.edges())
