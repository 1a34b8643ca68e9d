"""Table 1: candidates by grade, region and magnitude; for this project's lists and for anyone's."""

from collections import Counter

import pyarrow as pa

from lenscore.errors import InputError

MAG_SPLIT = 20.0
"""The paper's split of the south in mag_z."""


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
    if "mag_z" not in table.column_names:
        raise InputError("the catalogue has no column 'mag_z'", f"it has {', '.join(table.column_names)}; name one so")
    grades = [value or "ungraded" for value in _column(table, "grade", "")]
    parts = [
        _part(region, mag, mag_split)
        for region, mag in zip(_column(table, "region", "south"), table["mag_z"].to_pylist(), strict=True)
    ]
    counts = Counter(zip(grades, parts, strict=True))
    order = [f"South mag_z < {mag_split:g}", f"South mag_z > {mag_split:g}", "North"]
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


def _part(region: str, mag: float | None, split: float) -> str:
    if str(region).lower().startswith("n"):
        return "North"
    return f"South mag_z {'>' if mag is not None and mag >= split else '<'} {split:g}"


def _column(table: pa.Table, name: str, default: str) -> list[str]:
    if name not in table.column_names:
        return [default] * table.num_rows
    return [str(value) if value is not None else default for value in table[name].to_pylist()]
