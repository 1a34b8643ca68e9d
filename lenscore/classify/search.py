"""Choosing a linear classifier: ratios, penalties, components and iterates, judged on validation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenscore.classify.basis import Basis, fit_bases
from lenscore.classify.features import Rows
from lenscore.classify.linear import Counted, count_above
from lenscore.classify.logistic import Fit, fit_all
from lenscore.classify.ranking import Ranking
from lenscore.classify.settings import SolverConfig

Report = Callable[[int, float], None]


@dataclass(frozen=True)
class Candidate:
    """One iterate of one fit.

    Args:
        ratio: nonlenses for each lens that it was fitted to.
        components: whitened components of an encoder; None: standardised features.
        strength: L2 penalty.
        iterate: LBFGS step, from 1.
        weights: of raw features (D,) float32.
        bias: of raw features.
        validation: how lenses it was not fitted to rank among the validation part's nonlenses.
        lens_scores: of those lenses (L,).
    """

    ratio: int
    components: int | None
    strength: float
    iterate: int
    weights: NDArray[np.float32]
    bias: float
    validation: Ranking
    lens_scores: NDArray[np.float32]


def search(
    train: Rows,
    train_lenses: int,
    validation: Rows,
    validation_lenses: int,
    widths: Sequence[int],
    ratios: Sequence[int],
    solver: SolverConfig,
    threads: int = 1,
    device: str = "cpu",
    report: Report | None = None,
    fold_of_lens: NDArray[np.int64] | None = None,
) -> list[Candidate]:
    """Fit every setting at every ratio, and rank the validation part by the iterates that are kept.

    Args:
        train: features of the training part, lenses first, then nonlenses in the order they are drawn.
        train_lenses: its lenses.
        validation: features of the validation part, lenses first.
        validation_lenses: its lenses.
        widths: dimension of each encoder.
        ratios: nested sets to fit to.
        solver: penalties, components, iterations.
        threads: of the arithmetic.
        device: cpu or cuda.
        report: called with (round, mean loss).
        fold_of_lens: for cross-validation, where both parts have the same lenses: fold of each. Every setting is then
            fitted without each fold in turn, which is ranked, and to all lenses, for the weights; all in the same passes.

    Returns:
        All candidates, by ratio, components, strength, iterate.
    """
    bases = fit_bases(train, solver.whitening_rows, widths, solver.components)
    found = []
    for ratio in ratios:
        settings = [_Setting(ratio, basis, strength, fold_of_lens) for basis in bases for strength in solver.strengths]
        is_lens = np.arange(train_lenses * (1 + ratio)) < train_lenses
        fit_all(
            [fit for setting in settings for fit in setting.fits],
            train,
            is_lens,
            iterations=solver.iterations,
            tolerance=solver.tolerance,
            threads=threads,
            device=device,
            report=report,
        )
        found += _candidates(settings, validation, validation_lenses, solver.kept_iterates)
    return found


def best(candidates: Sequence[Candidate], top: int) -> Candidate:
    """The candidate with most lenses among the top N of validation; equals are told apart by average precision."""
    return max(candidates, key=lambda one: (one.validation.found(top), one.validation.average_precision()))


def kept_steps(steps: int, most: int) -> list[int]:
    """Steps 1 to `steps`, at most `most` of them, even in the logarithm, the last one among them."""
    if not steps:
        return []
    return sorted({round(step) for step in np.geomspace(1, steps, most)})


class _Setting:
    """One penalty and basis: a fit to all lenses, and for cross-validation one without each fold."""

    def __init__(self, ratio: int, basis: Basis, strength: float, fold_of_lens: NDArray[np.int64] | None) -> None:
        self.ratio, self.basis, self.strength, self.fold_of_lens = ratio, basis, strength, fold_of_lens
        self.full = Fit(strength, basis)
        self.without: list[Fit] = []
        if fold_of_lens is not None:
            self.without = [Fit(strength, basis, fold_of_lens == fold) for fold in range(fold_of_lens.max() + 1)]

    @property
    def fits(self) -> list[Fit]:
        return [self.full, *self.without]

    @property
    def judged(self) -> list[Fit]:
        """The fits that rank lenses they have not seen."""
        return self.without or [self.full]

    def candidate(self, step: int, counted: Counted, place: int) -> Candidate:
        """Make a candidate; the counts of its judged fits start at a place."""
        rows = np.full(counted.above_ml.shape[1], place) if self.fold_of_lens is None else place + self.fold_of_lens
        lenses = np.arange(counted.above_ml.shape[1])
        weights, bias = _raw(self.full, step)
        ranking = Ranking(np.sort(counted.above_ml[rows, lenses]), counted.nonlenses)
        return Candidate(
            self.ratio,
            self.basis.components,
            self.strength,
            step,
            weights,
            bias,
            ranking,
            counted.scores_ml[rows, lenses],
        )


def _candidates(settings: Sequence[_Setting], validation: Rows, lenses: int, most: int) -> list[Candidate]:
    chosen = [(setting, step) for setting in settings for step in kept_steps(len(setting.full.iterates), most)]
    raw = [_raw(fit, step) for setting, step in chosen for fit in setting.judged]
    weights = np.stack([weights for weights, _ in raw])
    counted = count_above(validation, lenses, weights, np.array([bias for _, bias in raw], np.float32))
    each = len(settings[0].judged)
    return [setting.candidate(step, counted, place * each) for place, (setting, step) in enumerate(chosen)]


def _raw(fit: Fit, step: int) -> tuple[NDArray[np.float32], float]:
    """Weights of raw features at a step, or at the last one of a fit that ended before."""
    weights, bias = fit.basis.weights(fit.iterates[min(step, len(fit.iterates)) - 1])
    return weights.astype(np.float32), float(np.float32(bias))
