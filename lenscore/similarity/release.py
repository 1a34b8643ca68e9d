"""Queries of a release by its name: finds the embeddings, index and neighbours that were named last."""

from collections.abc import Sequence
from pathlib import Path

from lenscore.artifacts import Artifact, Store, find_name, list_names
from lenscore.similarity.query import Answer, ById, ByImage, ByPosition, Library, Query, query


def find_similar(
    store: Store,
    release: str,
    *,
    ids: Sequence[int] = (),
    positions: Sequence[tuple[float, float]] = (),
    images: Sequence[Path] = (),
    k: int = 100,
) -> Answer:
    """Find the objects of a release most similar to one or several queries.

    Args:
        store: where the release's artifacts lie.
        release: its name.
        ids: ls_id of objects of the release.
        positions: (ra, dec) ICRS, deg; each stands for the nearest object.
        images: FITS cutouts from outside.
        k: how many to find.

    Returns:
        The answer.

    Raises:
        NotFoundError: the release has no embeddings, or no such object.
        InputError: no query, or an image that cannot be used.
    """
    queries: list[Query] = [ById(ls_id) for ls_id in ids]
    queries += [ByPosition(ra, dec) for ra, dec in positions]
    queries += [ByImage(path) for path in images]
    return query(open_library(store, release), queries, k)


def open_library(store: Store, release: str) -> Library:
    """Open what was named last for a release: its embeddings, and the index and neighbours made from them.

    Raises:
        NotFoundError: it has no embeddings.
    """
    name = find_name(store, "embeddings", release)
    embeddings = Artifact.open(store, name.kind, name.id)
    parts = {
        part: Artifact.open(store, item.kind, item.id)
        for part in ("cutouts", "model")
        for item in embeddings.manifest.inputs[part]
    }
    return Library.open(
        embeddings,
        parts["cutouts"],
        _made_from(store, "neighbours", release, embeddings),
        _made_from(store, "index", release, embeddings),
        parts["model"],
    )


def _made_from(store: Store, kind: str, release: str, embeddings: Artifact) -> Artifact | None:
    """The newest named artifact of a kind that belongs to these embeddings, if there is one."""
    for name in reversed(list_names(store, kind, release)):
        artifact = Artifact.open(store, kind, name.id)
        if embeddings.reference in artifact.manifest.inputs["embeddings"]:
            return artifact
    return None
