"""What changed between two versions of the candidates, and why (FACTS: Survey, on identity across releases)."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from lenscore.candidates.evidence import take_rows
from lenscore.candidates.twins import Key, Twin, Version, find_twins
from lenscore.survey.ids import NO_ID
from lenscore.survey.sky_geometry import separation_arcsec

APPEARED, DISAPPEARED, MOVED, SAME = "appeared", "disappeared", "moved in rank", "same rank"
NEW, VANISHED = "new object", "vanished"
BECAME_KNOWN, NO_LONGER_KNOWN = "became known", "no longer known"
CROWDED_OUT, NO_LONGER_CROWDED = "better candidate near by", "better candidate near by is gone"
MODEL, IMAGING, BOTH = "model changed", "imaging changed", "model and imaging changed"
CUT, LIST = "moved across the cut", "other candidates came or went"

DIFFERENCES = pa.schema(
    [
        pa.field("change", pa.string()),
        pa.field("cause", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("ls_id_before", pa.int64()),
        pa.field("ls_id_after", pa.int64()),
        pa.field("release_before", pa.string()),
        pa.field("release_after", pa.string()),
        pa.field("ra", pa.float64(), metadata={"unit": "deg"}),
        pa.field("dec", pa.float64(), metadata={"unit": "deg"}),
        pa.field("separation_arcsec", pa.float64(), metadata={"unit": "arcsec"}),
        pa.field("rank_before", pa.int64()),
        pa.field("rank_after", pa.int64()),
    ]
)
"""A row a difference. Ranks are null, and ls_id -1, where the object is not in that list or not in that release."""


@dataclass(frozen=True)
class Tolerance:
    """How much a catalogue's values may differ before imaging counts as changed.

    Attributes:
        mag: magnitudes [mag].
        ratio: depth and seeing, as a fraction.
    """

    mag: float = 0.02
    ratio: float = 0.05


def compare_versions(
    before: Version,
    after: Version,
    match_arcsec: float,
    tolerance: Tolerance,
    *,
    scheduler: str | None = None,
    threads: int = 1,
) -> tuple[pa.Table, dict[str, Any]]:
    """List the differences between two versions, each with its cause.

    Args:
        before, after: the versions.
        match_arcsec: as for `find_twins`.
        tolerance: from where on imaging counts as changed.
        scheduler, threads: where Dask runs.

    Returns:
        (table with columns DIFFERENCES: what disappeared, appeared, then moved; a summary as JSON types).
    """
    forward = find_twins(before, after, match_arcsec, scheduler=scheduler, threads=threads)
    backward = find_twins(after, before, match_arcsec, scheduler=scheduler, threads=threads)
    imaging = _Imaging(before, after, forward, backward, tolerance)
    rows = [_of_before(before, after, place, twin, imaging) for place, twin in enumerate(forward)]
    rows += [
        _of_after(before, after, place, twin, imaging)
        for place, twin in enumerate(backward)
        if twin is None or (twin.release, twin.ls_id) not in before.place
    ]
    counts = Counter((row["change"], row["cause"]) for row in rows)
    order = {DISAPPEARED: 0, APPEARED: 1, MOVED: 2}
    listed = [row for row in rows if row["change"] in order]
    listed.sort(key=lambda row: (order[row["change"]], row["rank_before"] or row["rank_after"]))
    return pa.Table.from_pylist(listed, schema=DIFFERENCES), _summary(before, after, counts)


def _of_before(before: Version, after: Version, place: int, twin: Twin | None, imaging: "_Imaging") -> dict[str, Any]:
    key = before.keys[place]
    row = _blank(before, place) | {"ls_id_before": key[1], "release_before": key[0]}
    row["rank_before"] = before.rows["rank"][place].as_py()
    if twin is None:
        return row | {"change": DISAPPEARED, "cause": VANISHED}
    other = (twin.release, twin.ls_id)
    row |= _at_twin(row, twin) | {"ls_id_after": twin.ls_id, "release_after": twin.release}
    detail = imaging.change(key, other)
    if other not in after.place:
        special = {"near a better candidate": CROWDED_OUT, "": ""}.get(after.dropped.get(other, ""), BECAME_KNOWN)
        cause = special or _cause(before, after, key, other, detail, CUT)
        return row | {"change": DISAPPEARED, "cause": cause, "detail": after.dropped.get(other) or detail}
    row["rank_after"] = after.rows["rank"][after.place[other]].as_py()
    if row["rank_after"] == row["rank_before"]:
        return row | {"change": SAME}
    return row | {"change": MOVED, "cause": _cause(before, after, key, other, detail, LIST), "detail": detail}


def _of_after(before: Version, after: Version, place: int, twin: Twin | None, imaging: "_Imaging") -> dict[str, Any]:
    key = after.keys[place]
    row = _blank(after, place) | {"ls_id_after": key[1], "release_after": key[0], "change": APPEARED}
    row["rank_after"] = after.rows["rank"][place].as_py()
    if twin is None:
        return row | {"cause": NEW}
    other = (twin.release, twin.ls_id)
    detail = imaging.change(other, key)
    reason = before.dropped.get(other, "")
    special = {"near a better candidate": NO_LONGER_CROWDED, "": ""}.get(reason, NO_LONGER_KNOWN)
    cause = special or _cause(before, after, other, key, detail, CUT)
    apart = {"separation_arcsec": _at_twin(row, twin)["separation_arcsec"]}
    return (
        row | apart | {"ls_id_before": other[1], "release_before": other[0], "cause": cause, "detail": reason or detail}
    )


def _blank(version: Version, place: int) -> dict[str, Any]:
    ra, dec = (version.rows[name][place].as_py() for name in ("ra", "dec"))
    return {
        "change": "",
        "cause": "",
        "detail": "",
        "ls_id_before": NO_ID,
        "ls_id_after": NO_ID,
        "release_before": "",
        "release_after": "",
        "ra": ra,
        "dec": dec,
        "separation_arcsec": None,
        "rank_before": None,
        "rank_after": None,
    }


def _at_twin(row: dict[str, Any], twin: Twin) -> dict[str, Any]:
    apart = float(separation_arcsec([row["ra"]], [row["dec"]], twin.ra, twin.dec)[0])
    return {"ra": twin.ra, "dec": twin.dec, "separation_arcsec": apart}


def _cause(before: Version, after: Version, was: Key, now: Key, imaging: str, otherwise: str) -> str:
    model = before.models.get(was[0]) != after.models.get(now[0])
    if model and imaging:
        return BOTH
    return MODEL if model else IMAGING if imaging else otherwise


class _Imaging:
    """Tells whether an object's imaging differs between the two versions."""

    def __init__(
        self,
        before: Version,
        after: Version,
        forward: list[Twin | None],
        backward: list[Twin | None],
        tolerance: Tolerance,
    ) -> None:
        self.tolerance = tolerance
        self.same_cutouts = {name for name, id in before.cutouts.items() if after.cutouts.get(name) == id}
        self.before = _measured(before, [twin for twin in backward if twin])
        self.after = _measured(after, [twin for twin in forward if twin])

    def change(self, was: Key, now: Key) -> str:
        """Say what differs; "" if nothing does."""
        if was == now and was[0] in self.same_cutouts:
            return ""
        old, new = self.before[was], self.after[now]
        found = [self._one(name, old[name], new[name]) for name in old if name in new]
        return ", ".join(text for text in found if text)

    def _one(self, name: str, old: float, new: float) -> str:
        limit = self.tolerance.mag if name.startswith("mag_") else 0.0 if name.startswith("nobs_") else None
        off = abs(new - old) > limit if limit is not None else abs(new - old) > self.tolerance.ratio * abs(old)
        appeared = np.isnan(old) != np.isnan(new)
        return f"{name} {old:.4g} -> {new:.4g}" if off or appeared else ""


