"""An approximate index over all embeddings, for queries that cannot wait for an exact search.

Memory of an index, in bytes an object: code + 8 (IVF) or code + 8 links + 16 (HNSW), where the code is 4 D (flat), D
(sq8), D / 2 (sq4) or pq_bytes (pq). Training and adding need one batch more; nothing else grows with the objects.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lenscore.artifacts import Artifact
from lenscore.errors import DamagedError, InputError
from lenscore.similarity.blas import import_faiss
from lenscore.similarity.topk import NO_ROW
from lenscore.similarity.whiten import Whitening

INDEX, INFO, WHITENING = "index.faiss", "index.json", "whitening.safetensors"
# faiss's k-means wants at least this many training vectors for each list.
TRAIN_PER_LIST = 39

Coding = Literal["flat", "sq8", "sq4", "pq"]


@dataclass(frozen=True)
class Shape:
    """What an index looks like.

    Args:
        kind: ivf (lists of near vectors) or hnsw (a graph).
        coding: how vectors are stored.
        dimension: length of a vector.
        lists: number of lists (ivf).
        links: links of a vector (hnsw).
        pq_bytes: bytes a vector (pq).
    """

    kind: Literal["ivf", "hnsw"]
    coding: Coding
    dimension: int
    lists: int
    links: int
    pq_bytes: int

    def __post_init__(self) -> None:
        if self.coding == "pq" and self.dimension % self.pq_bytes:
            raise InputError(
                f"{self.dimension} components cannot be cut into {self.pq_bytes} equal parts",
                "choose pq_bytes that divides the components",
            )

    @property
    def bytes_per_object(self) -> float:
        """Memory of the index for each object."""
        code = {
            "flat": 4.0 * self.dimension,
            "sq8": 1.0 * self.dimension,
            "sq4": self.dimension / 2,
            "pq": 1.0 * self.pq_bytes,
        }[self.coding]
        return code + (8 if self.kind == "ivf" else 8 * self.links + 16)

    @property
    def factory(self) -> str:
        """faiss's description."""
        code = {"flat": "Flat", "sq8": "SQ8", "sq4": "SQ4", "pq": f"PQ{self.pq_bytes}"}[self.coding]
        return f"IVF{self.lists},{code}" if self.kind == "ivf" else f"IDMap2,HNSW{self.links}_{code}"


def choose_lists(rows: int, train_rows: int) -> int:
    """Number of lists: 4 sqrt(N), the usual choice, as far as there are vectors to train them on."""
    return max(1, min(int(4 * np.sqrt(rows)), train_rows // TRAIN_PER_LIST))


def check_memory(shape: Shape, rows: int, memory_gib: float) -> None:
    """Stop before an index is built that does not fit.

    Raises:
        InputError: it would take more memory than there is.
    """
    needed = rows * shape.bytes_per_object / 2**30
    if needed > memory_gib:
        raise InputError(
            f"an index of {rows} objects takes {needed:.1f} GiB of {memory_gib:.1f} GiB",
            "choose fewer components, coding = 'sq4' or 'pq', or give more memory",
        )


def train_index(shape: Shape, sample: NDArray[np.float32], seed: int, threads: int) -> Any:
    """An empty index, trained on a sample of whitened unit vectors (n, D)."""
    faiss = import_faiss()
    faiss.omp_set_num_threads(threads)
    index = faiss.index_factory(shape.dimension, shape.factory, faiss.METRIC_INNER_PRODUCT)
    if shape.kind == "ivf":
        index.cp.seed = seed
        # The sample decides how many vectors are used, not faiss's own limit.
        index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, len(sample)
        if shape.coding == "pq":
            # It is for another kind of search, and takes longer than all the rest of the training.
            index.do_polysemous_training = False
    index.train(sample)
    return index


def add_vectors(index: Any, batches: Iterable[tuple[NDArray[np.float32], NDArray[np.int64]]]) -> int:
    """Add batches of (whitened unit vectors, row numbers).

    Returns:
        How many were added.
    """
    for vectors, rows in batches:
        index.add_with_ids(np.ascontiguousarray(vectors, np.float32), np.ascontiguousarray(rows, np.int64))
    return int(index.ntotal)


def search_index(
    index: Any, vectors: NDArray[np.float32], k: int, effort: int
) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Search.

    Args:
        index: a faiss index.
        vectors: whitened unit vectors (n, D).
        k: how many to find.
        effort: lists looked into (ivf), or candidates followed (hnsw).

    Returns:
        Approximate similarities (n, k), NaN where fewer were found; rows (n, k), 0xFFFFFFFF there.
    """
    faiss = import_faiss()
    kind = faiss.downcast_index(index)
    name = "nprobe" if hasattr(kind, "nprobe") else "efSearch"
    target = kind if name == "nprobe" else faiss.downcast_index(kind.index).hnsw
    setattr(target, name, max(effort, k) if name == "efSearch" else effort)
    similarity, rows = index.search(np.ascontiguousarray(vectors, np.float32), k)
    none = rows < 0
    return np.where(none, np.float32(np.nan), similarity), np.where(none, NO_ROW, rows).astype(np.uint32)


class Index:
    """A reader of an index artifact. Memory: that of the index; IVF lists are mapped from the file, not read."""

    def __init__(self, artifact: Artifact) -> None:
        faiss = import_faiss()
        self.artifact = artifact
        self.info: dict[str, Any] = artifact.read_json(INFO)
        self.whitening = Whitening.from_bytes(artifact.read_bytes(WHITENING))
        flags = faiss.IO_FLAG_MMAP if self.info["kind"] == "ivf" else 0
        with artifact.local(INDEX) as path:
            self._index = faiss.read_index(str(path), flags)
        if self._index.ntotal != self.info["objects"]:
            raise DamagedError(
                f"the index holds {self._index.ntotal} of {self.info['objects']} objects", "build it again"
            )

    @staticmethod
    def open(artifact: Artifact) -> "Index":
        """Open an index artifact.

        Raises:
            InputError: it is of another kind.
        """
        if artifact.kind != "index":
            raise InputError(f"{artifact.id} is of kind {artifact.kind}", "name an index artifact")
        return Index(artifact)

    @property
    def embeddings_id(self) -> str:
        """Id of the embeddings artifact that row numbers refer to."""
        return str(self.info["embeddings"])

    def search(
        self, vectors: NDArray[np.float32], k: int, effort: int | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
        """Search for whitened unit vectors (n, D); see `search_index`. The effort is the configured one if None."""
        chosen = int(self.info["effort"]) if effort is None else effort
        return search_index(self._index, vectors, min(k, int(self.info["objects"])), chosen)
