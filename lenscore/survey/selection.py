"""Which objects of a survey are searched: type and magnitude cuts, the next fainter ones, each object once (FACTS: Survey).

Everything is exact and streams: the source is read once, into a local file; the limit of the fainter part is found by
two histograms of the magnitudes' bits; objects that occur twice are found in parts, by a hash of their identity.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lenscore.errors import InputError
from lenscore.survey.columns import listed
from lenscore.survey.readers.base import Objects, Reader, rejected_table
from lenscore.survey.release import Release
from lenscore.survey.settings import Selection

PARTS = 256
"""Identities are looked through in so many parts: 76 million in parts of 5 MB."""
BATCH_ROWS = 65536
HALF = 16
BINS = 1 << HALF

Batches = Callable[[], Iterator[pa.Table]]


@dataclass(frozen=True)
class Counts:
    """What became of a source's objects.

    Args:
        read: rows with a usable identity and position.
        rejected: rows set aside for another reason than the cuts.
        wrong_type: left out by type.
        too_faint: left out by magnitude (or without one).
        duplicates: identities that occur again.
        selected: taken.
    """

    read: int
    rejected: int
    wrong_type: int
    too_faint: int
    duplicates: int
    selected: int


class Chosen:
    """The objects taken from a source, in a local file, in the source's order.

    Args:
        counts: what became of the objects.
        limit: faintest magnitude taken; None without a cut.
    """

    def __init__(self, counts: Counts, limit: float | None, batches: Batches) -> None:
        self.counts, self.limit, self._batches = counts, limit, batches

    def batches(self) -> Iterator[pa.Table]:
        """The rows, with where their images lie."""
        return self._batches()


def choose(
    reader: Reader,
    selection: Selection | None,
    scratch: Path,
    reject: Callable[[pa.Table], None],
    first: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Chosen:
    """Select objects.

    Memory: one batch of rows, 1/256 of the identities, and the numbers of the duplicates. Time: linear. Disk: about
    100 bytes an object that could be taken.

    Args:
        reader: the source.
        selection: the cuts; None takes everything.
        scratch: folder for the local file.
        reject: told the rows set aside.
        first: stop after so many objects, for a look.
        progress: told how many rows were read.

    Returns:
        The objects.

    Raises:
        InputError: the source lacks a column that the cuts need, or nothing is left.
    """
    cuts = selection or Selection(types_excluded=(), mag_limit=None)
    if cuts.mag_limit is not None and cuts.band not in reader.release.bands:
        raise InputError(
            f"selection.band = {cuts.band!r} is no band of {reader.release.name}",
            f"use one of {listed(reader.release.bands)}",
        )
    spill = _Spill(scratch, cuts, reader)
    spill.fill(reader.objects(), reject, progress or (lambda rows: None))
    repeated = spill.repeated()
    limit = _Limit.find(cuts, lambda: spill.fainter(repeated))

    def numbered() -> Iterator[pa.Table]:
        return spill.rows(repeated, limit, first)

    _reject_repeated(spill, repeated, reject)
    selected = sum(table.num_rows for table in numbered())
    counts = Counts(
        spill.read,
        spill.rejected,
        spill.wrong_type,
        spill.read - spill.wrong_type - len(repeated) - selected,
        len(repeated),
        selected,
    )
    if not selected:
        raise InputError(
            f"no object passes the selection: {_told(counts)}", "widen [selection], or check the source and the release"
        )
    return Chosen(counts, limit.magnitude, numbered)


def magnitudes(rows: pa.Table, selection: Selection, release: Release) -> NDArray[np.float32]:
    """Magnitudes that the cut looks at (N,), AB; NaN where the flux is not positive."""
    mag = rows.column(f"mag_{selection.band}").to_numpy()
    if selection.extinction_corrected:
        mag = mag - np.float32(release.extinction[release.bands.index(selection.band)]) * rows.column("ebv").to_numpy()
    return np.asarray(mag, dtype=np.float32)


def nth_smallest(batches: Callable[[], Iterable[NDArray[np.float32]]], count: int) -> tuple[np.float32, int]:
    """Find the count-th smallest of values that are read twice and never held.

    Args:
        batches: gives the values (finite) anew each time.
        count: at least 1.

    Returns:
        The value, and how many values equal to it are among the `count` smallest; (inf, 0) if there are fewer values.
    """
    before, top = _bin(batches(), count, lambda keys: keys >> HALF)
    if top < 0:
        return np.float32(np.inf), 0
    below, low = _bin(batches(), count - before, lambda keys: keys[keys >> HALF == top] & (BINS - 1))
    return _from_key(np.uint32(top << HALF | low)), count - before - below


def _bin(
    batches: Iterable[NDArray[np.float32]], count: int, digits: Callable[[NDArray[np.uint32]], NDArray[Any]]
) -> tuple[int, int]:
    """(values in lower bins, bin) of the count-th value by these digits of its key; bin -1 if there are fewer."""
    histogram = np.zeros(BINS, dtype=np.int64)
    for values in batches:
        histogram += np.bincount(digits(_keys(values)).astype(np.int64), minlength=BINS)
    totals = np.cumsum(histogram)
    if totals[-1] < count:
        return 0, -1
    found = int(np.searchsorted(totals, count))
    return int(totals[found] - histogram[found]), found


def _keys(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Whole numbers in the order of the values: the sign bit turned, negative ones reversed; -0 counts as 0."""
    bits = (np.asarray(values, dtype=np.float32) + np.float32(0)).view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _from_key(key: np.uint32) -> np.float32:
    bits = np.uint32(key & 0x7FFFFFFF) if key >> 31 else np.uint32(~key)
    return np.array([bits], dtype=np.uint32).view(np.float32)[0]


