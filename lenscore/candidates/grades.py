"""People's votes, and the grades merged from them (paper section 4.4)."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from lenscore.errors import InputError
from lenscore.survey.tables import read_table

GRADES = ("A", "B", "X")
"""A: sure; B: likely; X: no lens."""
DISPUTED = "?"

VOTES = pa.schema(
    [
        ("ls_id", pa.int64()),
        ("grade", pa.string()),
        ("grader", pa.string()),
        ("time", pa.string()),
        ("source", pa.string()),
    ]
)
MERGED = pa.schema(
    [
        ("ls_id", pa.int64()),
        ("grade", pa.string()),
        ("votes", pa.int32()),
        ("votes_a", pa.int32()),
        ("votes_b", pa.int32()),
        ("votes_x", pa.int32()),
        ("graders", pa.list_(pa.string())),
    ]
)


def read_votes(path: Path) -> tuple[pa.Table, list[tuple[str, str]]]:
    """Read a table of votes: columns ls_id and grade; grader and time where they are known.

    Args:
        path: CSV, TSV, FITS, VOTable or Parquet.

    Returns:
        (votes, refused rows as (what stands there, reason)).

    Raises:
        InputError: ls_id or grade is missing.
    """
    table = read_table(path)
    for name in ("ls_id", "grade"):
        if name not in table.column_names:
            raise InputError(f"{path} has no column {name!r}", f"it has {', '.join(table.column_names)}; name one so")
    if table.num_rows == 0:
        raise InputError(f"{path} holds no votes (0 rows)", "give a table with at least one")
    good, refused = [], []
    for row in table.to_pylist():
        reason = _why_not(row)
        if reason:
            refused.append((f"{row['ls_id']},{row['grade']}", reason))
            continue
        good.append(
            {
                "ls_id": int(row["ls_id"]),
                "grade": str(row["grade"]).strip().upper(),
                "grader": str(row.get("grader") or "unknown"),
                "time": str(row.get("time") or ""),
                "source": path.name,
            }
        )
    return pa.Table.from_pylist(good, schema=VOTES), refused


def merge_votes(votes: pa.Table) -> pa.Table:
    """Merge votes into one grade an object: of each grader the last vote counts, then the majority.

    A tie goes to the middle: A against X is disputed ("?", to be shown again), A against B is B, B against X is B.

    Args:
        votes: as VOTES, in the order they were given.

    Returns:
        As MERGED, by ls_id.
    """
    last: dict[int, dict[str, str]] = {}
    for row in votes.select(["ls_id", "grade", "grader"]).to_pylist():
        last.setdefault(row["ls_id"], {})[row["grader"]] = row["grade"]
    rows = []
    for ls_id, by_grader in sorted(last.items()):
        counts = Counter(by_grader.values())
        rows.append(
            {
                "ls_id": ls_id,
                "grade": _majority(counts),
                "votes": len(by_grader),
                "votes_a": counts["A"],
                "votes_b": counts["B"],
                "votes_x": counts["X"],
                "graders": sorted(by_grader),
            }
        )
    return pa.Table.from_pylist(rows, schema=MERGED)


def _majority(counts: Counter[str]) -> str:
    best = max(counts.values())
    leaders: Sequence[str] = [grade for grade in GRADES if counts[grade] == best]
    if len(leaders) == 1:
        return leaders[0]
    return DISPUTED if set(leaders) == {"A", "X"} else "B"


def _why_not(row: dict[str, object]) -> str:
    try:
        int(str(row["ls_id"]))
    except ValueError:
        return f"ls_id {row['ls_id']!r} is no whole number"
    if str(row["grade"]).strip().upper() not in GRADES:
        return f"grade {row['grade']!r} is none of {', '.join(GRADES)}"
    return ""
