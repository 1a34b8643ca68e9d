"""Seven lognormal fits of a survey's catalogue: one streaming pass, against scipy's fit of all values in memory."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import stats

from benchmarks.harness import Figure
from lenscore.artifacts.tables import PART_ROWS, ParquetPart
from lenscore.augment import Fits
from lenscore.augment.collect import Counts, Selection, count_columns
from lenscore.augment.likelihood import fit_lognormal, lognormal_quantiles

ROWS = 43_000_000
SAMPLE = 1_000_000
FRACTIONS = np.linspace(0.01, 0.99, 99)
SELECTION = Selection(("g", "r", "z"), 0.262, "z", 20.0, "every_band")


def main(size: float = 1.0) -> list[Figure]:
    """Measure the pass over 43 million rows (with reading them from Parquet) and the fits that follow it.

    Args:
        size: share of the 43 million rows.
    """
    parts = max(round(size * ROWS / PART_ROWS), 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.parquet"
        columns = _write_part(path)
        # One part read over and over: the same work as as many parts, without 1.4 GB of disk.
        command = [sys.executable, "-m", "benchmarks.bench_fits", str(path), str(parts)]
        report = subprocess.run(command, check=True, capture_output=True, text=True, env=_one_thread()).stdout.split()
    read_seconds, count_seconds, fit_seconds, peak_gib = map(float, report)
    rows = parts * PART_ROWS
    default, generic = _scipy_seconds(columns, rows)
    right = _agrees(columns) and peak_gib < 2
    note = (
        f"{rows:,} rows; reading them takes another {read_seconds:.1f} CPU s; peak {peak_gib:.2f} GiB (reach: under 2); "
        f"quantiles within 1e-3 of scipy's: {right}"
    )
    whole, present = count_seconds + fit_seconds, f"scipy {version('scipy')} lognorm.fit"
    return [
        _figure("7 lognormal fits, from the histograms", fit_seconds, default, present, right, note),
        _figure("7 lognormal fits, with counting", whole, default, present, right, note),
        _figure("7 lognormal fits, with counting", whole, generic, "scipy's general fit, as in 2021", right, note),
    ]


def _figure(what: str, ours: float, theirs: float, against: str, right: bool, note: str) -> Figure:
    ratio = theirs / ours
    return Figure(
        what=what,
        ours=ours,
        theirs=theirs,
        unit="CPU s",
        against=f"{against}, scaled from {SAMPLE:,} rows",
        reach="1000x",
        ratio=ratio,
        passed=right and ratio >= 1000,
        note=note,
    )


def count_and_fit(path: Path, parts: int) -> tuple[float, float, float, float]:
    """Read a part many times, count and fit.

    Returns:
        CPU seconds of reading, of counting and of fitting, and peak memory in GiB.
    """
    pa.set_cpu_count(1)
    started, counting, counts = time.process_time(), 0.0, Counts()
    for _ in range(parts):
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(columns=list(SELECTION.columns), use_threads=False):
                columns = {name: batch[name].to_numpy() for name in SELECTION.columns}
                before = time.process_time()
                counts += count_columns(columns, SELECTION)[0]
                counting += time.process_time() - before
    counted = time.process_time()
    for key, histogram in counts.histograms.items():
        fit_lognormal(histogram, key[0])
    fitted = time.process_time()
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return counted - started - counting, counting, fitted - counted, peak_gib


def _write_part(path: Path) -> dict[str, NDArray[np.float32]]:
    random, fits = np.random.default_rng(0), Fits.table2()

    def drawn(one):  # type: ignore[no-untyped-def]
        return np.maximum(one.loc + one.scale * np.exp(random.normal(0, one.shape, PART_ROWS)), 1e-5)

    columns = {"ebv": drawn(fits.ebv), "mag_z": random.uniform(15, 20, PART_ROWS)}
    for band, noise, psf in zip("grz", fits.noise, fits.psf, strict=True):
        sigma_px, sigma_nmgy = drawn(psf), drawn(noise)
        columns[f"psfsize_{band}"] = sigma_px * 2.3548 * 0.262
        columns[f"psfdepth_{band}"] = 1 / (4 * np.pi * (sigma_px * sigma_nmgy) ** 2)
    single = {name: values.astype(np.float32) for name, values in columns.items()}
    part = ParquetPart(path, pa.table(single).schema)
    part.write(pa.table(single))
    part.close()
    return single


def _values(columns: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float64]]:
    """The seven quantities of the sample."""
    values = [columns["ebv"][:SAMPLE]]
    for band in "grz":
        sigma_px = columns[f"psfsize_{band}"][:SAMPLE].astype(np.float64) / (2.3548 * 0.262)
        depth = columns[f"psfdepth_{band}"][:SAMPLE].astype(np.float64)
        values += [sigma_px, 1 / np.sqrt(4 * np.pi * depth * sigma_px**2)]
    return [one.astype(np.float64) for one in values]


def _scipy_seconds(columns: dict[str, NDArray[np.float32]], rows: int) -> tuple[float, float]:
    """CPU seconds of scipy's present fit, and of the general one that lognorm.fit was until scipy 1.10, for all rows."""
    default = generic = 0.0
    for values in _values(columns):
        started = time.process_time()
        stats.lognorm.fit(values)
        between = time.process_time()
        stats.rv_continuous.fit(stats.lognorm, values)
        default, generic = default + between - started, generic + time.process_time() - between
    return default * rows / SAMPLE, generic * rows / SAMPLE


def _agrees(columns: dict[str, NDArray[np.float32]]) -> bool:
    counts, _ = count_columns({name: values[:SAMPLE] for name, values in columns.items()}, SELECTION)
    ours = [fit_lognormal(histogram, key[0]).lognormal for key, histogram in counts.histograms.items()]
    theirs = [stats.lognorm.fit(values) for values in _values(columns)]
    return all(
        np.allclose(lognormal_quantiles(one, FRACTIONS), stats.lognorm.ppf(FRACTIONS, *other), rtol=1e-3)
        for one, other in zip(ours, theirs, strict=True)
    )


def _one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


if __name__ == "__main__":
    print(*count_and_fit(Path(sys.argv[1]), int(sys.argv[2])))
