"""Objects similar to one or several queries: by identity, position, image or vector.

Answers come from stored neighbours when there is one query, an object that has them; else from the index, whose
candidates are compared exactly; else from one exact pass over all embeddings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.artifacts import Artifact
from lenscore.cutouts import Cutouts
from lenscore.errors import InputError
from lenscore.similarity.embeddings import Embeddings
from lenscore.similarity.exact import prepare, search_all
from lenscore.similarity.external import read_cutout, resample
from lenscore.similarity.index import Index
from lenscore.similarity.lookup import find_ls_id, find_nearest, read_rows
from lenscore.similarity.neighbours import Neighbours
from lenscore.similarity.topk import NO_ROW, pack
from lenscore.similarity.whiten import Whitening, unit
from lenscore.survey.sky_geometry import separation_arcsec

Floats = NDArray[np.float32]
Rows = NDArray[np.uint32]
Method = Literal["auto", "neighbours", "index", "exact"]

# The index is asked for this many times k: what it ranks a little wrongly is put right by the exact comparison.
RERANK = 4


@dataclass(frozen=True)
class ById:
    """An object of the catalogue by its ls_id."""

    ls_id: int


@dataclass(frozen=True)
class ByPosition:
    """The nearest object within a radius of a position (ICRS, deg)."""

    ra: float
    dec: float
    radius_arcsec: float = 5.0


@dataclass(frozen=True)
class ByImage:
    """A FITS cutout from outside; the scale is for files that do not state one."""

    path: Path
    pixel_scale_arcsec: float | None = None


@dataclass(frozen=True)
class ByVector:
    """An embedding (D,), as the model gives it."""

    vector: NDArray[np.floating]


Query = ById | ByPosition | ByImage | ByVector


@dataclass(frozen=True)
class Library:
    """What is searched.

    Args:
        embeddings: of the objects.
        cutouts: that were embedded: the catalogue, row for row.
        neighbours: stored neighbours, if there are.
        index: an approximate index, if there is.
        model: that made the embeddings; needed for images from outside.
    """

    embeddings: Embeddings
    cutouts: Cutouts
    neighbours: Neighbours | None = None
    index: Index | None = None
    model: Artifact | None = None

    def __post_init__(self) -> None:
        for part in (self.neighbours, self.index):
            if part is not None and part.embeddings_id != self.embeddings.id:
                raise InputError(
                    f"{part.artifact!r} belongs to embeddings {part.embeddings_id[:12]}, not {self.embeddings.id[:12]}",
                    "make it again from these embeddings",
                )
        if self.embeddings.rows != self.cutouts.rows:
            raise InputError(
                f"{self.embeddings.rows} embeddings for {self.cutouts.rows} cutouts", "name the cutouts embedded"
            )

    @staticmethod
    def open(
        embeddings: Artifact,
        cutouts: Artifact,
        neighbours: Artifact | None = None,
        index: Artifact | None = None,
        model: Artifact | None = None,
    ) -> "Library":
        """Open the artifacts of a library."""
        return Library(
            Embeddings.open(embeddings),
            Cutouts.open(cutouts),
            Neighbours.open(neighbours) if neighbours else None,
            Index.open(index) if index else None,
            model,
        )

    @property
    def whitening(self) -> Whitening:
        """Applied before comparing: that of the index, else of the neighbours, else none."""
        if self.index is not None:
            return self.index.whitening
        return self.neighbours.whitening if self.neighbours is not None else Whitening.identity()


@dataclass(frozen=True)
class Answer:
    """Similar objects, and how they were found.

    Args:
        table: row, ls_id, ra, dec, mag_<band>, similarity, separation_arcsec (from the nearest query that has a
            position; NaN if none has), best first.
        method: neighbours, index or exact.
        notes: for people, such as which object a position was taken for.
    """

    table: pa.Table
    method: str
    notes: tuple[str, ...]


def query(
    library: Library,
    queries: Sequence[Query],
    k: int = 100,
    combine: Literal["mean", "max"] = "mean",
    method: Method = "auto",
    device: str = "cpu",
) -> Answer:
    """Find the objects most similar to one or several queries.

    Args:
        library: what is searched.
        queries: one or more; objects that are queries themselves are left out of the answer.
        k: how many to find.
        combine: several queries count by the mean of their vectors, or each object by its best similarity.
        method: auto, or one of neighbours (exact, within the window of magnitude of the stored ones), index
            (approximate, compared exactly), exact (one pass over everything).
        device: where an image is embedded and an exact search runs.

    Returns:
        The answer; fewer than k rows where there are fewer objects.

    Raises:
        NotFoundError: no object of that ls_id, or none within the radius.
        InputError: an image that cannot be used, a query that is NaN, a method without its artifact.
    """
    if not queries or k < 1:
        raise InputError(f"{len(queries)} queries, k = {k}", "give at least one query and k of 1 or more")
    found = [_resolve(library, item, device) for item in queries]
    own = np.array([item.row for item in found if item.row is not None], np.uint32)
    chosen = _choose(library, found, k, method)
    if chosen == "neighbours" and library.neighbours is not None:
        rows, similarity = library.neighbours.of(int(own[0]))
        ranked = rows, similarity.astype(np.float32)
    else:
        ranked = _search(library, found, k + len(own), combine, chosen, device)
    keep = ~np.isin(ranked[0], own) & (ranked[0] != NO_ROW)
    rows, similarities = ranked[0][keep][:k], ranked[1][keep][:k]
    notes = tuple(note for item in found for note in item.notes)
    return Answer(_table(library, rows, similarities, found), chosen, notes)


@dataclass(frozen=True)
class _Found:
    """A query's vector (D,), and its row and position if it has them."""

    vector: Floats
    row: int | None
    ra: float
    dec: float
    notes: tuple[str, ...] = ()


