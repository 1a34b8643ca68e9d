"""Choosing a classifier: cross-validation judges each lens by a fit that has not seen it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from lenscore.classify.features import HeldRows
from lenscore.classify.logistic import Fit, fit_all
from lenscore.classify.ranking import rank
from lenscore.classify.search import best, kept_steps, search
from lenscore.classify.settings import SolverConfig
from lenscore.classify.splits import deal_folds
from lenscore.errors import InputError

SOLVER = SolverConfig(
    strengths=(1.0, 100.0), components=(None,), iterations=40, tolerance=1e-8, kept_iterates=4, whitening_rows=240
)
LENSES = 40


def features(rows: int, seed: int) -> HeldRows:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 6))
    values[:LENSES] = np.random.default_rng(9).normal(size=(LENSES, 6)) + 1
    return HeldRows(values.astype(np.float16))


@pytest.fixture(scope="module")
def folds() -> NDArray[np.int64]:
    return deal_folds(np.arange(LENSES) // 2, 4, 0)


def test_each_fold_is_judged_by_the_fit_without_it(folds: NDArray[np.int64]) -> None:
    train, validation = features(240, 0), features(540, 1)
    found = search(train, LENSES, validation, LENSES, [6], [5], SOLVER, fold_of_lens=folds)
    last = [one for one in found if one.strength == 1.0][-1]
    above = []
    for fold in range(4):
        keep = np.concatenate([folds != fold, np.ones(200, bool)])
        alone = HeldRows(train.values[keep])
        fit = Fit(1.0, _basis(train))
        fit_all([fit], alone, np.arange(len(alone.values)) < (folds != fold).sum(), iterations=40, tolerance=1e-8)
        weights, bias = fit.basis.weights(fit.iterates[-1])
        scores = validation.values.astype(float) @ weights + bias
        here = np.concatenate([folds == fold, np.ones(500, bool)])
        above.append(rank(scores[here], np.arange(540)[here] < LENSES).above)
        np.testing.assert_allclose(last.lens_scores[folds == fold], scores[:LENSES][folds == fold], atol=0.05)
    np.testing.assert_allclose(last.validation.above, np.sort(np.concatenate(above)), atol=3)


def test_weights_are_those_of_the_fit_to_all_lenses(folds: NDArray[np.int64]) -> None:
    train, validation = features(240, 0), features(540, 1)
    with_folds = search(train, LENSES, validation, LENSES, [6], [5], SOLVER, fold_of_lens=folds)
    without = search(train, LENSES, validation, LENSES, [6], [5], SOLVER)
    for strength in SOLVER.strengths:
        one, two = ([item for item in found if item.strength == strength][-1] for found in (with_folds, without))
        np.testing.assert_allclose(one.weights, two.weights, atol=0.01)
    assert best(without, 40).validation.average_precision() >= best(with_folds, 40).validation.average_precision()


def test_folds_keep_groups_together_and_are_even(folds: NDArray[np.int64]) -> None:
    assert (folds[::2] == folds[1::2]).all()
    assert np.bincount(folds).tolist() == [10, 10, 10, 10]
    with pytest.raises(InputError, match="3 groups of lenses cannot fill 4 folds"):
        deal_folds(np.array([0, 1, 2, 2]), 4, 0)


def test_kept_steps_reach_from_first_to_last() -> None:
    assert kept_steps(5, 10) == [1, 2, 3, 4, 5]
    assert kept_steps(100, 6)[0] == 1
    assert kept_steps(100, 6)[-1] == 100
    assert kept_steps(0, 6) == []


def _basis(train: HeldRows):  # type: ignore[no-untyped-def]
    from lenscore.classify.basis import fit_bases

    return fit_bases(train, 240, [6], [None])[0]
