"""The linear probe: how well known lenses are told apart by the representation so far (paper section 3.1)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from lenscore.artifacts import Artifact
from lenscore.cutouts import Cutouts
from lenscore.errors import InputError
from lenscore.models.encoder import Encoder

BATCH = 256
MIN_LENSES = 4
RIDGE = 1.0


@dataclass(frozen=True)
class Probe:
    """A fixed set of lenses and nonlenses, half to fit and half to judge.

    Args:
        images: (N, C, S, S) float32, nanomaggies.
        is_lens: (N,).
    """

    images: torch.Tensor
    is_lens: NDArray[np.bool_]

    @classmethod
    def open(cls, cutouts: Artifact, labels: Artifact, nonlenses: int, input_px: int, seed: int) -> "Probe":
        """Choose the probe's objects.

        Args:
            cutouts: of a release.
            labels: of the same release.
            nonlenses: how many to draw.
            input_px: of the encoder.
            seed: of the draw.

        Raises:
            InputError: there are too few known lenses.
        """
        opened = Cutouts.open(cutouts)
        table = labels.table("labels").read(["row", "label"])
        rows, names = table["row"].to_numpy(), np.array(table["label"].to_pylist())
        valid = opened.valid()
        lenses = rows[(names == "lens") & valid[rows]] if len(rows) else rows
        if len(lenses) < MIN_LENSES:
            raise InputError(
                f"{len(lenses)} known lenses are too few for a linear probe", "leave the probe's inputs out"
            )
        plain = valid.copy()
        plain[rows] = False
        pool = np.flatnonzero(plain)
        drawn = np.random.default_rng(seed).choice(pool, min(nonlenses, len(pool)), replace=False)
        chosen = np.concatenate([lenses, np.sort(drawn)])
        images = torch.from_numpy(opened.take(chosen, input_px)[0])
        return cls(images, np.arange(len(chosen)) < len(lenses))

    def average_precision(self, encoder: Encoder, device: torch.device) -> float:
        """Fit on every second object, judge on the others."""
        parts = [
            encoder.embed(self.images[i : i + BATCH].to(device)).float().cpu()
            for i in range(0, len(self.images), BATCH)
        ]
        vectors = torch.cat(parts).double().numpy()
        fit = np.arange(len(vectors)) % 2 == 0
        mean, scale = vectors[fit].mean(0), vectors[fit].std(0) + 1e-9
        scores = _Logistic((vectors[fit] - mean) / scale, self.is_lens[fit])((vectors[~fit] - mean) / scale)
        return average_precision(scores, self.is_lens[~fit])


def average_precision(scores: NDArray[np.float64], is_lens: NDArray[np.bool_]) -> float:
    """Mean precision at each lens found, best score first."""
    found = is_lens[np.argsort(-scores, kind="stable")]
    places = np.flatnonzero(found) + 1
    return float((np.arange(1, len(places) + 1) / places).mean()) if len(places) else float("nan")


class _Logistic:
    """Logistic regression with a ridge."""

    def __init__(self, x: NDArray[np.float64], y: NDArray[np.bool_]) -> None:
        sign = np.where(y, 1.0, -1.0)

        def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            margin = sign * (x @ w[:-1] + w[-1])
            pull = -sign * expit(-margin)
            value = np.logaddexp(0, -margin).sum() + 0.5 * RIDGE * (w[:-1] ** 2).sum()
            return value, np.append(x.T @ pull + RIDGE * w[:-1], pull.sum())

        self.w = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 200}).x

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(x @ self.w[:-1] + self.w[-1])
