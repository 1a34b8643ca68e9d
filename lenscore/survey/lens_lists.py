"""Lists of published lenses, merged into one entry a system (paper 2.2)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lenscore.errors import InputError
from lenscore.survey.columns import find_column
from lenscore.survey.ids import NO_ID
from lenscore.survey.matching import rejected_positions
from lenscore.survey.sky_geometry import close_pairs, good_positions, unit_vectors

LENSES = pa.schema(
    [
        pa.field("system_id", pa.string()),
        pa.field("ra", pa.float64(), metadata={"unit": "deg"}),
        pa.field("dec", pa.float64(), metadata={"unit": "deg"}),
        pa.field("names", pa.list_(pa.string())),
        pa.field("grades", pa.list_(pa.string())),
        pa.field("references", pa.list_(pa.string())),
        pa.field("z_lens", pa.float32()),
        pa.field("lists", pa.list_(pa.string())),
    ]
)
"""A lens list: a row a system. z_lens is NaN where no list knows it; lists names those that hold the system."""

NAME_NAMES = ("name", "names", "system", "system_id", "id", "objname", "object", "lens_name", "lens_id")
GRADE_NAMES = ("grade", "grades", "grading", "quality", "confidence", "class")
REFERENCE_NAMES = ("reference", "references", "ref", "refs", "bibcode", "paper", "source", "survey")
Z_NAMES = ("z_lens", "zlens", "z_l", "zl", "z_d", "zd", "z_spec", "z_phot", "z", "redshift")
SEPARATOR = re.compile(r"\s*[|;]\s*")
"""Several names, grades or references in one field stand as "a | b"."""

MISSING_TEXTS = frozenset({"", "-", "--", "nan", "none", "null", "n/a", "not measured", "unknown"})


@dataclass(frozen=True)
class Entry:
    """One row of one list."""

    ra: float
    dec: float
    names: tuple[str, ...]
    grades: tuple[str, ...]
    references: tuple[str, ...]
    z_lens: tuple[float, ...]
    source: str


@dataclass(frozen=True)
class ListColumns:
    """Columns of a lens list as a person named them; "" to have one found.

    Attributes:
        name, grade, reference, z_lens: column names.
    """

    name: str = ""
    grade: str = ""
    reference: str = ""
    z_lens: str = ""


def read_entries(
    table: pa.Table, ra_n: NDArray[np.float64], dec_n: NDArray[np.float64], source: str, columns: ListColumns
) -> tuple[list[Entry], pa.Table]:
    """Turn a list's rows into entries.

    Args:
        table: the list.
        ra_n, dec_n: its positions (N,) [deg].
        source: the list's name.
        columns: its columns; the usual names are tried for those left open, and a list may lack any but positions.

    Returns:
        (entries, rows set aside with columns REJECTED).

    Raises:
        InputError: a named column is missing.
    """
    names = _texts(table, source, columns.name, NAME_NAMES)
    grades = _texts(table, source, columns.grade, GRADE_NAMES)
    references = _texts(table, source, columns.reference, REFERENCE_NAMES)
    redshifts = _texts(table, source, columns.z_lens, Z_NAMES)
    good = good_positions(ra_n, dec_n)
    entries = [
        Entry(
            float(ra_n[row]) % 360.0,
            float(dec_n[row]),
            names[row],
            grades[row],
            references[row],
            _redshifts(redshifts[row]),
            source,
        )
        for row in np.flatnonzero(good).tolist()
    ]
    bad = np.flatnonzero(~good)
    return entries, rejected_positions(ra_n[bad], dec_n[bad], bad, np.full(len(bad), NO_ID), source)


def merge_entries(entries: Sequence[Entry], friends_arcsec: float) -> pa.Table:
    """Merge entries into systems: those linked by steps of at most friends_arcsec are one.

    The result does not depend on the order of the entries or of the lists. A system's position is that of its entry
    nearest to the mean of all, so that it is a published one.

    Args:
        entries: of all lists.
        friends_arcsec: linking length [arcsec].

    Returns:
        A table with columns LENSES, sorted by ra, then dec.

    Raises:
        InputError: there are no entries.
    """
    if not entries:
        raise InputError("the lens lists hold no usable row", "give at least one lens with a position")
    ordered = sorted(entries, key=_sort_key)
    ra = np.array([entry.ra for entry in ordered])
    dec = np.array([entry.dec for entry in ordered])
    systems = _linked(ra, dec, friends_arcsec)
    by_system = np.split(np.argsort(systems, kind="stable"), np.cumsum(np.bincount(systems))[:-1])
    rows = [_merged([ordered[i] for i in members.tolist()]) for members in by_system]
    rows.sort(key=lambda row: (row["ra"], row["dec"]))
    return pa.Table.from_pylist(rows, schema=LENSES)


def system_id(ra: float, dec: float) -> str:
    """Name a system by its position, to 0.04 arcsec.

    Args:
        ra, dec: position [deg].

    Returns:
        As J017.48153+04.16063.
    """
    return f"J{ra:09.5f}{dec:+09.5f}"


def _linked(ra: NDArray[np.float64], dec: NDArray[np.float64], friends_arcsec: float) -> NDArray[np.int32]:
    pairs = close_pairs(ra, dec, ra, dec, friends_arcsec)
    ones = np.ones(len(pairs.object_p), dtype=bool)
    graph = coo_array((ones, (pairs.object_p, pairs.target_p)), shape=(len(ra), len(ra)))
    return connected_components(graph, directed=False)[1]


def _merged(members: list[Entry]) -> dict[str, object]:
    place = members[_middle(members)]
    redshifts = sorted({z for entry in members for z in entry.z_lens})
    return {
        "system_id": system_id(place.ra, place.dec),
        "ra": place.ra,
        "dec": place.dec,
        "names": sorted({name for entry in members for name in entry.names}),
        "grades": sorted({grade for entry in members for grade in entry.grades}),
        "references": sorted({reference for entry in members for reference in entry.references}),
        "z_lens": redshifts[(len(redshifts) - 1) // 2] if redshifts else float("nan"),
        "lists": sorted({entry.source for entry in members}),
    }


def _middle(members: list[Entry]) -> int:
    vectors = unit_vectors(np.array([entry.ra for entry in members]), np.array([entry.dec for entry in members]))
    # Rounded, so that two entries equally far from their mean are told apart by their order and not by noise.
    distance = np.round(np.linalg.norm(vectors - vectors.mean(axis=0), axis=1), 12)
    return int(np.argmin(distance))


def _sort_key(entry: Entry) -> tuple[object, ...]:
    return (entry.ra, entry.dec, entry.names, entry.grades, entry.references, entry.z_lens, entry.source)


def _texts(table: pa.Table, source: str, given: str, usual: Sequence[str]) -> list[tuple[str, ...]]:
    name = find_column(table.column_names, (given.lower(),) if given else usual)
    if name is None and given:
        raise InputError(
            f"list {source} has no column {given!r}; found {', '.join(table.column_names)}", "give one that is there"
        )
    if name is None:
        return [()] * table.num_rows
    return [_split(value) for value in table[name].to_pylist()]


def _split(value: object) -> tuple[str, ...]:
    parts = value if isinstance(value, list) else SEPARATOR.split(str(value).strip()) if value is not None else []
    texts = [str(part).strip() for part in parts]
    return tuple(text for text in texts if text.lower() not in MISSING_TEXTS)


def _redshifts(texts: Sequence[str]) -> tuple[float, ...]:
    found = []
    for text in texts:
        try:
            value = float(text)
        except ValueError:
            continue
        if 0 < value < 20:
            found.append(value)
    return tuple(found)