def _measured(version: Version, twins: list[Twin]) -> dict[Key, dict[str, float]]:
    """Imaging columns of a version's own candidates, and of the other's twins in it."""
    own = dict(zip(version.keys, version.rows["row"].to_pylist(), strict=True))
    rows = own | {(twin.release, twin.ls_id): twin.row for twin in twins}
    found: dict[Key, dict[str, float]] = {}
    for name, catalogue in version.catalogues.items():
        mine = sorted((row, key) for key, row in rows.items() if key[0] == name)
        columns = [f"{column}_{band}" for column in ("mag", "psfdepth", "psfsize", "nobs") for band in catalogue.bands]
        table = take_rows(catalogue.table, np.array([row for row, _ in mine], dtype=np.int64), columns)
        for (_, key), values in zip(mine, table.to_pylist(), strict=True):
            found[key] = {column: float("nan") if value is None else float(value) for column, value in values.items()}
    return found


def _summary(before: Version, after: Version, counts: Counter[tuple[str, str]]) -> dict[str, Any]:
    changes = {
        change: {cause: number for (other, cause), number in sorted(counts.items()) if other == change}
        for change in (DISAPPEARED, APPEARED, MOVED)
    }
    return {
        "before": str(before.artifact.reference),
        "after": str(after.artifact.reference),
        "releases_before": list(before.catalogues),
        "releases_after": list(after.catalogues),
        "candidates_before": before.rows.num_rows,
        "candidates_after": after.rows.num_rows,
        "in_both": sum(number for (change, _), number in counts.items() if change in (MOVED, SAME)),
        "same_rank": sum(number for (change, _), number in counts.items() if change == SAME),
        "models_before": _model_ids(before),
        "models_after": _model_ids(after),
        "changes": changes,
    }


def _model_ids(version: Version) -> list[str]:
    return sorted({id for methods in version.models.values() for ids in methods.values() for id in ids})
