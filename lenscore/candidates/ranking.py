"""The best objects of each stratum by several methods, without ever holding all objects (paper 4.3).

Each method ranks a stratum's objects by its own score. Scores of different methods cannot be compared, ranks can: an
object's place in the merged list is its best rank, so that the top of every method is looked at first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lenscore.candidates.dedup import Picked, pick_best
from lenscore.candidates.labels import AMBIGUOUS, LENS, NEAR
from lenscore.candidates.sources import Searched, row_ranges
from lenscore.candidates.strata import Stratum
from lenscore.errors import InputError

NO_RANK = np.iinfo(np.int64).max
OBJECT = np.dtype([("release", "i4"), ("row", "i8"), ("ls_id", "i8"), ("ra", "f8"), ("dec", "f8"), ("score", "f8")])
"""An object in a pool: number of its release, its place there, and its score by the pool's method."""

Objects = NDArray[np.void]
Progress = Callable[[int, int], None]


@dataclass
class TopRows:
    """The `depth` highest of a stream of scores. Memory grows with depth, not with the stream.

    Of equal scores those of the earlier release and lower ls_id count as higher, so that the result does not depend
    on how the stream is cut.

    Attributes:
        depth: how many to keep.
        seen: how many scores came by.
    """

    depth: int
    seen: int = 0
    _kept: list[Objects] = field(default_factory=list)
    _floor: float = -np.inf

    def push(self, objects: Objects) -> None:
        """Look at more objects; those without a score (NaN) are passed over."""
        self.seen += int(np.isfinite(objects["score"]).sum())
        self._kept.append(objects[objects["score"] >= self._floor])
        if sum(map(len, self._kept)) > 2 * self.depth:
            self._compact()

    def best(self) -> Objects:
        """The highest, best first."""
        self._compact()
        return self._kept[0]

    @property
    def truncated(self) -> bool:
        """Whether objects were left out for lack of depth."""
        return self.seen > self.depth

    def _compact(self) -> None:
        every = np.concatenate([np.empty(0, OBJECT), *self._kept])
        order = np.lexsort((every["ls_id"], every["release"], -every["score"]))[: self.depth]
        self._kept = [every[order]]
        if len(order) == self.depth:
            self._floor = float(every["score"][order[-1]])


@dataclass(frozen=True)
class Pool:
    """Objects that any method puts high enough, best first.

    Attributes:
        objects_n: who they are (N,); the field score means nothing here.
        stratum_n: number of their stratum (N,).
        best_rank_n: their best rank by any method within the stratum, from 1 (N,).
        method_n: number of that method (N,).
    """

    objects_n: Objects
    stratum_n: NDArray[np.int64]
    best_rank_n: NDArray[np.int64]
    method_n: NDArray[np.int64]


@dataclass(frozen=True)
class Known:
    """What is known of the objects of a pool.

    Attributes:
        label_n: lens, near, ambiguous, or "" (N,).
        system_n: the known lens that this rests on, or "" (N,).
        separation_arcsec_n: how far that is; NaN for none (N,).
    """

    label_n: NDArray[np.str_]
    system_n: NDArray[np.str_]
    separation_arcsec_n: NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """The outcome.

    Attributes:
        pool: all objects considered.
        known: what is known of them.
        barred_n: left out for that (N,).
        picked: what became of each.
        complete: whether each stratum's budget was filled as far as its objects go.
    """

    pool: Pool
    known: Known
    barred_n: NDArray[np.bool_]
    picked: Picked
    complete: bool


def rank_objects(
    searched: Sequence[Searched],
    strata: Sequence[Stratum],
    methods: Sequence[str],
    *,
    limits: dict[str, int],
    drop: Sequence[str],
    radius_arcsec: float,
    done: Progress | None = None,
) -> Ranking:
    """Rank: the top of each method merged, known lenses dropped, one object kept of several near by.

    The scores are streamed, once as a rule; again with deeper pools where so many were dropped that a budget is left.

    Args:
        searched: the releases.
        strata: parts of the survey with their budgets.
        methods: names, in the order that breaks ties.
        limits: the most objects to take by a method in a stratum, by its name; no limit for those not named.
        drop: labels that are left out.
        radius_arcsec: one object is kept within this [arcsec].
        done: called with (rows read, rows) now and then.

    Returns:
        The pool and what became of it.
    """
    labelled = sum(item.known().num_rows for item in searched)
    depths = np.array([2 * stratum.budget + labelled for stratum in strata])
    while True:
        tops = scan(searched, strata, methods, depths, limits, done)
        pool = merge(tops)
        known = look_up_known(pool.objects_n, searched)
        objects, budgets = pool.objects_n, [stratum.budget for stratum in strata]
        barred = np.isin(known.label_n, list(drop))
        picked = pick_best(objects["ra"], objects["dec"], pool.stratum_n, budgets, barred, radius_arcsec)
        taken = np.bincount(pool.stratum_n[picked.picked_n], minlength=len(strata))
        deeper = [
            taken[number] < budgets[number] and any(top.truncated for name, top in row.items() if name not in limits)
            for number, row in enumerate(tops)
        ]
        if not any(deeper):
            return Ranking(pool, known, barred, picked, bool((taken == budgets).all()))
        depths = np.where(deeper, depths * 4, depths)


def scan(
    searched: Sequence[Searched],
    strata: Sequence[Stratum],
    methods: Sequence[str],
    depths: Sequence[int] | NDArray[np.int64],
    limits: dict[str, int],
    done: Progress | None = None,
) -> list[dict[str, TopRows]]:
    """Stream all scores, keeping the best of each stratum by each method.

    Args:
        searched, strata, methods, limits, done: as for `rank_objects`.
        depths: how many to keep in each stratum.

    Returns:
        For each stratum the best rows by method.
    """
    tops = [{name: TopRows(min(int(depth), limits.get(name, NO_RANK))) for name in methods} for depth in depths]
    total, before = sum(item.catalogue.num_rows for item in searched), 0
    for number, item in enumerate(searched):
        for start, stop in row_ranges(item.catalogue.num_rows):
            _push_range(number, item, strata, tops, start, stop)
            if done:
                done(before + stop, total)
        before += item.catalogue.num_rows
    return tops


