"""Where the objects are that people graded: a grade names an object of the release that it was given on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenscore.artifacts import Artifact, Table
from lenscore.candidates.grades import DISPUTED
from lenscore.candidates.sources import row_ranges


@dataclass(frozen=True)
class Graded:
    """Positions that people graded.

    Attributes:
        ra_v, dec_v: where (V,) [deg].
        kept_v: whether they kept the object as a lens (V,).
        lost: ls_id of graded objects that are neither in this catalogue nor among the graded candidates.
    """

    ra_v: NDArray[np.float64]
    dec_v: NDArray[np.float64]
    kept_v: NDArray[np.bool_]
    lost: tuple[int, ...]


def find_graded(grades: Sequence[Artifact], catalogue: Table, lens_votes: Sequence[str]) -> Graded:
    """Find the positions of all graded objects.

    Those that were graded as candidates lie where the candidates say, whatever their release; others (from a vetting
    sheet) are looked up by ls_id in this catalogue, which is streamed for it. Disputed grades say nothing.

    Args:
        grades: artifacts of merged grades, in order.
        catalogue: of the objects to be labelled.
        lens_votes: grades that keep an object as a lens, in any case.

    Returns:
        The positions, in the order of the grades.
    """
    wanted = {vote.casefold() for vote in lens_votes}
    rows: list[tuple[int, bool]] = []
    places: dict[int, tuple[float, float]] = {}
    for item in grades:
        votes = item.table("grades").read(["ls_id", "grade"]).to_pylist()
        rows += [
            (row["ls_id"], row["grade"].casefold() in wanted) for row in votes if row["grade"] not in ("", DISPUTED)
        ]
        places |= _candidate_places(item)
    missing = sorted({ls_id for ls_id, _ in rows} - places.keys())
    places |= _catalogue_places(catalogue, missing) if missing else {}
    found = [(*places[ls_id], kept) for ls_id, kept in rows if ls_id in places]
    ra, dec, kept = zip(*found, strict=True) if found else ((), (), ())
    lost = tuple(sorted({ls_id for ls_id, _ in rows} - places.keys()))
    return Graded(np.array(ra, float), np.array(dec, float), np.array(kept, bool), lost)


def _candidate_places(grades: Artifact) -> dict[int, tuple[float, float]]:
    places: dict[int, tuple[float, float]] = {}
    for reference in grades.manifest.inputs.get("candidates", ()):
        table = (
            Artifact.open(grades.store, reference.kind, reference.id).table("candidates").read(["ls_id", "ra", "dec"])
        )
        places |= {row["ls_id"]: (row["ra"], row["dec"]) for row in table.to_pylist()}
    return places


def _catalogue_places(catalogue: Table, ids: Sequence[int]) -> dict[int, tuple[float, float]]:
    wanted = np.array(ids, dtype=np.int64)
    places: dict[int, tuple[float, float]] = {}
    for start, stop in row_ranges(catalogue.num_rows):
        part = catalogue.read(["ls_id", "ra", "dec"], start, stop)
        here = part.take(np.flatnonzero(np.isin(part["ls_id"].to_numpy(), wanted)))
        places |= {row["ls_id"]: (row["ra"], row["dec"]) for row in here.to_pylist()}
    return places