def _resolve(library: Library, item: Query, device: str) -> _Found:
    if isinstance(item, ByVector):
        return _Found(_check(library, np.asarray(item.vector, np.float32)), None, np.nan, np.nan)
    if isinstance(item, ByImage):
        return _embed(library, item, device)
    catalogue = library.cutouts.catalogue
    notes: tuple[str, ...] = ()
    if isinstance(item, ById):
        row = find_ls_id(catalogue, item.ls_id)
    else:
        row, distance = find_nearest(catalogue, item.ra, item.dec, item.radius_arcsec)
        notes = (f"nearest object to {item.ra}, {item.dec}: {distance:.2f} arcsec away",)
    place = read_rows(catalogue, np.array([row]), ["ls_id", "ra", "dec"]).to_pylist()[0]
    if not library.embeddings.valid(row, row + 1)[0]:
        raise InputError(f"object {place['ls_id']} has no usable image", "ask with another object or an image")
    vector = _check(library, library.embeddings.take(np.array([row]))[0].astype(np.float32))
    return _Found(vector, row, place["ra"], place["dec"], (*notes, f"query: ls_id {place['ls_id']}"))


def _embed(library: Library, item: ByImage, device: str) -> _Found:
    import torch

    from lenscore.models.encoder import embed_views, load_encoder

    model, made_by = library.model, library.embeddings.info.get("model")
    if model is None:
        raise InputError(f"{item.path} cannot be embedded without the model", "name the model that made the embeddings")
    if made_by not in (None, model.id):
        raise InputError(f"model {model.id[:12]} did not make these embeddings", f"use model {str(made_by)[:12]}")
    release = library.cutouts.release
    image = read_cutout(item.path, release.bands, item.pixel_scale_arcsec)
    encoder = load_encoder(model, device)
    images_bchw = torch.from_numpy(resample(image, release.pixel_scale_arcsec, encoder.input_px)[None]).to(device)
    vectors = embed_views(encoder, images_bchw) if library.embeddings.turned else encoder.embed(images_bchw)
    vector = vectors[0].float().cpu().numpy()
    scale = np.sqrt(abs(np.linalg.det(image.arcsec_per_px)))
    size = "x".join(str(side) for side in image.images_chw.shape[-2:])
    note = f"query: {item.path.name}, {size} px of {scale:.3f} arcsec"
    return _Found(_check(library, vector), None, image.ra, image.dec, (note,))


