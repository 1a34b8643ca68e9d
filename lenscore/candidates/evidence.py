"""The table of candidates: each with its place by every method, what is known near by, and what it came from."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.artifacts import Table
from lenscore.candidates.dedup import NOBODY
from lenscore.candidates.labels import AMBIGUOUS, LENS, NEAR
from lenscore.candidates.ranking import Objects, Ranking, read_strata, why_not
from lenscore.candidates.similar import SIMILARITY, SimilarObjects
from lenscore.candidates.sources import ScoreTable, Searched, row_ranges
from lenscore.candidates.strata import Stratum
from lenscore.survey.ids import NO_ID

CATALOGUE_COLUMNS = ("region", "type", "ebv", "z_phot", "z_spec")
BAND_COLUMNS = ("mag", "nobs")

Floats = NDArray[np.float64]


def candidate_table(
    ranking: Ranking, searched: Sequence[Searched], strata: Sequence[Stratum], methods: Sequence[str]
) -> pa.Table:
    """Write out the candidates, best first.

    The scores are streamed once more, to tell each candidate's rank by every method among all objects of its stratum.

    Args:
        ranking: the outcome.
        searched, strata, methods: what it was made from.

    Returns:
        A row a candidate: rank, who it is, its catalogue columns, what is known, scores, probabilities and ranks by
        method, how many objects it suppressed, an empty grade, and its sources.
    """
    chosen = np.flatnonzero(ranking.picked.picked_n)
    objects, stratum_n = ranking.pool.objects_n[chosen], ranking.pool.stratum_n[chosen]
    columns = {
        "rank": pa.array(np.arange(1, len(chosen) + 1)),
        "stratum": pa.array([strata[number].name for number in stratum_n.tolist()], pa.string()),
        **_identity_columns(objects, searched),
        **_catalogue_columns(objects, searched),
        **_known_columns(ranking, chosen),
        "best_rank": pa.array(ranking.pool.best_rank_n[chosen]),
        "best_method": pa.array([methods[number] for number in ranking.pool.method_n[chosen].tolist()], pa.string()),
        **_method_columns(objects, stratum_n, searched, strata, methods),
        "suppressed": pa.array(_count_suppressed(ranking)[chosen], pa.int32()),
        "grade": pa.array([""] * len(chosen), pa.string()),
        "sources": pa.array(_sources(objects, searched), pa.string()),
    }
    return pa.table({name: _with_unit(name, column)[0] for name, column in columns.items()}).cast(
        pa.schema([_with_unit(name, column)[1] for name, column in columns.items()])
    )


def dropped_table(ranking: Ranking, searched: Sequence[Searched], strata: Sequence[Stratum]) -> pa.Table:
    """Write out the objects that ranked high enough but are no candidates, and why.

    Args:
        ranking: the outcome.
        searched, strata: what it was made from.

    Returns:
        A row an object, best first; by_ls_id is the better candidate near by, -1 for none.
    """
    reasons = why_not(ranking)
    chosen = np.array([number for number, reason in enumerate(reasons) if reason], dtype=np.int64)
    objects = ranking.pool.objects_n[chosen]
    others = np.where(ranking.barred_n[chosen], NOBODY, ranking.picked.suppressor_n[chosen])
    by = np.where(others == NOBODY, NO_ID, ranking.pool.objects_n["ls_id"][others]) if len(chosen) else others
    return pa.table(
        {
            **_identity_columns(objects, searched),
            "stratum": pa.array(
                [strata[number].name for number in ranking.pool.stratum_n[chosen].tolist()], pa.string()
            ),
            "best_rank": pa.array(ranking.pool.best_rank_n[chosen]),
            "reason": pa.array([reasons[number] for number in chosen.tolist()], pa.string()),
            "by_ls_id": pa.array(by, pa.int64()),
            "nearest_lens": pa.array(ranking.known.system_n[chosen].tolist(), pa.string()),
            "nearest_lens_arcsec": pa.array(ranking.known.separation_arcsec_n[chosen]),
        }
    )


def _identity_columns(objects: Objects, searched: Sequence[Searched]) -> dict[str, pa.Array]:
    return {
        "ls_id": pa.array(objects["ls_id"]),
        "release_name": pa.array([searched[number].name for number in objects["release"].tolist()], pa.string()),
        "row": pa.array(objects["row"]),
        "ra": pa.array(objects["ra"]),
        "dec": pa.array(objects["dec"]),
    }


def _catalogue_columns(objects: Objects, searched: Sequence[Searched]) -> dict[str, pa.Array]:
    """Columns of the catalogues; null in a band that a release has not."""
    parts, places = [], []
    for number, item in enumerate(searched):
        mine = np.flatnonzero(objects["release"] == number)
        mine = mine[np.argsort(objects["row"][mine])]
        parts.append(take_rows(item.catalogue, objects["row"][mine], columns_of(item)))
        places.append(mine)
    every = pa.concat_tables(parts, promote_options="default").take(np.argsort(np.concatenate(places)))
    return {name: every[name].combine_chunks() for name in every.column_names}


def columns_of(item: Searched) -> list[str]:
    """Catalogue columns that a candidate keeps."""
    return [*CATALOGUE_COLUMNS, *(f"{name}_{band}" for name in BAND_COLUMNS for band in item.bands)]


def take_rows(catalogue: Table, rows: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
    """Read rows of a catalogue; only ranges that hold any are read.

    Args:
        catalogue: where from.
        rows: rising (N,).
        columns: which.

    Returns:
        The rows, in order.
    """
    parts = [catalogue.read(columns, 0, 0)]
    for start, stop in row_ranges(catalogue.num_rows):
        low, high = np.searchsorted(rows, [start, stop])
        if low < high:
            parts.append(catalogue.read(columns, start, stop).take(rows[low:high] - start))
    return pa.concat_tables(parts)


def _known_columns(ranking: Ranking, chosen: NDArray[np.int64]) -> dict[str, pa.Array]:
    label = ranking.known.label_n[chosen]
    return {
        "known": pa.array(np.isin(label, [LENS, AMBIGUOUS])),
        "near_known": pa.array(label == NEAR),
        "label": pa.array(label.tolist(), pa.string()),
        "nearest_lens": pa.array(ranking.known.system_n[chosen].tolist(), pa.string()),
        "nearest_lens_arcsec": pa.array(ranking.known.separation_arcsec_n[chosen]),
    }


def _method_columns(
    objects: Objects,
    stratum_n: NDArray[np.int64],
    searched: Sequence[Searched],
    strata: Sequence[Stratum],
    methods: Sequence[str],
) -> dict[str, pa.Array]:
    places = {name: _Places(len(objects)) for name in methods}
    for number, item in enumerate(searched):
        mine = np.flatnonzero(objects["release"] == number)
        for start, stop in row_ranges(item.catalogue.num_rows):
            here = mine[(objects["row"][mine] >= start) & (objects["row"][mine] < stop)]
            for name in item.methods:
                places[name].look_up(item, name, here, objects["row"][here], start, stop)
    _count_better(places, stratum_n, searched, strata)
    columns: dict[str, pa.Array] = {}
    for name, place in places.items():
        columns |= place.columns(name)
    return columns


class _Places:
    """Scores, probabilities and ranks of the candidates by one method."""

    def __init__(self, candidates: int) -> None:
        self.score = np.full(candidates, np.nan)
        self.probability = np.full(candidates, np.nan)
        self.better = np.zeros(candidates, dtype=np.int64)
        self.query = np.full(candidates, NO_ID, dtype=np.int64)

    def look_up(
        self, item: Searched, name: str, here: NDArray[np.int64], rows: NDArray[np.int64], start: int, stop: int
    ) -> None:
        """Read the scores of the candidates `here`, whose rows lie in start..stop."""
        if len(here) == 0:
            return
        scores = item.methods[name]
        self.score[here] = scores.read(start, stop)[rows - start]
        if isinstance(scores, SimilarObjects):
            self.query[here] = _query_ids(item, scores, rows)
        elif isinstance(scores, ScoreTable):
            self.probability[here] = scores.probabilities(start, stop)[rows - start]

    def columns(self, name: str) -> dict[str, pa.Array]:
        """score_, rank_ and probability_ (or, of the similarity search, similar_to) columns."""
        ranked = np.isfinite(self.score)
        found = {
            f"score_{name}": pa.array(self.score),
            f"rank_{name}": pa.array(self.better + 1, mask=~ranked),
        }
        if name == SIMILARITY:
            return {**found, "similar_to": pa.array(self.query)}
        return {**found, f"probability_{name}": pa.array(self.probability)}


def _count_better(
    places: dict[str, _Places], stratum_n: NDArray[np.int64], searched: Sequence[Searched], strata: Sequence[Stratum]
) -> None:
    """Count, in one pass, the objects of each candidate's stratum that score higher."""
    for item in searched:
        for start, stop in row_ranges(item.catalogue.num_rows):
            _, stratum_of_row = read_strata(item, strata, start, stop)
            for name, scores in item.methods.items():
                every = scores.read(start, stop)
                for stratum in range(len(strata)):
                    members = np.flatnonzero(stratum_n == stratum)
                    ordered = np.sort(every[(stratum_of_row == stratum) & np.isfinite(every)])
                    above = len(ordered) - np.searchsorted(ordered, places[name].score[members], side="right")
                    places[name].better[members] += above


