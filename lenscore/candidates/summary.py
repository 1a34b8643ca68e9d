"""Table 1: candidates by grade, region and magnitude; for this project's lists and for anyone's."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from lenscore.errors import InputError
from lenscore.survey.columns import find_position_columns, listed
from lenscore.survey.crossmatch import degrees
from lenscore.survey.sky_geometry import good_positions, position_fault

MAG_SPLIT = 20.0
"""The paper's split of the south in mag_z."""
UNKNOWN = "South mag_z unknown"


def check_catalogue(table: pa.Table, where: str | Path) -> tuple[pa.Table, list[str]]:
    """Look through a person's catalogue before it is counted and drawn.

    Args:
        table: the catalogue.
        where: its file, for the messages.

    Returns:
        (rows whose position can be drawn, a line for each row with something wrong).

    Raises:
        InputError: it has no rows, or lacks mag_z or positions.
    """
    if table.num_rows == 0:
        raise InputError(f"{where} holds no candidates (0 rows)", "give a table with at least one")
    _check_magnitude(table, where)
    positions = find_position_columns(table.column_names, where=where)
    ra_n, dec_n = (degrees(table[name], name, where) for name in positions)
    mag_n, good = degrees(table["mag_z"], "mag_z", where), good_positions(ra_n, dec_n)
    notes = [f"row {row}: {position_fault(ra_n[row], dec_n[row])}" for row in np.flatnonzero(~good)]
    notes += [f"row {row}: mag_z is not known" for row in np.flatnonzero(np.isnan(mag_n))]
    if "ls_id" in table.column_names:
        ids = np.array([str(value) for value in table["ls_id"].to_pylist()])
        again = np.setdiff1d(np.arange(len(ids)), np.unique(ids, return_index=True)[1])
        notes += [f"row {row}: ls_id {ids[row]} occurs again" for row in again]
    return table.filter(pa.array(good)), notes


def table_one(table: pa.Table, mag_split: float = MAG_SPLIT) -> pa.Table:
    """Count candidates by grade, region and magnitude (paper Table 1).

    Args:
        table: columns grade, region and mag_z; a missing grade counts as ungraded, a missing region as south.
        mag_split: of the south, in mag_z.

    Returns:
        Columns grade, survey, candidates; with sums.

    Raises:
        InputError: mag_z is missing.
    """
    _check_magnitude(table, "the catalogue")
    grades = [value or "ungraded" for value in _column(table, "grade", "")]
    parts = [
        _part(region, mag, mag_split)
        for region, mag in zip(_column(table, "region", "south"), table["mag_z"].to_pylist(), strict=True)
    ]
    counts = Counter(zip(grades, parts, strict=True))
    order = [f"South mag_z < {mag_split:g}", f"South mag_z > {mag_split:g}", UNKNOWN, "North"]
    rows = []
    for grade in sorted(set(grades)):
        rows += [(grade, part, counts[grade, part]) for part in order if counts[grade, part]]
        rows.append((grade, "All", sum(counts[grade, part] for part in order)))
    rows.append(("Total", "", table.num_rows))
    columns = list(zip(*rows, strict=True))
    return pa.table(
        {"grade": list(columns[0]), "survey": list(columns[1]), "candidates": pa.array(columns[2], pa.int64())}
    )


def as_markdown(table: pa.Table) -> str:
    """A small table as Markdown."""
    lines = ["| " + " | ".join(table.column_names) + " |", "| " + " | ".join("---" for _ in table.column_names) + " |"]
    lines += ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in table.to_pylist()]
    return "\n".join(lines) + "\n"


def _check_magnitude(table: pa.Table, where: str | Path) -> None:
    if "mag_z" not in table.column_names:
        raise InputError(f"{where} has no column 'mag_z'", f"it has {listed(table.column_names)}; name one so")


def _part(region: str, mag: float | None, split: float) -> str:
    if str(region).lower().startswith("n"):
        return "North"
    if mag is None or mag != mag:
        return UNKNOWN
    return f"South mag_z {'>' if mag >= split else '<'} {split:g}"


def _column(table: pa.Table, name: str, default: str) -> list[str]:
    if name not in table.column_names:
        return [default] * table.num_rows
    return [str(value) if value is not None else default for value in table[name].to_pylist()]
