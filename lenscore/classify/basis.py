"""Linear changes of features: a fit in whitened or standardised features gives weights for the raw ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lenscore.classify.features import Rows, read_blocks
from lenscore.errors import InputError
from lenscore.similarity.whiten import SMALLEST_VARIANCE, streaming_covariance

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Basis:
    """z = (x - mean) @ matrix; so v @ z + c = (matrix @ v) @ x + (c - mean @ matrix @ v).

    Args:
        components: how many were asked for of each encoder; None for standardised features.
        mean: (D,).
        matrix: (D, P), or the diagonal of one (D,).
    """

    components: int | None
    mean: Matrix
    matrix: Matrix

    @property
    def size(self) -> int:
        """Number of new features, P."""
        return int(self.matrix.shape[-1])

    def weights(self, point: Matrix) -> tuple[Matrix, float]:
        """Weights of raw features.

        Args:
            point: (v, c), (P + 1,).

        Returns:
            (w (D,), b).
        """
        weights = self.matrix * point[:-1] if self.matrix.ndim == 1 else self.matrix @ point[:-1]
        return weights, float(point[-1] - self.mean @ weights)

    def gradient(self, weights: Matrix, bias: float) -> Matrix:
        """Gradient with respect to (v, c) from that with respect to (w, b); (P + 1,)."""
        centred = weights - self.mean * bias
        return np.append(self.matrix * centred if self.matrix.ndim == 1 else self.matrix.T @ centred, bias)


def fit_bases(features: Rows, rows: int, widths: Sequence[int], components: Sequence[int | None]) -> list[Basis]:
    """Standardise, or whiten each encoder on its own, all from one mean and covariance.

    Args:
        features: (N, D).
        rows: how many of the first rows to look at.
        widths: each encoder's dimension; they sum to D.
        components: for each basis the whitened components of an encoder, at most; None: standardise only.

    Returns:
        A Basis for each of `components`.

    Raises:
        InputError: more components than dimensions, or features that are all the same.
    """
    mean, covariance = streaming_covariance(block for _, block in read_blocks(features, min(rows, features.rows)))
    if not covariance.diagonal().max() > 0:
        raise InputError("all embeddings are the same vector", "look at the model: its representation has collapsed")
    return [Basis(count, mean, _matrix(covariance, widths, count)) for count in components]


def _matrix(covariance: Matrix, widths: Sequence[int], components: int | None) -> Matrix:
    if components is None:
        deviation = np.sqrt(covariance.diagonal())
        return np.where(deviation > 0, 1 / np.where(deviation > 0, deviation, 1), 0)
    edges = np.concatenate([[0], np.cumsum(widths)])
    columns = []
    for first, last in pairwise(edges):
        block = np.zeros((edges[-1], min(components, last - first)))
        whitened = _whiten(covariance[first:last, first:last], components)
        block[first:last, : whitened.shape[1]] = whitened
        columns.append(block[:, : whitened.shape[1]])
    return np.concatenate(columns, axis=1)


def _whiten(covariance: Matrix, components: int) -> Matrix:
    values, directions = np.linalg.eigh(covariance)
    values, directions = values[::-1][:components], directions[:, ::-1][:, :components]
    keep = values > SMALLEST_VARIANCE * max(values[0], 0)
    return directions[:, keep] / np.sqrt(values[keep])
