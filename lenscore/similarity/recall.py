"""How much an approximate index misses, by magnitude."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.artifacts import Table
from lenscore.similarity.embeddings import Embeddings
from lenscore.similarity.exact import prepare, search_all
from lenscore.similarity.index import search_index
from lenscore.similarity.sample import usable
from lenscore.similarity.topk import NO_ROW
from lenscore.similarity.whiten import Whitening

SCHEMA = pa.schema(
    [
        pa.field("mag_low", pa.float64(), metadata={"unit": "mag"}),
        pa.field("mag_high", pa.float64(), metadata={"unit": "mag"}),
        pa.field("queries", pa.int64()),
        pa.field("k", pa.int64()),
        pa.field("effort", pa.int64()),
        pa.field("recall", pa.float64()),
    ]
)
"""recall: share of the k exactly nearest that are among the k found; effort: lists (ivf) or candidates (hnsw)."""


@dataclass(frozen=True)
class Queries:
    """Objects to measure with: row numbers (n,) and magnitude bins (n,), where bin b begins at b * width_mag."""

    rows: NDArray[np.int64]
    bins: NDArray[np.int64]
    width_mag: float


def choose_queries(
    embeddings: Embeddings, catalogue: Table, band: str, width_mag: float, per_bin: int, seed: int
) -> Queries:
    """Draw up to `per_bin` valid objects from each bin of magnitude, in one pass over the catalogue.

    Each object gets a random number, and the smallest of each bin win: memory does not grow with the catalogue.
    """
    kept: dict[int, list[tuple[float, int]]] = {}
    start = 0
    for batch in catalogue.batches([f"mag_{band}"]):
        mag = batch.column(0).to_numpy(zero_copy_only=False).astype(np.float64)
        rng = np.random.default_rng([seed, start])
        draw, valid = rng.random(len(mag)), embeddings.valid(start, start + len(mag))
        bins = np.floor(np.where(np.isfinite(mag), mag, -1e6) / width_mag).astype(np.int64)
        for number in np.unique(bins[valid & np.isfinite(mag)]):
            here = np.flatnonzero((bins == number) & valid)
            best = here[np.argsort(draw[here], kind="stable")[:per_bin]]
            found = kept.get(int(number), []) + [(float(draw[row]), start + int(row)) for row in best]
            kept[int(number)] = sorted(found)[:per_bin]
        start += len(mag)
    pairs = sorted((row, number) for number, found in kept.items() for _, row in found)
    rows = np.array([row for row, _ in pairs], np.int64)
    good = usable(embeddings.take(rows))
    return Queries(rows[good], np.array([number for _, number in pairs], np.int64)[good], width_mag)


def measure_recall(
    index: Any,
    embeddings: Embeddings,
    whitening: Whitening,
    queries: Queries,
    ks: Sequence[int],
    efforts: Sequence[int],
    device: str = "cpu",
) -> pa.Table:
    """Compare an index with exact search; the query itself does not count.

    Args:
        index: a faiss index over the embeddings.
        embeddings: what it was built from.
        whitening: applied to both.
        queries: objects to ask for.
        ks: numbers of neighbours.
        efforts: lists (ivf) or candidates (hnsw) looked at.
        device: where the exact search runs.

    Returns:
        A table of SCHEMA, one row for each bin, k and effort.
    """
    vectors = prepare(embeddings.take(queries.rows), whitening)
    most = max(ks) + 1
    _, exact = search_all(embeddings, whitening, vectors, most, device)
    exact = _without_self(exact, queries.rows)
    parts = []
    for effort in efforts:
        _, found = search_index(index, vectors, most, effort)
        found = _without_self(found, queries.rows)
        for k in ks:
            hits, wanted = _hits(found[:, :k], exact[:, :k])
            parts += [_row(queries, number, k, effort, hits, wanted) for number in np.unique(queries.bins)]
    return pa.Table.from_pylist(parts, schema=SCHEMA)


def _row(
    queries: Queries, number: int, k: int, effort: int, hits: NDArray[np.int64], wanted: NDArray[np.int64]
) -> dict[str, float | int]:
    here = queries.bins == number
    low = float(number * queries.width_mag)
    share = float(hits[here].sum() / max(int(wanted[here].sum()), 1))
    return {
        "mag_low": low,
        "mag_high": low + queries.width_mag,
        "queries": int(here.sum()),
        "k": int(k),
        "effort": int(effort),
        "recall": share,
    }


def _hits(found: NDArray[np.uint32], exact: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number of exact neighbours found, and of exact neighbours, for each query."""
    pairs = zip(found, exact, strict=True)
    hits = [len(np.intersect1d(a[a != NO_ROW], b[b != NO_ROW])) for a, b in pairs]
    return np.array(hits, np.int64), (exact != NO_ROW).sum(axis=1)


def _without_self(rows: NDArray[np.uint32], own: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Drop each query's own row; where it was not found, the last one."""
    is_self = rows == own[:, None]
    is_self[~is_self.any(axis=1), -1] = True
    kept: NDArray[np.uint32] = rows[~is_self].reshape(len(rows), -1)
    return kept
