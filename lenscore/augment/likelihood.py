"""The local maximum of the three-parameter lognormal likelihood, from a histogram.

For a given loc the best scale and shape are the mean and standard deviation of ln(x - loc), so that the likelihood is a
function of loc alone. It has no highest value: as loc approaches the smallest x, the density at that x, and with it the
likelihood, grows without limit, for a distribution that describes one row and none of the others. What scipy's fit
finds, and what is meant, is the local maximum below. It is looked for with loc = xmin - d, over d from far above the
spread of the data down to a small part of it; a maximum only counts if the likelihood falls on both of its sides, which
leaves out the rise towards d = 0.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import ndtri

from lenscore.augment.fits import Lognormal
from lenscore.augment.histogram import Histogram
from lenscore.errors import InputError

MIN_ROWS = 30
"""Fewer rows do not determine three parameters."""
DISTANCES = np.geomspace(1e-9, 1e4, 261)
"""Tried distances of loc below the smallest value, in units of the data's spread."""

GROUPS_PER_FOLD = 100
"""Groups of bins to a factor of e in x - xmin, while the maximum is searched for."""


@dataclass(frozen=True)
class FittedLognormal:
    """A fit, and how good it is.

    Args:
        lognormal: the parameters.
        rows: values that were fitted.
        outside: values that could not be: zero, negative or beyond all bounds.
        local_maximum: False where the likelihood has none. Data that lean to the left then get the nearly normal
            distribution of their mean and spread, data that pile up at their smallest value get loc = 0.
        largest_quantile_error: largest difference between a quantile (1-99 %) of the fit and of the data, over the
            data's median.
    """

    lognormal: Lognormal
    rows: int
    outside: int
    local_maximum: bool
    largest_quantile_error: float


def fit_lognormal(histogram: Histogram, what: str) -> FittedLognormal:
    """Fit a shifted lognormal.

    Args:
        histogram: of the values.
        what: name of the quantity, for messages.

    Returns:
        The local maximum of the likelihood, and its quality.

    Raises:
        InputError: too few values, or all alike.
    """
    if histogram.total < MIN_ROWS:
        raise InputError(
            f"{histogram.total} usable rows to fit {what}, at least {MIN_ROWS} are needed",
            "give more rows, or loosen the selection (mag_limit, measured)",
        )
    centres, counts = histogram.filled()
    spread = float(np.subtract(*histogram.quantiles(np.array([0.84, 0.16])))) / 2
    if len(centres) < 3 or spread <= 0:
        raise InputError(
            f"all {histogram.total} values of {what} are about {centres[0]:.6g}", "give real, varying values"
        )
    loc, local = _best_loc(centres, counts, spread)
    lognormal = _at(loc, centres, counts)
    return FittedLognormal(
        lognormal, histogram.total, histogram.outside, local, _largest_quantile_error(lognormal, histogram)
    )


def lognormal_quantiles(lognormal: Lognormal, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles of a shifted lognormal."""
    return np.asarray(lognormal.loc + lognormal.scale * np.exp(lognormal.shape * ndtri(fractions)))


def _best_loc(centres: NDArray[np.float64], counts: NDArray[np.int64], spread: float) -> tuple[float, bool]:
    smallest, grid = centres[0], np.log(DISTANCES)
    groups = _grouped(centres, counts)
    costs = np.array([_cost(smallest - spread * distance, *groups) for distance in DISTANCES])
    inner = np.arange(2, len(grid) - 2)
    lowest = inner[(costs[inner] < costs[inner - 1]) & (costs[inner] <= costs[inner + 1])]
    if len(lowest) == 0 and costs[-1] < costs[-2]:  # better all the way to a normal distribution
        return smallest - spread * float(DISTANCES[-1]), False
    if len(lowest) == 0:  # better all the way to the smallest value
        return 0.0, False
    best = lowest[costs[lowest].argmin()]
    found = minimize_scalar(
        lambda point: _cost(smallest - spread * np.exp(point), centres, counts),
        bounds=(grid[best - 2], grid[best + 2]),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return smallest - spread * float(np.exp(found.x)), True


def _grouped(centres: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Fewer bins, for the search only: equally wide in ln(x - xmin), so that ln(x - loc) hardly changes in any."""
    above = centres - centres[0]
    group = np.floor(np.log(np.maximum(above, above[1] / 2)) * GROUPS_PER_FOLD).astype(np.int64)
    starts = np.flatnonzero(np.diff(group, prepend=group[0] - 1))
    sums = np.add.reduceat(counts, starts)
    return np.add.reduceat(centres * counts, starts) / sums, sums


def _cost(loc: float, centres: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    """Negative log likelihood per row, without constants, at the best scale and shape for this loc."""
    mean, deviation = _log_moments(loc, centres, counts)
    return mean + float(np.log(deviation))


def _log_moments(loc: float, centres: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[float, float]:
    logs = np.log(centres - loc)
    weights = counts / counts.sum()
    mean = float(np.sum(weights * logs))  # not a BLAS product, which would wake threads for so little
    return mean, float(np.sqrt(np.sum(weights * (logs - mean) ** 2)))


def _at(loc: float, centres: NDArray[np.float64], counts: NDArray[np.int64]) -> Lognormal:
    mean, deviation = _log_moments(loc, centres, counts)
    return Lognormal(shape=deviation, loc=loc, scale=float(np.exp(mean)))


def _largest_quantile_error(lognormal: Lognormal, histogram: Histogram) -> float:
    fractions = np.linspace(0.01, 0.99, 99)
    data = histogram.quantiles(fractions)
    return float(np.abs(lognormal_quantiles(lognormal, fractions) - data).max() / data[49])
