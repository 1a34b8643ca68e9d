"""Choosing a linear classifier: ratios, penalties, components and iterates, judged on validation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenscore.classify.basis import fit_bases
from lenscore.classify.features import Rows
from lenscore.classify.linear import rank_all
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
        validation: how it ranks the validation part.
    """

    ratio: int
    components: int | None
    strength: float
    iterate: int
    weights: NDArray[np.float32]
    bias: float
    validation: Ranking


def search(
    train: Rows, train_lenses: int, validation: Rows, validation_lenses: int, widths: Sequence[int], ratios: Sequence[int],
    solver: SolverConfig, threads: int = 1, device: str = "cpu", report: Report | None = None,
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

    Returns:
        All candidates, by ratio, components, strength, iterate.
    """
    bases = fit_bases(train, solver.whitening_rows, widths, solver.components)
    found = []
    for ratio in ratios:
        fits = [Fit(strength, basis) for basis in bases for strength in solver.strengths]
        is_lens = np.arange(train_lenses * (1 + ratio)) < train_lenses
        fit_all(fits, train, is_lens, iterations=solver.iterations, tolerance=solver.tolerance, threads=threads,
                device=device, report=report)
        found += _candidates(fits, ratio, validation, validation_lenses, solver.kept_iterates)
    return found


def best(candidates: Sequence[Candidate], top: int) -> Candidate:
    """The candidate with most lenses among the top N of validation; equals are told apart by average precision."""
    return max(candidates, key=lambda one: (one.validation.found(top), one.validation.average_precision()))


def kept_steps(steps: int, most: int) -> list[int]:
    """Steps 1 to `steps`, at most `most` of them, even in the logarithm, the last one among them."""
    if not steps:
        return []
    return sorted({round(step) for step in np.geomspace(1, steps, most)})


def _candidates(fits: Sequence[Fit], ratio: int, validation: Rows, lenses: int, most: int) -> list[Candidate]:
    chosen = [(fit, step) for fit in fits for step in kept_steps(len(fit.iterates), most)]
    raw = [fit.basis.weights(fit.iterates[step - 1]) for fit, step in chosen]
    weights = np.stack([weights for weights, _ in raw]).astype(np.float32)
    biases = np.array([bias for _, bias in raw], np.float32)
    rankings = rank_all(validation, lenses, weights, biases)
    return [
        Candidate(ratio, fit.basis.components, fit.strength, step, weights[place], float(biases[place]), rankings[place])
        for place, (fit, step) in enumerate(chosen)
    ]
