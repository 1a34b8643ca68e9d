"""The streamed fit against scipy and torch on the same data."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize, rosen, rosen_der

from lenscore.classify import features as features_module
from lenscore.classify.basis import Basis, fit_bases
from lenscore.classify.features import HeldRows
from lenscore.classify.lbfgs import Steps, Vector, minimise
from lenscore.classify.logistic import CrossEntropy, Fit, fit_all


def data(rows: int = 3000, dimension: int = 24) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(rows, dimension)) @ rng.normal(size=(dimension, dimension)) * 0.3 + 1
    vectors = mixed.astype(np.float16)
    chance = 1 / (1 + np.exp(-(vectors.astype(float) - 1) @ rng.normal(size=dimension) * 0.5 + 3))
    return vectors, rng.random(rows) < chance


def matrix_of(basis: Basis) -> NDArray[np.float64]:
    return np.diag(basis.matrix) if basis.matrix.ndim == 1 else basis.matrix


def answer(steps: Steps, function: Callable[[Vector], tuple[float, Vector]]) -> int:
    """Answer a minimiser until it ends; how often it asked."""
    point, asked = next(steps), 0
    try:
        while True:
            asked += 1
            point = steps.send(function(point))
    except StopIteration:
        return asked


def test_minimiser_reaches_the_minimum_of_rosenbrock() -> None:
    iterates: list[Vector] = []
    asked = answer(
        minimise(np.full(8, -1.0), iterates, 500, 1e-15), lambda point: (float(rosen(point)), rosen_der(point))
    )
    np.testing.assert_allclose(iterates[-1], 1, atol=1e-5)
    assert asked < 1.5 * len(iterates) + 5
    values = [rosen(iterate) for iterate in iterates]
    assert all(later < earlier for earlier, later in itertools.pairwise(values))


@pytest.mark.parametrize(("strength", "components"), [(1.0, None), (100.0, None), (3.0, 6)])
def test_agrees_with_scipy(strength: float, components: int | None) -> None:
    vectors, is_lens = data()
    basis = fit_bases(HeldRows(vectors), 3000, [16, 8], [components])[0]
    fit = Fit(strength, basis)
    fit_all([fit, Fit(7.0, basis)], HeldRows(vectors), is_lens, iterations=300, tolerance=1e-8)
    inner = (vectors.astype(float) - basis.mean) @ matrix_of(basis)

    def loss(point: Vector) -> tuple[float, Vector]:
        logits = inner @ point[:-1] + point[-1]
        residuals = 1 / (1 + np.exp(-logits)) - is_lens
        value = (np.logaddexp(0, logits) - logits * is_lens).sum() + strength / 2 * point[:-1] @ point[:-1]
        return float(value), np.append(inner.T @ residuals + strength * point[:-1], residuals.sum())

    reference = minimize(
        loss, np.zeros(inner.shape[1] + 1), jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "maxiter": 1000}
    )
    assert loss(fit.iterates[-1])[0] == pytest.approx(reference.fun, rel=1e-5)
    weights, bias = basis.weights(fit.iterates[-1])
    expected = inner @ reference.x[:-1] + reference.x[-1]
    np.testing.assert_allclose(vectors.astype(float) @ weights + bias, expected, atol=0.05)


def test_agrees_with_torch_lbfgs_on_raw_features() -> None:
    vectors, is_lens = data(1000, 8)
    fit = Fit(1.0, fit_bases(HeldRows(vectors), 1000, [8], [None])[0])
    fit_all([fit], HeldRows(vectors), is_lens, iterations=200, tolerance=1e-9)
    inner = torch.from_numpy((vectors.astype(float) - fit.basis.mean) @ matrix_of(fit.basis))
    point = torch.zeros(9, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([point], max_iter=300, line_search_fn="strong_wolfe", tolerance_change=1e-12)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        logits = inner @ point[:-1] + point[-1]
        value = (
            torch.nn.functional.binary_cross_entropy_with_logits(
                logits, torch.from_numpy(is_lens.astype(float)), reduction="sum"
            )
            + 0.5 * point[:-1] @ point[:-1]
        )
        value.backward()
        return value

    optimiser.step(closure)
    np.testing.assert_allclose(fit.iterates[-1], point.detach().numpy(), atol=2e-3)


def test_gradient_threads_and_blocks_do_not_change_a_bit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(features_module, "BLOCK_BYTES", 1 << 15)
    vectors, is_lens = data(5000, 16)
    held = np.lib.format.open_memmap(tmp_path / "rows.npy", "w+", np.float16, vectors.shape)
    held[:] = vectors
    rng = np.random.default_rng(1)
    weights, biases = rng.normal(size=(3, 16)), rng.normal(size=3)
    answers = []
    for rows, threads in ((HeldRows(vectors), 1), (HeldRows(vectors), 3), (HeldRows(held), 2)):
        with CrossEntropy(rows, is_lens, threads) as objective:
            answers.append(objective(weights, biases))
    for answer in answers[1:]:
        for ours, first in zip(answer, answers[0], strict=True):
            np.testing.assert_array_equal(ours, first)
    residuals = 1 / (1 + np.exp(-(vectors.astype(float) @ weights.T + biases))) - is_lens[:, None]
    np.testing.assert_allclose(answers[0][1], residuals.T @ vectors.astype(float), rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(answers[0][2], residuals.sum(0), rtol=1e-4)
