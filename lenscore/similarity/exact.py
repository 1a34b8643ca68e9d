"""Exact search over all embeddings in one pass: slow and always right."""

import numpy as np
from numpy.typing import NDArray

from lenscore.similarity.embeddings import Embeddings
from lenscore.similarity.sample import usable
from lenscore.similarity.topk import QUERIES
from lenscore.similarity.whiten import Whitening, unit
from lenscore.similarity.windows import make_best

BATCH_ROWS = 16384


def prepare(vectors: NDArray[np.floating], whitening: Whitening) -> NDArray[np.float32]:
    """Whitened unit vectors, rounded to float16 on the way as the stored ones are, (B, D) float32."""
    if whitening.is_identity:
        return unit(np.asarray(vectors, np.float32))
    return unit(whitening.apply(vectors).astype(np.float16).astype(np.float32))


def search_all(
    embeddings: Embeddings, whitening: Whitening, queries: NDArray[np.float32], k: int, device: str = "cpu"
) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """The k most similar of all valid embeddings; the query itself is among them if it is one of them.

    Args:
        embeddings: what is searched, in one sequential pass.
        whitening: applied to the embeddings.
        queries: whitened unit vectors (n, D).
        k: how many to find.
        device: cpu or cuda.

    Returns:
        Similarities (n, k), best first, NaN where there are fewer; rows (n, k), 0xFFFFFFFF there. Memory: two batches,
        and 8 (2 k + 2048) bytes a query.
    """
    blocks = []
    for start in range(0, len(queries), QUERIES):
        block = np.ascontiguousarray(queries[start : start + QUERIES], np.float32)
        low, high = np.zeros(len(block), np.int64), np.full(len(block), embeddings.rows)
        blocks.append(make_best(block, k, low, high, device=device))
    for batch in embeddings.batches(BATCH_ROWS):
        good = batch.valid & usable(batch.embeddings)
        rows = (batch.start + np.flatnonzero(good)).astype(np.uint32)
        vectors = prepare(batch.embeddings[good], whitening)
        for best in blocks:
            best.add(0, vectors, rows)
    results = [best.result() for best in blocks]
    return np.concatenate([found for found, _ in results]), np.concatenate([rows for _, rows in results])
