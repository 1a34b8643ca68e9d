"""Many logistic regressions in one pass over float16 features that may not fit in memory."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from lenscore.classify.basis import Basis
from lenscore.classify.features import Half, Rows, read_blocks
from lenscore.classify.lbfgs import minimise

Vector = NDArray[np.float64]

TILE_BYTES = 2 << 20
TASK_TILES = 8


@dataclass
class Fit:
    """One regression: its penalty, its features, and where it went.

    Args:
        strength: L2 penalty s: s |v|^2 / 2 is added to the summed cross-entropy; the bias is free.
        basis: the features v belongs to.
        left_out: lenses that it is not fitted to (L,); none if it is None.
        iterates: points (v, c) that were accepted, (P + 1,) each.
    """

    strength: float
    basis: Basis
    left_out: NDArray[np.bool_] | None = None
    iterates: list[Vector] = field(default_factory=list)


def fit_all(
    fits: Sequence[Fit],
    features: Rows,
    is_lens: NDArray[np.bool_],
    *,
    iterations: int = 100,
    tolerance: float = 1e-7,
    threads: int = 1,
    device: str = "cpu",
    report: Callable[[int, float], None] | None = None,
) -> int:
    """Minimise binary cross-entropy by full-batch LBFGS, all fits at once.

    Each round reads the features once and answers every fit that still runs: with 2048 features the reading costs as
    much as the arithmetic of two. Memory is a few blocks of 16 MB beside the features themselves.

    Args:
        fits: what to fit; their iterates are filled.
        features: rows 0 to N of these are used.
        is_lens: classes (N,).
        iterations: LBFGS steps at most.
        tolerance: relative gain of a step below which a fit ends.
        threads: of the arithmetic; the result does not depend on it.
        device: cpu or cuda.
        report: called with (round, mean loss of the best fit).

    Returns:
        Rounds, that is passes over the features.
    """
    share = np.clip(is_lens.mean(), 1e-9, 1 - 1e-9)
    runs, points = {}, {}
    for number, fit in enumerate(fits):
        start = np.zeros(fit.basis.size + 1)
        start[-1] = np.log(share / (1 - share))
        runs[number] = minimise(start, fit.iterates, iterations, tolerance)
        points[number] = next(runs[number])
    rounds = 0
    with CrossEntropy(features, is_lens, threads, device) as objective:
        while runs:
            raw = [fits[number].basis.weights(points[number]) for number in runs]
            losses, weight_gradients, bias_gradients = objective(
                np.stack([weights for weights, _ in raw]),
                np.array([bias for _, bias in raw]),
                _lens_weights([fits[number].left_out for number in runs]),
            )
            rounds += 1
            if report:
                report(rounds, float(losses.min() / len(is_lens)))
            for place, number in enumerate(list(runs)):
                fit, inner = fits[number], points[number][:-1]
                gradient = fit.basis.gradient(weight_gradients[place], bias_gradients[place])
                gradient[:-1] += fit.strength * inner
                try:
                    points[number] = runs[number].send(
                        (losses[place] + fit.strength / 2 * float(inner @ inner), gradient)
                    )
                except StopIteration:
                    del runs[number]
    return rounds


class CrossEntropy:
    """Summed binary cross-entropy of K linear models and its gradient, forward and backward in one read.

    A tile of rows is cast to float32 in cache, used twice, and forgotten. Tiles are summed in float32 within a task,
    tasks in float64 and in order, so that threads, and where the features lie, do not change a bit.

    Args:
        features: (N or more, D).
        is_lens: (N,).
        threads: workers on the CPU.
        device: cpu or cuda.
    """

    def __init__(self, features: Rows, is_lens: NDArray[np.bool_], threads: int = 1, device: str = "cpu") -> None:
        self.features, self.device = features, torch.device(device)
        self.classes = torch.from_numpy(is_lens.astype(np.float32)).to(self.device)
        self.tile_rows = max(64, TILE_BYTES // (4 * features.dimension))
        self._pool = ThreadPoolExecutor(threads if self.device.type == "cpu" else 1)

    def __enter__(self) -> "CrossEntropy":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def __call__(
        self, weights: Vector, biases: Vector, lens_weights: NDArray[np.float32] | None = None
    ) -> tuple[Vector, Vector, Vector]:
        """Evaluate.

        Args:
            weights: (K, D).
            biases: (K,).
            lens_weights: how much each of the first rows, the lenses, counts in each model (K, L); 1 if None.

        Returns:
            (losses (K,), gradient to the weights (K, D), to the biases (K,)).
        """
        models = Models(
            torch.from_numpy(weights.astype(np.float32)).to(self.device),
            torch.from_numpy(biases.astype(np.float32)[:, None]).to(self.device),
            None if lens_weights is None else torch.from_numpy(lens_weights).to(self.device),
        )
        loss, weight_gradient, bias_gradient = np.zeros(len(weights)), np.zeros(weights.shape), np.zeros(len(weights))
        with one_thread_each():
            for tasks in self._blocks():
                done = self._pool.map(lambda task: self._task(models, *task), tasks)
                for task_loss, task_weights, task_biases in done:
                    loss += task_loss
                    weight_gradient += task_weights
                    bias_gradient += task_biases
        return loss, weight_gradient, bias_gradient

    def _blocks(self) -> Iterator[list[tuple[int, Half]]]:
        size = self.tile_rows * (TASK_TILES if self.device.type == "cpu" else 64 * TASK_TILES)
        for start, block in read_blocks(self.features, len(self.classes)):
            yield [(start + first, block[first : first + size]) for first in range(0, len(block), size)]

    def _task(self, models: "Models", start: int, rows: Half) -> tuple[Vector, Vector, Vector]:
        tile_rows = self.tile_rows if self.device.type == "cpu" else len(rows)
        halves = torch.from_numpy(rows)
        tile_nd = torch.empty(min(tile_rows, len(rows)), rows.shape[1], device=self.device)
        loss = torch.zeros(len(models.weights_kd), dtype=torch.float64, device=self.device)
        weight_gradient, bias_gradient = torch.zeros_like(models.weights_kd), torch.zeros_like(models.biases_k1[:, 0])
        for first in range(0, len(rows), tile_rows):
            half = halves[first : first + tile_rows]
            tile = tile_nd[: len(half)]
            tile.copy_(half)
            classes = self.classes[start + first : start + first + len(half)]
            logits_kn = torch.addmm(models.biases_k1, models.weights_kd, tile.T)
            losses_kn = torch.nn.functional.softplus(logits_kn) - logits_kn * classes
            residuals_kn = logits_kn.sigmoid_().sub_(classes)
            counts_kl = models.lens_counts(start + first, len(half))
            if counts_kl is not None:
                losses_kn[:, : counts_kl.shape[1]] *= counts_kl
                residuals_kn[:, : counts_kl.shape[1]] *= counts_kl
            loss += losses_kn.sum(1, dtype=torch.float64)
            weight_gradient.addmm_(residuals_kn, tile)
            bias_gradient += residuals_kn.sum(1)
        return tuple(part.double().cpu().numpy() for part in (loss, weight_gradient, bias_gradient))  # type: ignore[return-value]


@dataclass(frozen=True)
class Models:
    """K linear models: weights (K, D), biases (K, 1), and how much each lens counts in each of them (K, L), if not 1."""

    weights_kd: torch.Tensor
    biases_k1: torch.Tensor
    lens_weights_kl: torch.Tensor | None

    def lens_counts(self, start: int, rows: int) -> torch.Tensor | None:
        """What lenses among rows start to start + rows count; None where there are none, or all count 1."""
        if self.lens_weights_kl is None or start >= self.lens_weights_kl.shape[1]:
            return None
        return self.lens_weights_kl[:, start : start + rows]


def _lens_weights(left_out: Sequence[NDArray[np.bool_] | None]) -> NDArray[np.float32] | None:
    lenses = max((len(flags) for flags in left_out if flags is not None), default=0)
    if not lenses:
        return None
    return np.stack([np.ones(lenses) if flags is None else ~flags for flags in left_out]).astype(np.float32)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Arithmetic in one thread for each caller, for callers that are threads themselves."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
