"""Whether a release looks like what the models were trained on: distributions held against those of training.

The statistic is the population stability index, sum (q - p) ln(q / p) over bins that hold equal shares of training
(Kullback's symmetric divergence; Siddiqi 2006, "Credit Risk Scorecards", reads more than 0.25 as a large shift). Two
samples of one distribution have an index of about chi2(bins - 1) (1/n + 1/m) (Yurdakul 2018), so a quantity is far
only if it also exceeds that by chance less than once in `1 / alpha` checks of all quantities together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenscore.errors import InputError

Values = NDArray[np.floating[Any]]
UNITS = {"psfsize": "arcsec", "psfdepth": "1/nmgy^2", "ebv": "mag", "embedding": ""}


@dataclass(frozen=True)
class Limits:
    """What counts as far.

    Args:
        bins: of equal shares of training.
        far: index above which a quantity is far.
        alpha: chance that samples of one distribution are called far, over all quantities.
    """

    bins: int = 10
    far: float = 0.25
    alpha: float = 1e-3


@dataclass(frozen=True)
class Shift:
    """A quantity's distribution in a release, held against training."""

    quantity: str
    part: str
    rows_training: int
    rows_found: int
    median_training: float
    median_found: float
    index: float
    limit: float

    @property
    def far(self) -> bool:
        """Whether it is too far from training."""
        return self.index > self.limit

    @property
    def says(self) -> str:
        """One line for people."""
        unit = f" {UNITS.get(self.quantity, '')}".rstrip()
        return (
            f"{self.quantity} {self.part} (index {self.index:.2f}, limit {self.limit:.2f}; "
            f"median {self.median_training:.3g} in training, {self.median_found:.3g}{unit} now)"
        )

    def row(self) -> dict[str, Any]:
        """As a row of a table."""
        return {**asdict(self), "far": self.far}


def stability_index(training: Values, found: Values, bins: int) -> float:
    """Population stability index of two samples, half a count added to each bin.

    Args:
        training: (n,) values; their quantiles are the bins' edges.
        found: (m,) values.
        bins: number of bins.

    Raises:
        InputError: a sample is empty.
    """
    if not len(training) or not len(found):
        raise InputError(f"{len(training)} values of training and {len(found)} found", "give both samples")
    # Values that many rows share (E(B-V) of a brick, say) can make edges coincide: one bin then.
    edges = np.unique(np.quantile(training, np.linspace(0, 1, bins + 1)[1:-1]))
    shares = []
    for values in (training, found):
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1) + 0.5
        shares.append(counts / counts.sum())
    p, q = shares
    return float(np.sum((q - p) * np.log(q / p)))


def index_limit(rows_training: int, rows_found: int, quantities: int, limits: Limits) -> float:
    """Index above which a quantity is far: the larger of `limits.far` and what chance gives."""
    from scipy.stats import chi2

    chance = chi2.isf(limits.alpha / quantities, limits.bins - 1) * (1 / rows_training + 1 / rows_found)
    return float(max(limits.far, chance))


def compare(
    training: Mapping[tuple[str, str], Values], found: Mapping[tuple[str, str], Values], limits: Limits
) -> list[Shift]:
    """Hold samples against training.

    Args:
        training: (n,) finite values by (quantity, part), such as ("psfsize", "g").
        found: likewise, (m,).
        limits: what counts as far.

    Returns:
        A shift for each quantity that both have, the largest first.

    Raises:
        InputError: they have none in common, or one is empty.
    """
    common = [key for key in training if key in found]
    if not common:
        raise InputError("the releases share no quantity", "give catalogues of the same bands")
    shifts = []
    for quantity, part in common:
        old, new = training[quantity, part], found[quantity, part]
        index = stability_index(old, new, limits.bins)
        limit = index_limit(len(old), len(new), len(common), limits)
        medians = float(np.median(old)), float(np.median(new))
        shifts.append(Shift(quantity, part, len(old), len(new), *medians, index, limit))
    return sorted(shifts, key=lambda shift: -shift.index)


@dataclass(frozen=True)
class Directions:
    """Leading principal components of training's embeddings: mean (D,) and axes (D, K)."""

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]

    @staticmethod
    def of(vectors: Values, components: int) -> "Directions":
        """Fit them to (N, D) vectors."""
        centred = np.asarray(vectors, np.float32)
        mean = centred.mean(axis=0)
        centred = centred - mean
        _, axes = np.linalg.eigh(centred.T @ centred)  # in ascending order
        return Directions(mean, np.ascontiguousarray(axes[:, ::-1][:, :components]))

    def measure(self, vectors: Values) -> Iterator[tuple[tuple[str, str], Values]]:
        """Coordinates of (N, D) vectors along each component, and how far they lie outside of all."""
        centred = np.asarray(vectors, np.float32) - self.mean
        along = centred @ self.axes
        for number in range(along.shape[1]):
            yield ("embedding", f"component {number + 1}"), along[:, number]
        rest = np.sum(centred**2, axis=1) - np.sum(along**2, axis=1)
        yield ("embedding", "outside the components"), np.sqrt(np.maximum(rest, 0))


def spread_blocks(rows: int, wanted: int, block: int) -> Sequence[range]:
    """Blocks of consecutive rows, evenly spread, that hold about as many rows as wanted, or all there are."""
    if rows <= wanted:
        return [range(start, min(start + block, rows)) for start in range(0, rows, block)]
    size = min(block, wanted)
    starts = np.linspace(0, rows - size, wanted // size).astype(int)
    return [range(int(start), int(start) + size) for start in starts]
