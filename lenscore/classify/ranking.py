"""Figures of merit of a ranked search, all taken from how many nonlenses stand above each lens."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenscore.errors import InputError

Statistic = Callable[["Ranking"], float]


@dataclass(frozen=True)
class Ranking:
    """Lenses in a list sorted by score.

    Args:
        above: for each lens, best first, the nonlenses that score at least as high (L,) int64.
        nonlenses: nonlenses in the list.
    """

    above: NDArray[np.int64]
    nonlenses: int

    @property
    def lenses(self) -> int:
        """Lenses in the list."""
        return len(self.above)

    @property
    def size(self) -> int:
        """Length of the list."""
        return self.lenses + self.nonlenses

    @property
    def ranks(self) -> NDArray[np.int64]:
        """Place of each lens in the list, from 1; a nonlens of equal score stands before it."""
        return self.above + np.arange(1, self.lenses + 1)

    def found(self, top: int) -> int:
        """Lenses among the first `top`."""
        return int(np.searchsorted(self.ranks, top, side="right"))

    def precision(self, top: int) -> float:
        """Share of lenses among the first `top` (paper Eq. 2)."""
        return self.found(top) / max(1, min(top, self.size))

    def recall(self, top: int) -> float:
        """Share of all lenses that is among the first `top`."""
        return self.found(top) / self.lenses if self.lenses else np.nan

    def enrichment(self, top: int) -> float:
        """Precision among the first `top` over that of a random list."""
        return self.precision(top) * self.size / self.lenses if self.lenses else np.nan

    def average_precision(self) -> float:
        """Mean, over lenses, of the precision at each one's place."""
        return float(np.mean(np.arange(1, self.lenses + 1) / self.ranks)) if self.lenses else np.nan

    def roc_area(self) -> float:
        """Probability that a lens scores above a nonlens."""
        return float(1 - np.mean(self.above) / self.nonlenses) if self.lenses and self.nonlenses else np.nan

    def roc(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The ROC curve.

        Returns:
            (false positive rate, true positive rate), each (L + 1,), at every lens.
        """
        false = np.concatenate([[0], self.above]) / max(1, self.nonlenses)
        return false, np.arange(self.lenses + 1) / max(1, self.lenses)

    def resampled(self, lenses: NDArray[np.int64]) -> "Ranking":
        """The list with these of its lenses (numbers, repeats allowed)."""
        return Ranking(np.sort(self.above[lenses]), self.nonlenses)


def rank(scores: NDArray[np.floating], is_lens: NDArray[np.bool_]) -> Ranking:
    """Sort a list.

    Args:
        scores: (N,); NaN is not in the list.
        is_lens: (N,).

    Returns:
        Its Ranking.
    """
    lens_scores = np.sort(scores[is_lens & ~np.isnan(scores)])[::-1]
    others = np.sort(scores[~is_lens & ~np.isnan(scores)])
    return Ranking(len(others) - np.searchsorted(others, lens_scores, side="left"), len(others))


def bootstrap(
    ranking: Ranking, statistic: Statistic, draws: int = 1000, seed: int = 0, interval: float = 0.68
) -> tuple[float, float, float]:
    """A figure of merit with its error.

    Lenses are drawn anew; nonlenses, thousands of times more, are held fixed.

    Args:
        ranking: the list.
        statistic: what to take of it.
        draws: number of bootstrap lists.
        seed: of the draws.
        interval: central probability between low and high.

    Returns:
        (value, low, high).

    Raises:
        InputError: no lens is in the list.
    """
    if not ranking.lenses:
        raise InputError(
            "there is no lens to take an error bar from", "give more labels or a larger share to this part"
        )
    random = np.random.default_rng(seed)
    picks = random.integers(ranking.lenses, size=(draws, ranking.lenses))
    values = [statistic(ranking.resampled(pick)) for pick in picks]
    low, high = np.quantile(values, [0.5 - interval / 2, 0.5 + interval / 2])
    return statistic(ranking), float(low), float(high)


def recall_by(
    quantity: NDArray[np.floating], found: NDArray[np.bool_], edges: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Recall in bins of a property of the lenses, such as arc magnitude or Einstein radius.

    Args:
        quantity: the property (L,).
        found: whether each lens is among those inspected (L,).
        edges: rising bin edges (B + 1,).

    Returns:
        (lenses, found lenses), each (B,).
    """
    return np.histogram(quantity, edges)[0], np.histogram(quantity[found], edges)[0]
