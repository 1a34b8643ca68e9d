"""Whitening: components of equal variance, so that no single direction rules the cosine similarity.

Not in the paper, which takes the cosine of the embeddings as they are (components = None).
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from lenscore.errors import DamagedError, InputError

# Directions with less of the largest variance than this are rounding of float16 embeddings, not information.
SMALLEST_VARIANCE = 1e-7


class Whitening:
    """A linear map from embeddings to whitened vectors.

    Args:
        mean: (D,) float32, or empty for the identity.
        matrix: (D, components) float32, or empty for the identity.
        normalise: divide by the length afterwards.
    """

    def __init__(self, mean: NDArray[np.float32], matrix: NDArray[np.float32], normalise: bool) -> None:
        self.mean = mean
        self.matrix = matrix
        self.normalise = normalise

    @staticmethod
    def identity(normalise: bool = True) -> "Whitening":
        """A whitening that changes nothing but, if asked for, the length."""
        return Whitening(np.empty(0, np.float32), np.empty((0, 0), np.float32), normalise)

    @staticmethod
    def fit(batches: Iterable[NDArray[np.floating]], components: int | None, normalise: bool = True) -> "Whitening":
        """Fit on batches of embeddings in one pass; memory is two D x D matrices.

        Args:
            batches: (B, D) arrays; rows that are not finite are left out.
            components: how many principal components to keep; None: no whitening at all (nothing is read).
            normalise: divide by the length afterwards.

        Returns:
            The whitening. It has fewer components where the embeddings span fewer directions.

        Raises:
            InputError: fewer than two good rows, more components than dimensions, or vectors all the same.
        """
        if components is None:
            return Whitening.identity(normalise)
        mean, covariance = streaming_covariance(batches)
        if not 1 <= components <= len(mean):
            raise InputError(
                f"components = {components} for embeddings of dimension {len(mean)}", f"choose 1 to {len(mean)}"
            )
        values, directions = np.linalg.eigh(covariance)
        values, directions = values[::-1][:components], directions[:, ::-1][:, :components]
        if values[0] <= 0:
            raise InputError(
                "all embeddings are the same vector", "look at the model: its representation has collapsed"
            )
        keep = values > SMALLEST_VARIANCE * values[0]
        directions = _fix_signs(directions[:, keep])
        return Whitening(mean.astype(np.float32), (directions / np.sqrt(values[keep])).astype(np.float32), normalise)

    @property
    def is_identity(self) -> bool:
        """Whether vectors keep their components."""
        return self.matrix.size == 0

    def dimension(self, embedding_dimension: int) -> int:
        """Length of a whitened vector."""
        return embedding_dimension if self.is_identity else int(self.matrix.shape[1])

    def apply(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """Whiten.

        Args:
            embeddings: (B, D), of any floating type.

        Returns:
            (B, components) float32; of unit length if `normalise` (a zero vector stays zero).

        Raises:
            InputError: D is not that of the fit.
        """
        vectors: NDArray[np.float32] = np.asarray(embeddings, np.float32)
        if not self.is_identity:
            if vectors.shape[1] != len(self.mean):
                raise InputError(
                    f"embeddings of dimension {vectors.shape[1]} for a whitening of {len(self.mean)}",
                    "use the whitening that was fitted on them",
                )
            vectors = np.asarray((vectors - self.mean) @ self.matrix, np.float32)
        return unit(vectors) if self.normalise else vectors

    def to_bytes(self) -> bytes:
        """The whitening as a safetensors file."""
        tensors = {"mean": self.mean, "matrix": self.matrix, "normalise": np.array([self.normalise], np.uint8)}
        return save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})

    @staticmethod
    def from_bytes(data: bytes) -> "Whitening":
        """Read what `to_bytes` wrote.

        Raises:
            DamagedError: these are other bytes.
        """
        try:
            tensors = load(data)
            return Whitening(tensors["mean"], tensors["matrix"], bool(tensors["normalise"][0]))
        except (SafetensorError, KeyError, IndexError) as error:
            raise DamagedError(
                f"no whitening can be read from these {len(data)} bytes", "make the artifact again"
            ) from error


def streaming_covariance(
    batches: Iterable[NDArray[np.floating]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and covariance in one pass, in float64.

    Args:
        batches: (B, D) arrays; rows that are not finite are left out.

    Returns:
        (D,) mean and (D, D) covariance.

    Raises:
        InputError: fewer than two good rows.
    """
    count, shift, total, products = 0, None, np.zeros(0), np.zeros((0, 0))
    for batch in batches:
        rows = np.asarray(batch, np.float64)
        rows = rows[np.isfinite(rows).all(axis=1)]
        if not len(rows):
            continue
        if shift is None:
            # Sums are taken about a point near the mean: subtracting two large numbers would lose digits.
            shift = rows.mean(axis=0)
            total, products = np.zeros_like(shift), np.zeros((len(shift), len(shift)))
        rows -= shift
        count += len(rows)
        total += rows.sum(axis=0)
        products += rows.T @ rows
    if shift is None or count < 2:
        raise InputError(
            f"{count} good embeddings are too few to whiten", "give at least two, or set components to none"
        )
    return shift + total / count, (products - np.outer(total, total) / count) / (count - 1)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divide each row by its length; a zero row stays zero."""
    # Scaling by the largest component first keeps squares of huge or tiny values in range.
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0)
    scaled = vectors / np.where(largest > 0, largest, np.float32(1))
    length = np.sqrt(np.einsum("bd,bd->b", scaled, scaled))[:, None]
    return np.asarray(scaled / np.where(length > 0, length, np.float32(1)), np.float32)


def _fix_signs(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eigenvectors with their largest component positive, so that the sign is no accident of the solver."""
    largest = np.abs(directions).argmax(axis=0)
    return directions * np.where(directions[largest, np.arange(directions.shape[1])] < 0, -1.0, 1.0)
