"""Neighbours at rest.

neighbours.zarr holds arrays in the order of rising magnitude, in which a unit of work is one shard of each; objects
that take no part (no valid image, no positive flux, too faint) come last:

- rows (N, k) uint32: row numbers, in the embeddings artifact, of each object's most similar objects, best first;
  0xFFFFFFFF where there are none or fewer.
- similarity (N, k) float16: cosine; NaN there.
- order (N,) uint32: row of each position; position (N,) uint32: position of each row.
- mag (N,) float32; vectors (N, D) float16: what was compared, so that a window can be read in one piece.

neighbours.json names the embeddings artifact that rows refer to; whitening.safetensors is what was applied.
"""

import json
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenscore.artifacts import ArraySpec, Artifact, Sink, StoredArray
from lenscore.errors import InputError
from lenscore.similarity.sort import BLOCK_ROWS
from lenscore.similarity.whiten import Whitening
from lenscore.similarity.windows import Sorted

GROUP = "neighbours.zarr"
INFO = "neighbours.json"
WHITENING = "whitening.safetensors"
# A single object's neighbours are read with their chunk: 16 x 999 row numbers are 64 kB.
NEIGHBOUR_CHUNK = 16
VECTOR_CHUNK = 1024


def array_specs(rows: int, dimension: int, k: int) -> dict[str, ArraySpec]:
    """The arrays of the artifact, by path."""

    def spec(shape: tuple[int, ...], dtype: str, chunk: int) -> ArraySpec:
        return ArraySpec(rows, shape, dtype, chunk, BLOCK_ROWS)

    return {
        f"{GROUP}/order": spec((), "uint32", BLOCK_ROWS),
        f"{GROUP}/position": spec((), "uint32", VECTOR_CHUNK),
        f"{GROUP}/mag": spec((), "float32", VECTOR_CHUNK),
        f"{GROUP}/vectors": spec((dimension,), "float16", VECTOR_CHUNK),
        f"{GROUP}/rows": spec((k,), "uint32", NEIGHBOUR_CHUNK),
        f"{GROUP}/similarity": spec((k,), "float16", NEIGHBOUR_CHUNK),
    }


def planned_sorted(sink: Sink) -> Sorted:
    """The sorted vectors that the plan wrote, for a unit of the same job."""
    info = json.loads(sink.store.get(f"{sink.prefix}/{sink.planned[INFO].key}"))
    names = ("mag", "order", "vectors")
    mag, order, vectors = (StoredArray(sink.store, f"{sink.prefix}/{GROUP}/{name}") for name in names)
    return Sorted(mag, order, vectors, int(info["ranked"]))


class Neighbours:
    """A reader of a neighbours artifact."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.info: dict[str, Any] = artifact.read_json(INFO)
        self._rows = artifact.array(f"{GROUP}/rows")
        self._similarity = artifact.array(f"{GROUP}/similarity")
        self._position = artifact.array(f"{GROUP}/position")

    @staticmethod
    def open(artifact: Artifact) -> "Neighbours":
        """Open a neighbours artifact.

        Raises:
            InputError: it is of another kind.
        """
        if artifact.kind != "neighbours":
            raise InputError(f"{artifact.id} is of kind {artifact.kind}", "name a neighbours artifact")
        return Neighbours(artifact)

    @property
    def rows(self) -> int:
        """Number of objects, N."""
        return int(self._rows.shape[0])

    @property
    def k(self) -> int:
        """Neighbours of an object."""
        return int(self._rows.shape[1])

    @property
    def embeddings_id(self) -> str:
        """Id of the embeddings artifact that row numbers refer to."""
        return str(self.info["embeddings"])

    @property
    def whitening(self) -> Whitening:
        """What was applied to the embeddings."""
        return Whitening.from_bytes(self.artifact.read_bytes(WHITENING))

    @property
    def sorted(self) -> Sorted:
        """The vectors that were compared, by magnitude."""
        mag, order, vectors = (self.artifact.array(f"{GROUP}/{name}") for name in ("mag", "order", "vectors"))
        return Sorted(mag, order, vectors, int(self.info["ranked"]))

    def of(self, row: ArrayLike) -> tuple[NDArray[np.uint32], NDArray[np.float16]]:
        """The most similar objects of some objects.

        Args:
            row: a row number, or several (n,).

        Returns:
            Row numbers, best first, (k,) or (n, k), 0xFFFFFFFF where there are fewer; similarities, NaN there.

        Raises:
            InputError: a row number is out of range.
        """
        wanted = np.atleast_1d(np.asarray(row, np.int64))
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < self.rows):
            raise InputError(f"row {int(wanted.max())} is not in neighbours of {self.rows} rows", "use 0 to N - 1")
        unique, where = np.unique(wanted, return_inverse=True)
        position, place = np.unique(np.asarray(self._position.take(unique), np.int64), return_inverse=True)
        rows = np.asarray(self._rows.take(position), np.uint32)[place][where]
        similarity = np.asarray(self._similarity.take(position), np.float16)[place][where]
        return (rows[0], similarity[0]) if np.ndim(row) == 0 else (rows, similarity)