@dataclass(frozen=True)
class _Limit:
    """Brighter than `cut`: taken. Up to `faint`: taken, of those equal to it only `ties`."""

    cut: float | None
    faint: np.float32
    ties: int

    @staticmethod
    def find(cuts: Selection, fainter: Callable[[], Iterator[NDArray[np.float32]]]) -> "_Limit":
        if cuts.mag_limit is None or not cuts.fainter:
            return _Limit(cuts.mag_limit, np.float32(-np.inf), 0)
        faint, ties = nth_smallest(fainter, cuts.fainter)
        return _Limit(cuts.mag_limit, faint, ties)

    @property
    def magnitude(self) -> float | None:
        return self.cut if self.cut is None or not np.isfinite(self.faint) else max(self.cut, float(self.faint))


class _Spill:
    """The rows that could be taken, with their magnitude, in one local Parquet file; their identities in parts."""

    def __init__(self, scratch: Path, cuts: Selection, reader: Reader) -> None:
        folder = Path(tempfile.mkdtemp(prefix="selection-", dir=scratch))
        self.cuts, self.reader, self.path = cuts, reader, folder / "objects.parquet"
        self.read = self.rejected = self.wrong_type = self.kept = 0
        self._parts = folder / "identities"
        self._parts.mkdir()

    def fill(
        self, batches: Iterator[Objects], reject: Callable[[pa.Table], None], progress: Callable[[int], None]
    ) -> None:
        writer: pq.ParquetWriter | None = None
        for batch in batches:
            self._check_columns()
            reject(batch.rejected)
            self.rejected += batch.rejected.num_rows
            rows = self._candidates(batch.rows)
            writer = writer or pq.ParquetWriter(
                self.path, rows.schema, compression="lz4", use_dictionary=["file", "region", "type"]
            )
            writer.write_table(rows, row_group_size=BATCH_ROWS)
            self._write_identities(rows.column("ls_id").to_numpy())
            progress(self.read)
        if writer is None:
            raise InputError("the source holds no objects (0 rows)", "check the source")
        writer.close()

    def repeated(self) -> NDArray[np.int64]:
        """Numbers of the rows whose identity occurred before, ascending."""
        found = [_repeated(path) for path in sorted(self._parts.iterdir())]
        return np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *found]))

    def fainter(self, repeated: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        for start, table in self._batches(["cut_mag"]):
            mag = table.column("cut_mag").to_numpy()
            again = _within(repeated, start, len(mag))
            yield mag[~again & (mag >= self.cuts.mag_limit)]

    def rows(self, repeated: NDArray[np.int64], limit: _Limit, first: int | None) -> Iterator[pa.Table]:
        ties, left = limit.ties, first
        for start, table in self._batches():
            take = ~_within(repeated, start, table.num_rows)
            if limit.cut is not None:
                mag = table.column("cut_mag").to_numpy()
                equal = take & (mag == limit.faint) & (mag >= limit.cut)
                equal &= np.cumsum(equal) <= ties
                ties -= int(equal.sum())
                take &= (mag < limit.cut) | (mag < limit.faint) | equal
            if left is not None:
                take &= np.cumsum(take) <= left
                left -= int(take.sum())
            yield table.filter(pa.array(take)).drop_columns(["cut_mag"])
            if left == 0:
                return

    def taken(self, numbers: NDArray[np.int64]) -> Iterator[pa.Table]:
        for start, table in self._batches(["ls_id", "ra", "dec", "file"]):
            yield table.filter(pa.array(_within(numbers, start, table.num_rows)))

    def _candidates(self, rows: pa.Table) -> pa.Table:
        """Rows of a wanted type; without magnitude too faint for any cut; their magnitude as a column."""
        self.read += rows.num_rows
        excluded = pc.is_in(rows.column("type"), pa.array(self.cuts.types_excluded, pa.string()))
        wanted = ~excluded.to_numpy().astype(bool)
        self.wrong_type += int((~wanted).sum())
        mag = np.full(rows.num_rows, np.nan, dtype=np.float32)
        if self.cuts.mag_limit is not None:
            mag = magnitudes(rows, self.cuts, self.reader.release)
            wanted &= np.isfinite(mag) & (bool(self.cuts.fainter) | (mag < self.cuts.mag_limit))
        return rows.append_column("cut_mag", pa.array(mag)).filter(pa.array(wanted))

    def _write_identities(self, ls_id: NDArray[np.int64]) -> None:
        pairs = np.stack([ls_id, np.arange(self.kept, self.kept + len(ls_id))], axis=1)
        self.kept += len(ls_id)
        part = _part(ls_id)
        order = np.argsort(part, kind="stable")
        bounds = np.searchsorted(part[order], np.arange(PARTS + 1))
        for number in np.unique(part):
            with (self._parts / f"{number:03d}").open("ab") as file:
                pairs[order[bounds[number] : bounds[number + 1]]].tofile(file)

    def _check_columns(self) -> None:
        """The cuts need columns that some sources lack."""
        absent, cuts = self.reader.facts.absent, self.cuts
        needed = [f"mag_{cuts.band}"] if cuts.mag_limit is not None else []
        needed += ["ebv"] if cuts.mag_limit is not None and cuts.extinction_corrected else []
        needed += ["type"] if cuts.types_excluded and self.reader.needs_type else []
        missing = [name for name in needed if name in absent]
        if missing:
            raise InputError(
                f"the selection needs {listed(missing)}, which the source lacks (flux_{cuts.band} gives mag_{cuts.band})",
                "add the column, or widen [selection]: mag_limit = none, types_excluded = []",
            )

    def _batches(self, columns: list[str] | None = None) -> Iterator[tuple[int, pa.Table]]:
        start = 0
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                yield start, pa.Table.from_batches([batch])
                start += batch.num_rows


def _part(ls_id: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which part an identity belongs to: the high bits of a multiplicative hash."""
    return ((ls_id.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(56)).astype(np.int64)


def _repeated(path: Path) -> NDArray[np.int64]:
    pairs = np.fromfile(path, dtype=np.int64).reshape(-1, 2)
    order = np.argsort(pairs[:, 0], kind="stable")
    same = pairs[order[1:], 0] == pairs[order[:-1], 0]
    return pairs[order[1:][same], 1]


def _within(numbers: NDArray[np.int64], start: int, count: int) -> NDArray[np.bool_]:
    """Which of the rows start..start + count are among sorted numbers."""
    found = np.zeros(count, dtype=bool)
    low, high = np.searchsorted(numbers, [start, start + count])
    found[numbers[low:high] - start] = True
    return found


def _reject_repeated(spill: _Spill, repeated: NDArray[np.int64], reject: Callable[[pa.Table], None]) -> None:
    for table in spill.taken(repeated) if len(repeated) else ():
        rows = [
            (
                -1,
                item["ls_id"],
                item["ra"],
                item["dec"],
                item["file"],
                f"ls_id {item['ls_id']} occurs again; the first row is kept",
            )
            for item in table.to_pylist()
        ]
        reject(rejected_table(rows))


def _told(counts: Counts) -> str:
    return (
        f"{counts.read} read, {counts.wrong_type} of an excluded type, {counts.too_faint} too faint or without magnitude, "
        f"{counts.duplicates} duplicates, {counts.rejected} rejected"
    )
