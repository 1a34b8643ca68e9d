"""From other people's tables to catalogue rows: names found, values checked, bad rows set aside."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lenscore.errors import InputError
from lenscore.survey.columns import DEC_NAMES, RA_NAMES, find_column, find_position_columns
from lenscore.survey.ids import MAX_BRICK, MAX_OBJECT, MAX_RELEASE, RELEASE_SHIFT, decode, encode
from lenscore.survey.readers.base import Facts, Objects, located_schema, rejected_table
from lenscore.survey.release import Release

ZERO_POINT = 22.5
UNKNOWN = -1
"""Stands for whole numbers that the source does not give."""

TYPE_NAMES = ("type", "source_type", "morphtype")
Z_PHOT_NAMES = ("z_phot", "z_phot_median", "z_phot_mean")
NAME_NAMES = ("object_id", "objectid", "targetid", "id", "name")
SYNTHETIC_LIMIT = 1 << RELEASE_SHIFT


@dataclass(frozen=True)
class Names:
    """A table's column for each of ours, or None."""

    columns: dict[str, str | None]

    @staticmethod
    def find(names: Sequence[str], release: Release) -> "Names":
        """Look for every column that a catalogue can have."""
        usual: dict[str, Sequence[str]] = {
            "ls_id": ("ls_id",),
            "release": ("release",),
            "brickid": ("brickid",),
            "objid": ("objid",),
            "ra": RA_NAMES,
            "dec": DEC_NAMES,
            "type": TYPE_NAMES,
            "ebv": ("ebv",),
            "maskbits": ("maskbits",),
            "z_phot": Z_PHOT_NAMES,
            "z_spec": ("z_spec",),
            "name": NAME_NAMES,
        }
        for band in release.bands:
            for what in ("flux", "fiberflux", "psfsize", "psfdepth", "nobs", "mag"):
                usual[f"{what}_{band}"] = (f"{what}_{band.lower()}",)
        return Names({ours: find_column(names, wanted) for ours, wanted in usual.items()})

    @property
    def used(self) -> list[str]:
        """Columns of the table that are needed."""
        return sorted({name for name in self.columns.values() if name})

    @property
    def survey_ids(self) -> bool:
        """Whether the table has the survey's identity."""
        return bool(self.columns["ls_id"] or all(self.columns[name] for name in ("release", "brickid", "objid")))

    def absent(self, release: Release) -> set[str]:
        """Catalogue columns that the table cannot give."""
        missing = {name for name, found in self.columns.items() if found is None} - {
            "name",
            "ls_id",
            "release",
            "brickid",
            "objid",
        }
        for band in release.bands:  # each is made from the other
            if not {f"flux_{band}", f"mag_{band}"} <= missing:
                missing -= {f"flux_{band}", f"mag_{band}"}
        return missing


def make_rows(
    table: pa.Table,
    release: Release,
    facts: Facts,
    file: str,
    start: int = 0,
    positions_needed: bool = True,
) -> Objects:
    """Turn a piece of a table into catalogue rows.

    Args:
        table: the piece; names in any case.
        release: bands and region.
        facts: told what the table lacks.
        file: where the piece comes from.
        start: number of its first row there.
        positions_needed: insist on ra and dec.

    Returns:
        Rows, and those set aside: a position or identity out of range, a RELEASE of another region.

    Raises:
        InputError: there are no columns of position.
    """
    names = Names.find(table.schema.names, release)
    if positions_needed:
        find_position_columns(table.schema.names, where=file)
    facts.absent |= names.absent(release)
    facts.survey_ids &= names.survey_ids
    facts.positions &= bool(names.columns["ra"] and names.columns["dec"])
    values = _Values(table, names)
    arrays = _arrays(values, release, file, start)
    reasons = _reasons(arrays, values, release)
    keep = np.ones(values.rows, dtype=bool)
    keep[list(reasons)] = False
    rows = pa.table(arrays, schema=located_schema(release)).filter(pa.array(keep))
    bad = [
        (
            -1,
            int(arrays["ls_id"][row]),
            float(arrays["ra"][row]),
            float(arrays["dec"][row]),
            f"{file}:{start + row}",
            reason,
        )
        for row, reason in sorted(reasons.items())
    ]
    return Objects(rows, rejected_table(bad))


class _Values:
    """A table's values under our names, as numpy arrays."""

    def __init__(self, table: pa.Table, names: Names) -> None:
        self.table, self.names, self.rows = table, names.columns, table.num_rows

    def has(self, name: str) -> bool:
        return self.names[name] is not None

    def numbers(self, name: str, kind: Any = np.float64, fill: float = np.nan) -> NDArray[Any]:
        if not self.has(name):
            return np.full(self.rows, fill, dtype=kind)
        column = self.table.column(self.names[name])
        whole = not np.issubdtype(kind, np.floating)
        try:
            if whole and pa.types.is_floating(column.type):  # some sets keep whole numbers as floats, NaN for unknown
                return np.nan_to_num(column.to_numpy(), nan=fill, posinf=fill, neginf=fill).astype(kind)
            filled = pc.fill_null(pc.cast(column, pa.int64() if whole else pa.float64()), fill)
        except pa.ArrowException as error:
            found = f"column {self.names[name]!r} is {column.type}"
            raise InputError(f"{found}: {str(error).splitlines()[0]}", "give numbers (positions in degrees)") from error
        return filled.to_numpy().astype(kind)

    def texts(self, name: str) -> pa.Array:
        if not self.has(name):
            return pa.repeat("", self.rows)
        column = self.table.column(self.names[name])
        kept = column if pa.types.is_string(column.type) else column.cast(pa.string())
        return pc.utf8_trim_whitespace(pc.fill_null(kept, "")).combine_chunks()