def merge(tops: Sequence[dict[str, TopRows]]) -> Pool:
    """Merge the best rows of all methods and strata, best rank first.

    Equal ranks go by method, then stratum, release and ls_id.

    Args:
        tops: for each stratum the best rows by method.

    Returns:
        Each object once.
    """
    parts = []
    for stratum, row in enumerate(tops):
        for method, top in enumerate(row.values()):
            best = top.best()
            parts.append(
                (best, np.full(len(best), stratum), competition_ranks(best["score"]), np.full(len(best), method))
            )
    objects, strata, ranks, methods = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((objects["ls_id"], objects["release"], strata, methods, ranks))
    keys = objects["release"][order].astype(np.int64) << 40 | objects["row"][order]
    _, first = np.unique(keys, return_index=True)
    order = order[np.sort(first)]
    return Pool(objects[order], strata[order], ranks[order], methods[order])


def competition_ranks(scores_n: NDArray[np.float64]) -> NDArray[np.int64]:
    """Ranks from 1 of scores sorted downwards; equal scores share the best rank (N,)."""
    return np.searchsorted(-scores_n, -scores_n, side="left") + 1


def stratum_of(batch: pa.Table, strata: Sequence[Stratum]) -> NDArray[np.int64]:
    """Which stratum each object belongs to.

    Args:
        batch: columns region and the magnitudes of the strata's bands.
        strata: the first that fits counts.

    Returns:
        Numbers of strata (N,); -1 for none, as where the magnitude is not known.
    """
    found = np.full(batch.num_rows, -1, dtype=np.int64)
    for number, stratum in enumerate(strata):
        inside = pc.equal(batch["region"], stratum.region).to_numpy().astype(bool) & (found < 0)
        if stratum.mag_min is not None or stratum.mag_max is not None:
            mag = batch[f"mag_{stratum.band}"].to_numpy()
            inside &= mag >= (-np.inf if stratum.mag_min is None else stratum.mag_min)
            inside &= mag < (np.inf if stratum.mag_max is None else stratum.mag_max)
        found[inside] = number
    return found


def read_strata(item: Searched, strata: Sequence[Stratum], start: int, stop: int) -> tuple[pa.Table, NDArray[np.int64]]:
    """Read identities and positions of a range of rows, and their strata.

    Raises:
        InputError: a stratum asks for a band that the release has not.
    """
    used = [stratum for stratum in strata if stratum.mag_min is not None or stratum.mag_max is not None]
    for stratum in used:
        if stratum.band not in item.bands:
            raise InputError(
                f"stratum {stratum.name!r} is cut in band {stratum.band!r}, which {item.name} has not",
                f"use one of {', '.join(item.bands)}",
            )
    mags = sorted({f"mag_{stratum.band}" for stratum in used})
    batch = item.catalogue.read(["ls_id", "ra", "dec", "region", *mags], start, stop)
    return batch, stratum_of(batch, strata)


def look_up_known(objects_n: Objects, searched: Sequence[Searched]) -> Known:
    """Find what is known of objects.

    Args:
        objects_n: who they are (N,).
        searched: the releases, with their labels.

    Returns:
        Label, system and separation of each.
    """
    labels = np.full(len(objects_n), "", dtype="U16")
    systems = np.full(len(objects_n), "", dtype="U64")
    apart = np.full(len(objects_n), np.nan)
    for number, item in enumerate(searched):
        table = item.known().sort_by("row")
        rows = table["row"].to_numpy()
        mine = np.flatnonzero(objects_n["release"] == number)
        place = np.searchsorted(rows, objects_n["row"][mine])
        hit = place < len(rows)
        hit[hit] = rows[place[hit]] == objects_n["row"][mine][hit]
        mine, place = mine[hit], place[hit]
        labels[mine] = np.array(table["label"].to_pylist(), dtype="U16")[place]
        systems[mine] = np.array(table["system_id"].to_pylist(), dtype="U64")[place]
        apart[mine] = table["separation_arcsec"].to_numpy()[place]
    return Known(labels, systems, apart)


def why_not(ranking: Ranking) -> list[str]:
    """Why each object of the pool is no candidate; "" for one that is, or whose turn never came."""
    reasons = {LENS: "known lens", NEAR: "near a known lens", AMBIGUOUS: "listed but ambiguous"}
    dropped = ranking.picked.reached_n & ~ranking.picked.picked_n
    return [
        "" if not out else reasons[label] if barred else "near a better candidate"
        for out, label, barred in zip(
            dropped.tolist(), ranking.known.label_n.tolist(), ranking.barred_n.tolist(), strict=True
        )
    ]


def _push_range(
    number: int, item: Searched, strata: Sequence[Stratum], tops: list[dict[str, TopRows]], start: int, stop: int
) -> None:
    batch, stratum_n = read_strata(item, strata, start, stop)
    objects = np.empty(batch.num_rows, OBJECT)
    objects["release"], objects["row"] = number, np.arange(start, stop)
    for name in ("ls_id", "ra", "dec"):
        objects[name] = batch[name].to_numpy()
    members = [np.flatnonzero(stratum_n == stratum) for stratum in range(len(strata))]
    for name, scores in item.methods.items():
        objects["score"] = scores.read(start, stop)
        for rows, row in zip(members, tops, strict=True):
            if name in row:
                row[name].push(objects[rows])