def _query_ids(item: Searched, similar: SimilarObjects, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    queries = similar.queries_of(rows)
    known = np.unique(queries[queries >= 0])
    if len(known) == 0:
        return np.full(len(rows), NO_ID, dtype=np.int64)
    ids = take_rows(item.catalogue, known, ["ls_id"])["ls_id"].to_numpy()
    return np.where(queries >= 0, ids[np.searchsorted(known, np.maximum(queries, known[0]))], NO_ID)


def _count_suppressed(ranking: Ranking) -> NDArray[np.int64]:
    by = ranking.picked.suppressor_n[ranking.picked.reached_n & (ranking.picked.suppressor_n != NOBODY)]
    return np.bincount(by, minlength=len(ranking.picked.suppressor_n))


def _sources(objects: Objects, searched: Sequence[Searched]) -> list[str]:
    texts = []
    for item in searched:
        artifacts = [
            item.cutouts,
            *([item.labels] if item.labels else []),
            *(m.artifact for m in item.methods.values()),
        ]
        texts.append(" ".join(str(artifact.reference) for artifact in artifacts))
    return [texts[number] for number in objects["release"].tolist()]


UNITS = {"ra": "deg", "dec": "deg", "ebv": "mag", "nearest_lens_arcsec": "arcsec"}


def _with_unit(name: str, column: pa.Array) -> tuple[pa.Array, pa.Field]:
    unit = "mag" if name.startswith("mag_") else UNITS.get(name, "")
    return column, pa.field(name, column.type, metadata={"unit": unit})