def _arrays(values: _Values, release: Release, file: str, start: int) -> dict[str, Any]:
    position = np.arange(start, start + values.rows, dtype=np.int64)
    arrays: dict[str, Any] = _identity(values, file, position)
    ra = values.numbers("ra")
    arrays |= {
        "region": pa.repeat(release.region, values.rows),
        "ra": np.where(ra == 360.0, 0.0, ra),
        "dec": values.numbers("dec"),
        "type": pc.utf8_upper(values.texts("type")),
        "ebv": values.numbers("ebv", np.float32),
    }
    for band in release.bands:
        arrays |= _band(values, band)
    arrays["maskbits"] = values.numbers("maskbits", np.int32, UNKNOWN)
    for name in ("z_phot", "z_spec"):
        found = values.numbers(name, np.float32)
        arrays[name] = np.where(found > -1.0, found, np.nan).astype(np.float32)  # -99 stands for unknown
    arrays |= {"file": pa.repeat(file, values.rows), "position": position}
    return arrays


def _band(values: _Values, band: str) -> dict[str, Any]:
    flux, mag = values.numbers(f"flux_{band}", np.float32), values.numbers(f"mag_{band}", np.float32)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if values.has(f"flux_{band}"):
            mag = ZERO_POINT - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))
        else:
            flux = 10.0 ** (0.4 * (ZERO_POINT - mag))
    floats = {what: values.numbers(f"{what}_{band}", np.float32) for what in ("fiberflux", "psfsize", "psfdepth")}
    return {
        f"flux_{band}": flux.astype(np.float32),
        **{f"{what}_{band}": found for what, found in floats.items()},
        f"nobs_{band}": values.numbers(f"nobs_{band}", np.int16, UNKNOWN),
        f"mag_{band}": mag.astype(np.float32),
    }


def _identity(values: _Values, file: str, position: NDArray[np.int64]) -> dict[str, Any]:
    if values.has("ls_id"):
        ls_id = values.numbers("ls_id", np.int64, -1)
        parts = decode(np.maximum(ls_id, 0))
    elif all(values.has(name) for name in ("release", "brickid", "objid")):
        parts = (
            values.numbers("release", np.int64, -1),
            values.numbers("brickid", np.int64, -1),
            values.numbers("objid", np.int64, -1),
        )
        known = _in_range(parts)
        safe = [np.where(known, part, 0) for part in parts]
        ls_id = np.where(known, encode(*safe), -1)
    else:
        ls_id = _synthetic(values, file, position)
        parts = decode(ls_id)
    release, brickid, objid = (np.clip(part, -1, np.iinfo(np.int32).max).astype(np.int32) for part in parts)
    return {"ls_id": ls_id, "release": release, "brickid": brickid, "objid": objid}


def _in_range(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.bool_]:
    limits = (MAX_RELEASE, MAX_BRICK, MAX_OBJECT)
    return np.logical_and.reduce([(part >= 0) & (part < limit) for part, limit in zip(parts, limits, strict=True)])


def _synthetic(values: _Values, file: str, position: NDArray[np.int64]) -> NDArray[np.int64]:
    """An ls_id of release 0 from the source's own number, name or position on the sky; the row's number at the last."""
    if values.has("name"):
        return np.array([_number(text) for text in values.texts("name").to_pylist()], dtype=np.int64)
    if values.has("ra") and values.has("dec"):
        sky = zip(values.numbers("ra"), values.numbers("dec"), strict=True)
        return np.array([_hash(f"{ra:.7f} {dec:.7f}") for ra, dec in sky], dtype=np.int64)
    return np.array([_hash(f"{file} {row}") for row in position], dtype=np.int64)


def _number(text: str) -> int:
    # beyond 40 bits an own number would run into the release's
    return int(text) if text.isdecimal() and int(text) < SYNTHETIC_LIMIT else _hash(text)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=RELEASE_SHIFT // 8).digest(), "big")


def _reasons(arrays: dict[str, Any], values: _Values, release: Release) -> dict[int, str]:
    reasons: dict[int, str] = {}
    ra, dec, number = arrays["ra"], arrays["dec"], arrays["release"]
    checks: list[tuple[NDArray[np.bool_], Callable[[int], str]]] = []
    if values.has("ra"):
        checks.append((~((ra >= 0) & (ra < 360)), lambda row: f"ra = {ra[row]:g} is outside 0..360"))
        checks.append((~((dec >= -90) & (dec <= 90)), lambda row: f"dec = {dec[row]:g} is outside -90..90"))
    checks.append(
        (
            arrays["ls_id"] < 0,
            lambda row: (
                f"identity {tuple(int(arrays[part][row]) for part in ('release', 'brickid', 'objid'))} is out of range"
            ),
        )
    )
    if release.release_numbers and (values.has("ls_id") or values.has("release")):
        other = ~np.isin(number, release.release_numbers) & (number != 0)
        checks.append(
            (other, lambda row: f"RELEASE = {number[row]} is not of {release.name} {release.release_numbers}")
        )
    for bad, say in checks:
        for row in np.flatnonzero(bad):
            reasons.setdefault(int(row), say(int(row)))
    return reasons


def sort_by_brick(rows: pa.Table) -> pa.Table:
    """Order rows by brick, so that each brick's images are opened once for all of its objects."""
    order = np.lexsort((rows.column("objid").to_numpy(), rows.column("brickid").to_numpy()))
    return rows.take(pa.array(order))
