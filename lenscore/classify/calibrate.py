"""From scores to probabilities at the true prior (Platt 1999, with the correction for the prior of Elkan 2001)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from lenscore.errors import InputError


@dataclass(frozen=True)
class Calibration:
    """probability = 1 / (1 + exp(-(slope score + intercept))).

    Args:
        slope: of the log odds with score; above zero, so that order is kept.
        intercept: log odds at score 0, at the true prior.
        prior: share of lenses it is calibrated to.
    """

    slope: float
    intercept: float
    prior: float

    def probability(self, scores: NDArray[np.floating]) -> NDArray[np.float32]:
        """Probabilities of scores, (N,); NaN stays NaN."""
        return expit(self.slope * scores.astype(np.float64) + self.intercept).astype(np.float32)

    def tensors(self) -> dict[str, NDArray[np.float64]]:
        """As arrays, for a file of weights."""
        return {"calibration": np.array([self.slope, self.intercept, self.prior])}

    @staticmethod
    def from_tensors(tensors: dict[str, NDArray[np.float64]]) -> "Calibration":
        """Read what `tensors` gave."""
        return Calibration(*(float(value) for value in tensors["calibration"]))


def platt(scores: NDArray[np.floating], is_lens: NDArray[np.bool_], prior: float) -> Calibration:
    """Fit a sigmoid to scores of objects that the model was not fitted on.

    Args:
        scores: (N,); NaN is left out.
        is_lens: (N,).
        prior: true share of lenses, to which the intercept is shifted.

    Returns:
        The calibration. Targets are smoothed as in Platt (1999), so that few lenses give no certainty.

    Raises:
        InputError: one class is missing.
    """
    keep = ~np.isnan(scores)
    values, classes = scores[keep].astype(np.float64), is_lens[keep]
    lenses, others = int(classes.sum()), int((~classes).sum())
    if not lenses or not others:
        raise InputError(
            f"{lenses} lenses and {others} nonlenses cannot calibrate", "validate on objects of both classes"
        )
    targets = np.where(classes, (lenses + 1) / (lenses + 2), 1 / (others + 2))
    centre, scale = values.mean(), max(float(values.std()), 1e-12)
    standard = (values - centre) / scale

    def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = point[0] * standard + point[1]
        residuals = expit(logits) - targets
        value = np.logaddexp(0, logits).sum() - targets @ logits
        return float(value), np.array([residuals @ standard, residuals.sum()])

    start = np.array([1.0, np.log(lenses / others)])
    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(1e-6, None), (None, None)],
        options={"ftol": 1e-12, "gtol": 1e-8, "maxiter": 500},
    ).x
    slope = found[0] / scale
    shift = np.log(prior / (1 - prior)) - np.log(lenses / others)
    return Calibration(float(slope), float(found[1] - slope * centre + shift), prior)
