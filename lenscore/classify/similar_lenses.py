"""Search by similarity from a few known lenses, held against the truth."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.classify.features import Features
from lenscore.classify.truth import Truth, finite
from lenscore.similarity import Whitening

SIMILARITY = pa.schema(
    [
        pa.field("encoder", pa.string()),
        pa.field("draw", pa.int64()),
        pa.field("found", pa.int64()),
        pa.field("expected", pa.float64()),
        pa.field("enrichment", pa.float64()),
        pa.field("found_unknown", pa.int64()),
        pa.field("expected_unknown", pa.float64()),
        pa.field("enrichment_unknown", pa.float64()),
    ]
)
"""Lenses among the first objects similar to a few known ones; expected: at random. unknown: of and among unlisted ones."""


def similarity_rows(
    encoder: str,
    features: Features,
    valid: NDArray[np.bool_],
    truth: Truth,
    components: int | None,
    queries: int,
    draws: int,
    first: int,
    seed: int,
) -> list[tuple[str, int, int, float, float, int, float, float]]:
    """Search by similarity from a few known lenses, several times.

    Args:
        encoder: name for people.
        features: its embeddings.
        valid: rows that have one (N,).
        truth: of all rows.
        components: whitened components; None: the embedding as it is.
        queries: known lenses in a search; an object's place is by its mean cosine to them.
        draws: searches.
        first: objects looked at.
        seed: of the draws of queries, the same for every encoder.

    Returns:
        Rows of SIMILARITY.
    """
    known = np.flatnonzero(truth.known_lens & valid)
    picks = [
        np.random.default_rng([seed, draw]).choice(known, min(queries, len(known)), replace=False)
        for draw in range(draws)
    ]
    blocks = [(start, min(start + 65_536, features.rows)) for start in range(0, features.rows, 65_536)]
    width = None if components is None else min(components, features.dimension)
    whitening = Whitening.fit((features.read(*block)[valid[slice(*block)]] for block in blocks), width)
    centres = np.stack([whitening.apply(features.take(pick)).mean(axis=0) for pick in picks])
    cosines_nd = np.concatenate([whitening.apply(features.read(*block)) @ centres.T for block in blocks])
    rows = []
    for draw, pick in enumerate(picks):
        pool = valid & ~truth.companion & (~truth.listed | truth.known_lens)
        pool[pick] = False
        counts = [
            _similar(cosines_nd[:, draw], pool, truth.is_lens, first),
            _similar(cosines_nd[:, draw], pool & ~truth.listed, truth.is_lens, first),
        ]
        rows.append((encoder, draw, *counts[0], *counts[1]))
    return rows


def summarise_similarity(rows: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Rows of SIMILARITY as JSON: means over draws, and the scatter between them."""
    names = [field.name for field in SIMILARITY][2:]
    found = []
    for encoder in dict.fromkeys(row[0] for row in rows):
        values = np.array([row[2:] for row in rows if row[0] == encoder], float)
        entry = {name: finite(value) for name, value in zip(names, values.mean(axis=0), strict=True)}
        scatter = {f"{name}_scatter": finite(value) for name, value in zip(names, values.std(axis=0), strict=True)}
        found.append({"encoder": encoder, "draws": len(values), **entry, **scatter})
    return found


def _similar(
    cosines: NDArray[np.float32], pool: NDArray[np.bool_], is_lens: NDArray[np.bool_], first: int
) -> tuple[int, float, float]:
    inside = np.flatnonzero(pool)
    found = int(is_lens[inside[np.argsort(-cosines[inside], kind="stable")[:first]]].sum())
    expected = float(is_lens[inside].mean() * min(first, len(inside)))
    return found, expected, found / expected if expected else float("nan")