def _check(library: Library, vector: Floats) -> Floats:
    if vector.shape != (library.embeddings.dimension,):
        raise InputError(f"a query of shape {vector.shape}", f"give {library.embeddings.dimension} numbers")
    if not np.isfinite(vector).all() or not vector.any():
        raise InputError("the query's vector is zero or not finite", "look at its image")
    return vector


def _choose(library: Library, found: Sequence[_Found], k: int, method: Method) -> str:
    stored = _has_stored(library, found, k)
    if method == "neighbours" and not stored:
        most = library.neighbours.k if library.neighbours else 0
        raise InputError(
            f"stored neighbours answer one bright object of the catalogue and k up to {most}", "use another method"
        )
    if method == "index" and library.index is None:
        raise InputError("there is no index of these embeddings", "run `lenscore job run index`, or use method exact")
    if method != "auto":
        return method
    if stored:
        return "neighbours"
    return "index" if library.index is not None else "exact"


def _has_stored(library: Library, found: Sequence[_Found], k: int) -> bool:
    row = found[0].row
    if library.neighbours is None or len(found) > 1 or row is None or k > library.neighbours.k:
        return False
    return bool((library.neighbours.of(row)[0] != NO_ROW).any())


def _search(
    library: Library, found: Sequence[_Found], k: int, combine: Literal["mean", "max"], method: str, device: str
) -> tuple[Rows, Floats]:
    whitening = library.whitening
    vectors = prepare(np.stack([item.vector for item in found]), whitening)
    if combine == "mean":
        vectors = unit(vectors.mean(axis=0, keepdims=True))
        if not vectors.any():
            raise InputError("the mean of the queries is zero: they point in opposite directions", "combine by max")
    if method == "index" and library.index is not None:
        _, rows = library.index.search(vectors, RERANK * k)
        rows, similarity = _compare(library, whitening, vectors, np.unique(rows[rows != NO_ROW]))
    else:
        similarity, rows = search_all(library.embeddings, whitening, vectors, k, device)
        rows, similarity = _best_of_each(rows.ravel(), similarity.ravel())
    return rows[:k], similarity[:k]


def _compare(library: Library, whitening: Whitening, vectors: Floats, rows: Rows) -> tuple[Rows, Floats]:
    """Exact similarity of some rows to the best of the queries, best first."""
    candidates = prepare(library.embeddings.take(rows.astype(np.int64)), whitening)
    return _best_of_each(rows, (candidates @ vectors.T).max(axis=1))


def _best_of_each(rows: Rows, similarity: Floats) -> tuple[Rows, Floats]:
    """Each row once, with its best similarity, best first, ties by row."""
    good = rows != NO_ROW
    rows, similarity = rows[good], similarity[good]
    order = np.argsort(pack(similarity, rows), kind="stable")
    _, first = np.unique(rows[order], return_index=True)
    kept = order[np.sort(first)]
    return rows[kept], similarity[kept]


def _table(library: Library, rows: Rows, similarity: Floats, found: Sequence[_Found]) -> pa.Table:
    bands = library.cutouts.bands
    magnitude = "mag_r" if "r" in bands else f"mag_{bands[0]}"
    table = read_rows(library.cutouts.catalogue, rows.astype(np.int64), ["ls_id", "ra", "dec", magnitude])
    table = table.add_column(0, pa.field("row", pa.int64()), pa.array(rows.astype(np.int64)))
    table = table.append_column(pa.field("similarity", pa.float32()), pa.array(similarity.astype(np.float32)))
    apart = np.full(len(rows), np.nan)
    for item in found:
        if np.isfinite(item.ra):
            near = separation_arcsec(table["ra"].to_numpy(), table["dec"].to_numpy(), item.ra, item.dec)
            apart = np.fmin(apart, near)
    column = pa.field("separation_arcsec", pa.float64(), metadata={"unit": "arcsec"})
    return table.append_column(column, pa.array(apart))
