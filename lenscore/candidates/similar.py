"""The method "similarity": objects that resemble a few queries (paper 4.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenscore.artifacts import Artifact
from lenscore.candidates.labels import LENS
from lenscore.candidates.sources import Searched, owner_of, row_ranges
from lenscore.errors import InputError
from lenscore.similarity.neighbours import Neighbours

SIMILARITY = "similarity"
QUERIES_AT_ONCE = 256
NO_NEIGHBOUR = np.iinfo(np.uint32).max
SIMILAR = np.dtype([("row", "i8"), ("similarity", "f8"), ("query", "i8")])


@dataclass(frozen=True)
class SimilarObjects:
    """Objects similar to any of a few queries.

    Attributes:
        artifact: the neighbours.
        rows_m: their rows, rising (M,).
        similarity_m: to the most similar query (M,).
        query_m: that query's row (M,).
    """

    artifact: Artifact
    rows_m: NDArray[np.int64]
    similarity_m: NDArray[np.float64]
    query_m: NDArray[np.int64]

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Similarity of rows start..stop; NaN for those that no query is similar to."""
        low, high = np.searchsorted(self.rows_m, [start, stop])
        scores = np.full(stop - start, np.nan)
        scores[self.rows_m[low:high] - start] = self.similarity_m[low:high]
        return scores

    def queries_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of the query that each row is most similar to; -1 for none."""
        if len(self.rows_m) == 0:
            return np.full(len(rows), -1, dtype=np.int64)
        place = np.minimum(np.searchsorted(self.rows_m, rows), len(self.rows_m) - 1)
        return np.where(self.rows_m[place] == rows, self.query_m[place], -1)


def add_similarity(
    searched: Sequence[Searched], neighbours: Sequence[Artifact], query_ids: Sequence[int], per_query: int
) -> None:
    """Add the method "similarity": how similar an object is to the nearest of the queries.

    Args:
        searched: releases; those with neighbours get the method.
        neighbours: exact neighbours.
        query_ids: ls_id of the queries; the labelled lenses of each release where empty.
        per_query: similar objects taken of each query.

    Raises:
        InputError: a query is in none of these releases.
    """
    by_id = {item.cutouts.id: item for item in searched}
    missing = set(query_ids)
    for item in neighbours:
        owner = owner_of(item, by_id)
        rows, found = _query_rows(owner, query_ids)
        missing -= found
        owner.methods[SIMILARITY] = similar_objects(item, rows, per_query)
    if neighbours and missing:
        raise InputError(
            f"query {min(missing)} is in no release that has neighbours", "give the ls_id of an object in one"
        )


def similar_objects(neighbours: Artifact, query_rows: NDArray[np.int64], per_query: int) -> SimilarObjects:
    """Gather the objects similar to any query. Memory grows with queries times per_query.

    Args:
        neighbours: exact neighbours, most similar first.
        query_rows: rows of the queries (Q,).
        per_query: similar objects taken of each.

    Returns:
        Each object once, with its most similar query.
    """
    reader = Neighbours.open(neighbours)
    parts = []
    for start in range(0, len(query_rows), QUERIES_AT_ONCE):
        queries = query_rows[start : start + QUERIES_AT_ONCE]
        found, alike = reader.of(queries)
        real = found[:, :per_query] != NO_NEIGHBOUR
        owner = np.broadcast_to(queries[:, None], real.shape)
        parts.append(
            np.rec.fromarrays([found[:, :per_query][real], alike[:, :per_query][real], owner[real]], dtype=SIMILAR)
        )
    every = np.concatenate([np.empty(0, SIMILAR), *parts])
    every = every[np.lexsort((every["query"], -every["similarity"], every["row"]))]
    _, first = np.unique(every["row"], return_index=True)
    best = every[first]
    return SimilarObjects(neighbours, best["row"], best["similarity"], best["query"])


def _query_rows(searched: Searched, query_ids: Sequence[int]) -> tuple[NDArray[np.int64], set[int]]:
    if not query_ids:
        known = searched.known()
        lenses = np.array([label == LENS for label in known["label"].to_pylist()], dtype=bool)
        return known["row"].to_numpy()[lenses], set()
    wanted = np.unique(np.array(query_ids, dtype=np.int64))
    rows, found = [], set()
    for start, stop in row_ranges(searched.catalogue.num_rows):
        ids = searched.catalogue.read(["ls_id"], start, stop)["ls_id"].to_numpy()
        here = np.flatnonzero(np.isin(ids, wanted))
        rows.append(start + here)
        found |= set(ids[here].tolist())
    return np.concatenate(rows) if rows else np.empty(0, np.int64), found
