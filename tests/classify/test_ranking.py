"""Figures of merit against plain definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from lenscore.classify.features import HeldRows
from lenscore.classify.linear import rank_all
from lenscore.classify.ranking import Ranking, bootstrap, rank, recall_by
from lenscore.errors import InputError


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), lenses=st.integers(1, 12), top=st.integers(1, 60))
def test_figures_follow_their_definitions(seed: int, lenses: int, top: int) -> None:
    rng = np.random.default_rng(seed)
    is_lens = np.arange(50) < lenses
    scores = rng.normal(size=50) + is_lens
    ranking = rank(scores, is_lens)
    order = np.argsort(-scores)
    hits = is_lens[order]
    assert ranking.found(top) == hits[:top].sum()
    assert ranking.precision(top) == pytest.approx(hits[:top].mean())
    assert ranking.recall(top) == pytest.approx(hits[:top].sum() / lenses)
    expected = np.mean([hits[: place + 1].mean() for place in np.flatnonzero(hits)])
    assert ranking.average_precision() == pytest.approx(expected)
    ranks = rankdata(scores)
    area = (ranks[is_lens].sum() - lenses * (lenses + 1) / 2) / (lenses * (50 - lenses))
    assert ranking.roc_area() == pytest.approx(area)


def test_equal_scores_count_against_the_lens_and_nan_is_left_out() -> None:
    ranking = rank(np.array([1.0, 1.0, 0.5, np.nan]), np.array([True, False, False, True]))
    assert ranking.above.tolist() == [1]
    assert ranking.nonlenses == 2
    assert ranking.found(1) == 0


def test_many_models_are_ranked_in_one_pass_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(9000, 5)).astype(np.float16)
    features[4500:] = features[:4500]  # equal scores too
    weights, biases = rng.normal(size=(7, 5)).astype(np.float32), rng.normal(size=7).astype(np.float32)
    is_lens = np.arange(9000) < 40
    for model, ranking in enumerate(rank_all(HeldRows(features), 40, weights, biases)):
        alone = rank(features.astype(np.float64) @ weights[model].astype(np.float64), is_lens)
        assert ranking.nonlenses == alone.nonlenses
        np.testing.assert_allclose(ranking.above, alone.above, atol=2)


def test_bootstrap_covers_and_repeats() -> None:
    ranking = Ranking(np.array([0, 0, 3, 10, 200]), 1000)
    value, low, high = bootstrap(ranking, lambda one: one.recall(50))
    assert low <= value == 0.8 <= high
    assert bootstrap(ranking, lambda one: one.recall(50)) == (value, low, high)
    with pytest.raises(InputError, match="no lens"):
        bootstrap(Ranking(np.zeros(0, np.int64), 5), Ranking.average_precision)


def test_recall_in_bins() -> None:
    there, found = recall_by(np.array([1.0, 2.0, 2.5]), np.array([True, False, True]), np.array([0.0, 2.0, 3.0]))
    assert there.tolist() == [1, 2]
    assert found.tolist() == [1, 1]
