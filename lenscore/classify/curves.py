"""Figure 5 and the test part's figures, as tables."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.classify.calibrate import Calibration
from lenscore.classify.ranking import Ranking, bootstrap

BINS = 40


def curve(ranking: Ranking, search_size: int) -> pa.Table:
    """Lenses found against images inspected (Figure 5, right), extrapolated to the whole search.

    Args:
        ranking: of a part that weights were not fitted to.
        search_size: objects in the search.

    Returns:
        A row a lens, best first: inspected (images), found_share, false_positive_rate.
    """
    false, true = ranking.roc()
    inspected = np.maximum(1, ranking.ranks * (search_size / ranking.size))
    return pa.table({"inspected": inspected, "found_share": true[1:], "false_positive_rate": false[1:]})


def histogram(scores: NDArray[np.floating], is_lens: NDArray[np.bool_], calibration: Calibration) -> pa.Table:
    """Objects by calibrated probability and class (Figure 5, left), in bins even in log odds.

    Args:
        scores: (N,); NaN is left out.
        is_lens: (N,).
        calibration: from score to probability.

    Returns:
        A row a bin: probability_low, probability_high, lenses, nonlenses.
    """
    keep = ~np.isnan(scores)
    values, classes = scores[keep], is_lens[keep]
    edges = np.linspace(values.min(), np.nextafter(values.max(), np.inf), BINS + 1)
    sides = calibration.probability(edges)
    return pa.table(
        {
            "probability_low": sides[:-1],
            "probability_high": sides[1:],
            "lenses": np.histogram(values[classes], edges)[0],
            "nonlenses": np.histogram(values[~classes], edges)[0],
        }
    )


def figures(ranking: Ranking, top: int, seed: int = 0) -> pa.Table:
    """Figures of merit with bootstrap errors.

    Args:
        ranking: of the part.
        top: N.
        seed: of the bootstrap.

    Returns:
        A row a figure: figure, value, low, high (68 %).
    """
    statistics = {
        f"precision among the top {top}": lambda one: one.precision(top),
        f"recall among the top {top}": lambda one: one.recall(top),
        f"enrichment among the top {top}": lambda one: one.enrichment(top),
        "average precision": Ranking.average_precision,
        "area under the ROC curve": Ranking.roc_area,
    }
    rows = [(name, *bootstrap(ranking, statistic, seed=seed)) for name, statistic in statistics.items()]
    return pa.table(dict(zip(("figure", "value", "low", "high"), zip(*rows, strict=True), strict=True)))


def reliability(
    probabilities: NDArray[np.floating], is_lens: NDArray[np.bool_], weights: NDArray[np.floating], bins: int = 10
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predicted against true share of lenses, in bins of equal numbers of objects.

    Args:
        probabilities: predicted (N,).
        is_lens: (N,).
        weights: how many objects of the search each one stands for (N,).
        bins: how many.

    Returns:
        (mean predicted, true share), each (bins,).
    """
    order = np.array_split(np.argsort(probabilities), bins)
    predicted = [float(np.average(probabilities[part], weights=weights[part])) for part in order]
    true = [float(np.average(is_lens[part], weights=weights[part])) for part in order]
    return np.array(predicted), np.array(true)
