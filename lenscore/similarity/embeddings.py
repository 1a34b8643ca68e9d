"""Reading embeddings: one float16 vector an object, in the order of the catalogue."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenscore.artifacts import Artifact, StoredArray
from lenscore.errors import DamagedError, InputError

Vectors = NDArray[np.float16]


class EmbeddingsBatch(NamedTuple):
    """Consecutive rows: the first one's number, (B, D) float16 vectors and whether each row is valid."""

    start: int
    embeddings: Vectors
    valid: NDArray[np.bool_]


class Embeddings:
    """A reader of an embeddings artifact; what it holds in memory is what was asked for."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.info: dict[str, Any] = artifact.read_json("embeddings.json")
        self._vectors: StoredArray = artifact.array("embeddings.zarr/embeddings")
        self._valid: StoredArray = artifact.array("embeddings.zarr/valid")
        self._ls_id: StoredArray = artifact.array("embeddings.zarr/ls_id")
        if not len(self._vectors) == len(self._valid) == len(self._ls_id):
            raise DamagedError(
                f"embeddings {artifact.id} hold {len(self._vectors)} vectors but {len(self._ls_id)} ids", "embed again"
            )

    @staticmethod
    def open(artifact: Artifact) -> "Embeddings":
        """Open an embeddings artifact.

        Args:
            artifact: of kind embeddings.

        Returns:
            The reader.

        Raises:
            InputError: it is of another kind.
            DamagedError: its arrays differ in length.
        """
        if artifact.kind != "embeddings":
            raise InputError(f"{artifact.id} is of kind {artifact.kind}", "name an embeddings artifact")
        return Embeddings(artifact)

    @property
    def id(self) -> str:
        """The artifact's id: with a row number it names one vector for ever."""
        return self.artifact.id

    @property
    def rows(self) -> int:
        """Number of objects, N."""
        return int(self._vectors.shape[0])

    @property
    def dimension(self) -> int:
        """Length of a vector, D."""
        return int(self._vectors.shape[1])

    @property
    def turned(self) -> bool:
        """Whether each vector is the mean over the 8 flips and quarter turns."""
        return bool(self.artifact.manifest.config.get("average_views", False))

    def read(self, start: int, stop: int) -> Vectors:
        """Vectors of consecutive rows, (stop - start, D) float16."""
        return np.asarray(self._vectors[self._check(start, stop)], np.float16)

    def valid(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Whether each row's image could be embedded, (stop - start,) bool."""
        return np.asarray(self._valid[self._check(start, stop)], np.bool_)

    def ls_id(self, start: int, stop: int) -> NDArray[np.int64]:
        """Identities of consecutive rows, (stop - start,) int64."""
        return np.asarray(self._ls_id[self._check(start, stop)], np.int64)

    def take(self, rows: NDArray[np.int64]) -> Vectors:
        """Vectors of any rows, in the order asked for, repeats allowed.

        Each stored chunk is read and decompressed once.

        Args:
            rows: row numbers, (n,).

        Returns:
            (n, D) float16.

        Raises:
            InputError: a row number is out of range.
        """
        rows = np.asarray(rows, np.int64)
        if len(rows) == 0:
            return np.empty((0, self.dimension), np.float16)
        if rows.min() < 0 or rows.max() >= self.rows:
            raise InputError(
                f"row {rows.min() if rows.min() < 0 else rows.max()} is not in embeddings of {self.rows} rows",
                "use row numbers of this artifact",
            )
        unique, where = np.unique(rows, return_inverse=True)
        return np.asarray(self._vectors.take(unique), np.float16)[where]

    def batches(self, rows: int = 16384, start: int = 0, stop: int | None = None) -> Iterator[EmbeddingsBatch]:
        """Read all rows in order; the next batch is read while this one is worked on.

        Args:
            rows: rows a batch; fastest as a multiple of the array's chunks.
            start: first row.
            stop: row after the last one; all rows if None.

        Yields:
            Batches; memory is that of two of them.
        """
        stop = self.rows if stop is None else min(stop, self.rows)
        starts = range(start, stop, rows)
        with ThreadPoolExecutor(1) as reader:
            ahead = None
            for first in starts:
                batch = ahead.result() if ahead else self._batch(first, min(first + rows, stop))
                after = first + rows
                ahead = reader.submit(self._batch, after, min(after + rows, stop)) if after < stop else None
                yield batch

    def _batch(self, start: int, stop: int) -> EmbeddingsBatch:
        return EmbeddingsBatch(start, self.read(start, stop), self.valid(start, stop))

    def _check(self, start: int, stop: int) -> slice:
        if not 0 <= start <= stop <= self.rows:
            raise InputError(f"rows {start}:{stop} are not in embeddings of {self.rows} rows", "ask for rows within")
        return slice(start, stop)
