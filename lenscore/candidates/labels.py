"""Lens, near, ambiguous or nonlens (paper 2.2): from the crossmatch and from people's votes.

A row of `Pair` arrays is an object and a lens. An object may be in several; the strongest one decides.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.survey.lens_lists import system_id
from lenscore.survey.matching import FOUND, mark_nearest

LENS, NEAR, AMBIGUOUS, NONLENS = "lens", "near", "ambiguous", "nonlens"
STRENGTHS = (NEAR, AMBIGUOUS, LENS)
"""Weakest first: who is near one lens and is another one, is a lens."""

LABELS = pa.schema(
    [
        *(FOUND.field(name) for name in ("row", "ls_id", "ra", "dec")),
        pa.field("label", pa.string()),
        pa.field("system_id", pa.string()),
        pa.field("separation_arcsec", pa.float64(), metadata={"unit": "arcsec"}),
    ]
)
"""Rows that are not plain nonlenses. A row that is not here is a nonlens."""

VETTING = pa.schema(
    [
        *LABELS,
        pa.field("names", pa.list_(pa.string())),
        pa.field("grades", pa.list_(pa.string())),
        pa.field("grade", pa.string()),
    ]
)
"""Listed lenses on which nobody has voted yet: grade is empty, to be filled in; grades are those of the lists."""

VOTED = pa.schema([pa.field("row", pa.int64()), pa.field("kept", pa.bool_())])
"""Objects on which people have voted."""


def accepted_systems(
    grades: Iterable[Sequence[str]], lens_grades: Sequence[str], ungraded_are_lenses: bool
) -> NDArray[np.bool_]:
    """Which systems count as lenses by their lists' grades alone.

    Args:
        grades: each system's grades.
        lens_grades: grades that make a lens, in any case.
        ungraded_are_lenses: whether a system without any grade counts.

    Returns:
        One flag a system.
    """
    wanted = {grade.casefold() for grade in lens_grades}
    flags = [any(grade.casefold() in wanted for grade in item) if item else ungraded_are_lenses for item in grades]
    return np.array(flags, dtype=bool)


def find_votes(found: pa.Table, kept: NDArray[np.bool_], match_arcsec: float) -> pa.Table:
    """Which objects were voted on: the nearest to each graded position, if within match_arcsec.

    Args:
        found: pairs of objects and graded positions, with columns FOUND.
        kept: whether people kept each position as a lens (positions,); of several for one object the last counts.
        match_arcsec: largest separation of an object from the position of its vote [arcsec].

    Returns:
        A table with columns VOTED, sorted by row.
    """
    same = mark_nearest(found) & (found["separation_arcsec"].to_numpy() <= match_arcsec)
    order = np.argsort(found["target"].to_numpy()[same], kind="stable")
    rows, targets = found["row"].to_numpy()[same][order], found["target"].to_numpy()[same][order]
    last = {row: bool(kept[target]) for row, target in zip(rows.tolist(), targets.tolist(), strict=True)}
    return pa.table([sorted(last), [last[row] for row in sorted(last)]], schema=VOTED)


def around_kept(found: pa.Table, kept: NDArray[np.bool_], voted: pa.Table, match_arcsec: float) -> pa.Table:
    """Pairs with the positions that people kept: those whose object was found, and not refused by a later vote.

    Args:
        found, kept, match_arcsec: as for `find_votes`.
        voted: what it returned.

    Returns:
        Those rows of found.
    """
    target = found["target"].to_numpy()
    kept_rows = voted["row"].to_numpy()[voted["kept"].to_numpy(zero_copy_only=False)]
    own = np.isin(found["row"].to_numpy(), kept_rows) & (found["separation_arcsec"].to_numpy() <= match_arcsec)
    return found.filter(pa.array(np.isin(target, target[own & kept[target]])))


def label_objects(pairs: pa.Table, accepted: NDArray[np.bool_], voted: pa.Table, kept_pairs: pa.Table) -> pa.Table:
    """Label all objects that are not plain nonlenses.

    The nearest object of a listed lens is a lens if people kept it, or if nobody voted and the list's grade is
    accepted; else it is ambiguous. The other objects near a listed lens, or near one that people kept, are near. An
    object that people kept is a lens even if no list has it.

    Args:
        pairs: the crossmatch's, with columns PAIRS (P rows).
        accepted: whether each pair's system counts by its lists' grades (P,).
        voted: with columns VOTED.
        kept_pairs: pairs of objects and positions that people kept, with columns FOUND.

    Returns:
        A table with columns LABELS, sorted by row.
    """
    listed = _listed_strength(pairs, accepted, voted)
    kept_rows = voted["row"].to_numpy()[voted["kept"].to_numpy(zero_copy_only=False)]
    own = mark_nearest(kept_pairs) & np.isin(kept_pairs["row"].to_numpy(), kept_rows)
    every = pa.concat_tables([pairs.select(LABELS_FROM_PAIRS), _name_kept(kept_pairs)])
    strength = np.concatenate([listed, np.where(own, 2, 0)])
    first_listed = np.repeat([0, 1], [len(listed), len(own)])
    rows, apart = every["row"].to_numpy(), every["separation_arcsec"].to_numpy()
    order = np.lexsort((apart, first_listed, -strength, rows))
    order = order[np.append(True, rows[order][1:] != rows[order][:-1])] if len(order) else order
    labels = pa.array([STRENGTHS[value] for value in strength[order]], pa.string())
    chosen = every.take(order)
    columns = {**{name: chosen[name] for name in LABELS_FROM_PAIRS}, "label": labels}
    return pa.table({name: columns[name] for name in LABELS.names}).cast(LABELS)


LABELS_FROM_PAIRS = ["row", "ls_id", "ra", "dec", "system_id", "separation_arcsec"]


def vetting_sheet(labels: pa.Table, pairs: pa.Table, voted: pa.Table) -> pa.Table:
    """List what people should look at: listed lenses, whatever their grade, on which nobody has voted.

    Args:
        labels: with columns LABELS.
        pairs: with columns PAIRS.
        voted: with columns VOTED.

    Returns:
        A table with columns VETTING, in the order of the rows.
    """
    of_system = dict(zip(pairs["system_id"].to_pylist(), range(pairs.num_rows), strict=True))
    label = np.array(labels["label"].to_pylist(), dtype=str)
    open_rows = (label != NEAR) & ~np.isin(labels["row"].to_numpy(), voted["row"].to_numpy())
    sheet = labels.filter(pa.array(open_rows))
    places = pa.array([of_system[name] for name in sheet["system_id"].to_pylist()], pa.int64())
    lens = pairs.select(["names", "grades"]).take(places)
    columns = [sheet[name] for name in LABELS.names]
    return pa.table([*columns, lens["names"], lens["grades"], [""] * sheet.num_rows], names=VETTING.names).cast(VETTING)


def count_labels(labels: pa.Table, objects: int) -> dict[str, int]:
    """How many objects have each label.

    Args:
        labels: with columns LABELS.
        objects: rows of the catalogue.

    Returns:
        Counts by label.
    """
    names = labels["label"].to_pylist()
    counts = {label: names.count(label) for label in (LENS, NEAR, AMBIGUOUS)}
    return {**counts, NONLENS: objects - len(names)}


def _listed_strength(pairs: pa.Table, accepted: NDArray[np.bool_], voted: pa.Table) -> NDArray[np.int64]:
    rows, nearest = pairs["row"].to_numpy(), pairs["nearest"].to_numpy()
    kept = voted["kept"].to_numpy(zero_copy_only=False)
    is_kept = np.isin(rows, voted["row"].to_numpy()[kept])
    is_refused = np.isin(rows, voted["row"].to_numpy()[~kept])
    is_lens = (accepted | is_kept) & ~is_refused
    return np.where(nearest, np.where(is_lens, 2, 1), 0)


def _name_kept(kept_pairs: pa.Table) -> pa.Table:
    """Name each kept position after the object nearest to it, as lens lists name theirs."""
    nearest = mark_nearest(kept_pairs)
    members = kept_pairs.filter(pa.array(nearest)).to_pylist()
    names = {row["target"]: system_id(row["ra"], row["dec"]) for row in members}
    named = pa.array([names[target] for target in kept_pairs["target"].to_pylist()], pa.string())
    return kept_pairs.append_column("system_id", named).select(LABELS_FROM_PAIRS)
