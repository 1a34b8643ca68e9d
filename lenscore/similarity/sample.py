"""A seeded sample of embeddings, for whitening and for training an index."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lenscore.similarity.embeddings import Embeddings

BLOCK = 256


def sample_rows(
    embeddings: Embeddings, rows: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
    """Read about `rows` good embeddings, spread over all rows.

    Args:
        embeddings: what to draw from.
        rows: how many to draw; all if there are fewer.
        seed: of the draw.

    Yields:
        Row numbers (B,) and vectors (B, D) float16: the good ones of blocks of 256 consecutive rows (single reads would
        be slow), in row order.
    """
    blocks = -(-embeddings.rows // BLOCK)
    wanted = min(blocks, -(-rows // BLOCK))
    for block in np.sort(np.random.default_rng(seed).choice(blocks, wanted, replace=False)):
        start, stop = int(block) * BLOCK, min((int(block) + 1) * BLOCK, embeddings.rows)
        vectors = embeddings.read(start, stop)
        good = embeddings.valid(start, stop) & usable(vectors)
        yield start + np.flatnonzero(good), vectors[good]


def sample_batches(embeddings: Embeddings, rows: int, seed: int) -> Iterator[NDArray[np.float16]]:
    """The vectors of `sample_rows`."""
    return (vectors for _, vectors in sample_rows(embeddings, rows, seed))


def usable(vectors: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether each vector is finite and has a direction, (B,) bool."""
    finite: NDArray[np.bool_] = np.isfinite(vectors).all(axis=1) & (vectors != 0).any(axis=1)
    return finite
