"""Finding the columns of other people's tables."""

import re
from collections.abc import Sequence
from pathlib import Path

from lenscore.errors import InputError

RA_NAMES = (
    "ra",
    "ra_deg",
    "radeg",
    "_ra",
    "raj2000",
    "_raj2000",
    "ra_j2000",
    "ra_icrs",
    "alpha_j2000",
    "right_ascension",
    "alpha",
)
DEC_NAMES = (
    "dec",
    "dec_deg",
    "decdeg",
    "dedeg",
    "_dec",
    "_de",
    "decj2000",
    "dej2000",
    "_dej2000",
    "_decj2000",
    "dec_j2000",
    "dec_icrs",
    "de_icrs",
    "delta_j2000",
    "declination",
    "decl",
    "de",
    "delta",
)
UNIT = re.compile(r"\s*[\[(].*[\])]\s*$")


def find_column(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """Find a column by any of its usual names, whatever their case and units ("RA [deg]").

    Args:
        names: columns that there are.
        wanted: usual names, lower case, best first.

    Returns:
        The first that is there, as written in the table, or None.
    """
    known: dict[str, str] = {}
    for name in names:
        known.setdefault(UNIT.sub("", name).strip().lower().lstrip("#").strip(), name)
    return next((known[name] for name in wanted if name in known), None)


def find_position_columns(
    names: Sequence[str], ra: str | None = None, dec: str | None = None, where: str | Path = ""
) -> tuple[str, str]:
    """Find the columns of right ascension and declination.

    Args:
        names: columns that there are.
        ra: name given by a person; found if None.
        dec: likewise.
        where: the table's place, for the message.

    Returns:
        (ra, dec) as written in the table.

    Raises:
        InputError: one is not there; says what is.
    """
    place = f" in {where}" if where else ""
    return (
        _position(names, ra, RA_NAMES, "right ascension", place),
        _position(names, dec, DEC_NAMES, "declination", place),
    )


def listed(names: Sequence[str], most: int = 20) -> str:
    """Column names for a message, shortened."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "no columns at all"


def check_columns(names: Sequence[str], wanted: Sequence[str], where: str) -> None:
    """Insist on columns.

    Raises:
        InputError: names those that are missing, and those that were found.
    """
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputError(f"{where} has no column {listed(missing)}; found {listed(names)}", "rename or add the column")


def _position(names: Sequence[str], given: str | None, usual: Sequence[str], what: str, place: str) -> str:
    if given:
        return _given(names, given, place)
    found = find_column(names, usual)
    if found is None:
        found_names = f"among {listed(names)}{place}"
        raise InputError(f"no column of {what} {found_names}", "name it, or rename it to ra and dec (degrees)")
    return found


def _given(names: Sequence[str], name: str, place: str) -> str:
    if name in names:
        return name
    found = find_column(names, (name.lower(),))
    if found is None:
        raise InputError(f"no column {name!r}{place}; found {listed(names)}", "give the name of a column that is there")
    return found
