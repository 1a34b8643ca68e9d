"""Calibration: probabilities that mean what they say, at the true prior."""

import numpy as np
import pytest
from scipy.special import expit

from lenscore.classify.calibrate import Calibration, platt
from lenscore.classify.curves import curve, figures, histogram, reliability
from lenscore.classify.ranking import rank
from lenscore.errors import InputError


def sample(rows: int, prior: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores s = (log odds - 1.5) / 2 of a population in which lenses have the given share."""
    rng = np.random.default_rng(seed)
    is_lens = rng.random(rows) < prior
    evidence = rng.normal(np.where(is_lens, 1.5, -1.5), np.sqrt(3))  # log likelihood ratio of two normals
    return (evidence - 1.5) / 2, is_lens


def test_recovers_the_true_log_odds() -> None:
    scores, is_lens = sample(200_000, 0.1)
    calibration = platt(scores, is_lens, 0.1)
    assert calibration.slope == pytest.approx(2, rel=0.03)
    assert calibration.intercept == pytest.approx(1.5 + np.log(0.1 / 0.9), abs=0.05)


def test_is_calibrated_at_another_prior_than_it_was_fitted_at() -> None:
    scores, is_lens = sample(100_000, 0.3)
    calibration = platt(scores, is_lens, 0.01)
    scores, is_lens = sample(2_000_000, 0.01, seed=1)
    predicted, true = reliability(calibration.probability(scores), is_lens, np.ones(len(scores)), 8)
    np.testing.assert_allclose(predicted, true, rtol=0.25, atol=3e-4)
    assert calibration.probability(scores).mean() == pytest.approx(0.01, rel=0.1)


def test_order_is_kept_and_nan_stays() -> None:
    rng = np.random.default_rng(0)
    calibration = platt(rng.normal(size=50), np.arange(50) < 25, 0.5)
    assert calibration.slope > 0
    assert np.isnan(calibration.probability(np.array([np.nan]))).all()
    backwards = platt(-np.arange(100.0), np.arange(100) > 50, 0.5)
    assert backwards.slope > 0
    assert Calibration.from_tensors(calibration.tensors()) == calibration


def test_few_lenses_give_no_certainty() -> None:
    probability = platt(np.array([9.0, 0, 0, 0, 0, 0]), np.array([True, *[False] * 5]), 1 / 6).probability(
        np.array([9.0])
    )
    assert 0.3 < probability[0] < 0.95
    assert expit(0) == 0.5


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(InputError, match="0 lenses and 3 nonlenses"):
        platt(np.zeros(3), np.zeros(3, bool), 0.1)


def test_tables_of_figure_5() -> None:
    scores, is_lens = sample(5000, 0.02)
    ranking = rank(scores, is_lens)
    found = curve(ranking, 50_000).to_pandas()
    assert found["found_share"].iloc[-1] == 1
    assert found["inspected"].is_monotonic_increasing
    assert found["inspected"].iloc[0] >= 10
    table = histogram(scores, is_lens, platt(scores, is_lens, 0.02)).to_pandas()
    assert table["lenses"].sum() == is_lens.sum()
    assert table["nonlenses"].sum() == (~is_lens).sum()
    test = figures(ranking, 100).to_pandas()
    assert (test["low"] <= test["value"]).all()
    assert (test["value"] <= test["high"]).all()
