"""One pass over catalogues that counts noise, PSF and E(B-V) of the selected rows."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.augment.fits import ALL_BANDS
from lenscore.augment.histogram import Histogram
from lenscore.augment.measure import noise_sigma_nmgy, psf_sigma_px
from lenscore.survey.schema import REJECTED

if TYPE_CHECKING:
    from lenscore.artifacts.tables import Table

BATCH_ROWS = 262_144
LISTED_PER_PART = 1000
"""Bad rows listed of a part; all are counted."""
FAN_IN = 8
"""Results added up by one task."""
Quantity = tuple[str, str]
"""(quantity, band)."""


@dataclass(frozen=True)
class Selection:
    """Which rows are counted, and how they are measured.

    Args:
        bands: of the release.
        pixel_scale_arcsec: of the release.
        mag_band: band of the limit.
        mag_limit: rows fainter are left out; None for all.
        measured: "every_band": rows with psfdepth and psfsize above zero in all bands; "own_band": in each band, the
            rows that have them in that band.
    """

    bands: tuple[str, ...]
    pixel_scale_arcsec: float
    mag_band: str
    mag_limit: float | None
    measured: Literal["every_band", "own_band"]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that are read."""
        own = [f"{stem}_{band}" for stem in ("psfsize", "psfdepth") for band in self.bands]
        return ("ebv", *([f"mag_{self.mag_band}"] if self.mag_limit is not None else []), *own)


@dataclass(frozen=True)
class Counts:
    """What was counted in some rows; two add up exactly, in any order.

    Args:
        histograms: by (quantity, band).
        rows: rows read.
        selected: rows within the magnitude limit.
        bad: selected rows that were set aside because a value is not finite.
        rejected: those rows, with reasons; at most LISTED_PER_PART of a part.
    """

    histograms: Mapping[Quantity, Histogram] = field(default_factory=dict)
    rows: int = 0
    selected: int = 0
    bad: int = 0
    rejected: pa.Table = field(default_factory=REJECTED.empty_table)

    def __add__(self, other: Counts) -> Counts:
        keys = {**self.histograms, **other.histograms}
        empty = Histogram.empty()
        return Counts(
            {key: self.histograms.get(key, empty) + other.histograms.get(key, empty) for key in keys},
            self.rows + other.rows,
            self.selected + other.selected,
            self.bad + other.bad,
            pa.concat_tables([self.rejected, other.rejected]),
        )


def count_table(table: Table, selection: Selection, source: str, start: int = 0, stop: int | None = None) -> Counts:
    """Count rows start..stop of a stored catalogue, a batch at a time.

    Args:
        table: the catalogue.
        selection: which rows.
        source: named in the list of rejected rows.
        start: first row.
        stop: row after the last.

    Raises:
        InputError: a column is missing.
    """
    total, bad_rows = Counts(), np.zeros(0, dtype=np.int64)
    first = start
    for batch in table.batches(selection.columns, BATCH_ROWS, start, stop):
        columns = {
            name: np.asarray(batch[name].to_numpy(zero_copy_only=False), np.float32) for name in selection.columns
        }
        part, bad = count_columns(columns, selection)
        total += part
        if bad.any():
            bad_rows = np.append(bad_rows, first + np.flatnonzero(bad))[:LISTED_PER_PART]
        first += batch.num_rows
    return total + Counts(rejected=_listed(table, bad_rows, source)) if len(bad_rows) else total


def count_columns(columns: Mapping[str, NDArray[np.float32]], selection: Selection) -> tuple[Counts, NDArray[np.bool_]]:
    """Count rows in memory.

    Args:
        columns: (N,) values by the names of `selection.columns`.
        selection: which rows.

    Returns:
        The counts, and (N,) which rows were set aside: selected, but with a value that is not finite.
    """
    selected = np.ones(len(columns["ebv"]), dtype=bool)
    if selection.mag_limit is not None:
        selected = columns[f"mag_{selection.mag_band}"] < selection.mag_limit  # False where it is NaN
    finite = np.isfinite(sum(columns[name] for name in selection.columns if not name.startswith("mag_")))
    used = selected & finite
    histograms = dict(_histograms(columns, selection, used))
    bad = selected & ~finite
    return Counts(histograms, len(selected), int(selected.sum()), int(bad.sum())), bad


def _histograms(
    columns: Mapping[str, NDArray[np.float32]], selection: Selection, used: NDArray[np.bool_]
) -> Iterator[tuple[Quantity, Histogram]]:
    measured = {
        band: used & (columns[f"psfsize_{band}"] > 0) & (columns[f"psfdepth_{band}"] > 0) for band in selection.bands
    }
    if selection.measured == "every_band":
        used = reduce(operator.and_, measured.values())
        measured = dict.fromkeys(selection.bands, used)
    yield ("ebv", ALL_BANDS), Histogram.of(columns["ebv"][used])
    for band, rows in measured.items():
        sigma_px = psf_sigma_px(columns[f"psfsize_{band}"][rows], selection.pixel_scale_arcsec)
        yield ("psf", band), Histogram.of(sigma_px)
        yield ("noise", band), Histogram.of(noise_sigma_nmgy(columns[f"psfdepth_{band}"][rows], sigma_px))


def _listed(table: Table, rows: NDArray[np.int64], source: str) -> pa.Table:
    where = pa.concat_tables([table.read(["ls_id", "ra", "dec"], int(row), int(row) + 1) for row in rows])
    reason = "psfsize, psfdepth or ebv is not finite"
    return pa.table(
        [rows, where["ls_id"], where["ra"], where["dec"], [source] * len(rows), [reason] * len(rows)], schema=REJECTED
    )


def count_all(jobs: Sequence[tuple[Table, Selection, str]], scheduler: str | None, workers: int) -> Counts:
    """Count whole catalogues with Dask, a task for each Parquet part, results added up in a tree.

    Time grows with the rows, memory only with the number of workers: about 0.2 GB each.

    Args:
        jobs: (catalogue, selection, name for messages).
        scheduler: address of a Dask scheduler; None to work in this process (one worker) or in processes of its own.
        workers: processes to start, where there is no scheduler.
    """
    import dask

    parts = [dask.delayed(count_table)(*job, start, stop) for job in jobs for start, stop in _part_ranges(job[0])]
    while len(parts) > 1:
        parts = [dask.delayed(_sum)(parts[i : i + FAN_IN]) for i in range(0, len(parts), FAN_IN)]
    if not parts:
        return Counts()
    if scheduler is not None:
        from distributed import Client

        with Client(scheduler) as client:
            return client.compute(parts[0]).result()
    if workers == 1:
        return dask.compute(parts[0], scheduler="synchronous")[0]
    return dask.compute(parts[0], scheduler="processes", num_workers=workers)[0]


def _sum(counts: list[Counts]) -> Counts:
    return reduce(operator.add, counts)


def _part_ranges(table: Table) -> Iterator[tuple[int, int]]:
    start = 0
    for _, rows in table.parts:
        yield start, start + rows
        start += rows
