"""Reading images in training order and in random batches, beside raw bytes with bare zstd, float32 Zarr and HDF5.

All files lie in the page cache and every reader has one thread. The baseline reads the byte ranges of the same chunks and
decodes them with zstd into memory that it uses again, and does nothing else: no index, no checks of its own, no
multiplication, no batch.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr
from numcodecs import zstd
from numpy.typing import NDArray

from benchmarks.harness import Figure
from lenscore.artifacts import Store
from lenscore.cutouts import Cutouts
from lenscore.survey.release import Release
from tests.support.cutouts import small_catalogue, small_cutouts, small_images

RELEASE = Release(name="demo-dr1")
ROUNDS = 15
ROUNDS_OTHERS = 3
BATCH = 256
SEED = 1


@dataclass(frozen=True)
class _Files:
    """The same images at rest in four ways."""

    cutouts: Cutouts
    chunks: list[tuple[Path, int, int]]
    float32: "zarr.Array[Any]"
    hdf5: h5py.Dataset


def main(size: float = 1.0) -> list[Figure]:
    """Measure.

    Args:
        size: 1 for 2048 images of 3 x 152 x 152 px.

    Returns:
        Rates in training order and in random batches, and bytes.
    """
    rows = max(BATCH, int(2048 * size) // BATCH * BATCH)
    with tempfile.TemporaryDirectory(prefix="bench-cutouts-") as folder:
        files = _make(Path(folder), rows)
        _check(files, rows)
        rng = np.random.default_rng(SEED)
        wanted = rng.permutation(rows)[:BATCH]
        figures = [_bytes_figure(files, rows)]
        figures += _figures("training order", _in_order(files, rows), rows)
        figures += _figures(f"random batches of {BATCH}", _at_random(files, wanted), BATCH)
        return figures


def _make(folder: Path, rows: int) -> _Files:
    store = Store.open(str(folder / "store"))
    cutouts = Cutouts.open(small_cutouts(store, rows, SEED, RELEASE))
    shape = (rows, 3, RELEASE.stored_px, RELEASE.stored_px)
    plain = zarr.create_array(
        str(folder / "float32.zarr"), shape=shape, chunks=(16, *shape[1:]), shards=(1024, *shape[1:]), dtype="float32"
    )
    hdf5 = h5py.File(folder / "images.h5", "w").create_dataset("images", shape=shape, dtype="float32")
    catalogue = small_catalogue(rows, SEED, RELEASE)
    for first in range(0, rows, 1024):
        span = range(first, min(first + 1024, rows))
        plain[span.start : span.stop] = hdf5[span.start : span.stop] = small_images(catalogue, span, SEED, RELEASE)
    return _Files(cutouts, _ranges(cutouts, rows), plain, hdf5)


def _ranges(cutouts: Cutouts, rows: int) -> list[tuple[Path, int, int]]:
    """(file, first byte, length) of each chunk, from the shards' indexes."""
    artifact, found = cutouts.artifact, []
    for shard in range(-(-rows // 1024)):
        path = artifact.store.path(artifact.key(f"images.zarr/images/c/{shard}/0/0/0"))
        index = np.frombuffer(path.read_bytes()[-64 * 16 - 4 : -4], dtype="<u8").reshape(64, 2)
        chunks = -(-min(rows - shard * 1024, 1024) // 16)
        found += [(path, int(start), int(length)) for start, length in index[:chunks]]
    return found


def _check(files: _Files, rows: int) -> None:
    """The readers agree, and what is read is what was written, to half a step."""
    order = np.random.default_rng(0).permutation(rows)[:64]
    images, valid = files.cutouts.take(order)
    stored = files.cutouts.take_stored(order)
    exact = np.stack([files.hdf5[row] for row in order])
    if not valid.all() or not np.array_equal(exact, files.float32.oindex[order]):
        raise AssertionError("the stores hold different images")
    if not np.array_equal(images, stored.images_bchw * stored.step_bc[:, :, None, None]):
        raise AssertionError("stored values times step are not the images")
    if (np.abs(images - exact) > 0.51 * stored.step_bc[:, :, None, None]).any():
        raise AssertionError("images differ by more than half a step")


def _bytes_figure(files: _Files, rows: int) -> Figure:
    ours = sum(info.size for path, info in files.cutouts.artifact.files.items() if path.startswith("images.zarr/"))
    raw = rows * 3 * RELEASE.stored_px**2 * 4
    ratio = raw / ours
    return Figure("cutouts: bytes an image", ours / rows, raw / rows, "B", "float32", "4x smaller", ratio, ratio >= 4)


def _in_order(files: _Files, rows: int) -> dict[str, Callable[[], Any]]:
    def stream(**options: Any) -> None:
        for _ in files.cutouts.stream(0, rows, BATCH, threads=1, **options):
            pass

    def plain(source: Any) -> None:
        for first in range(0, rows, BATCH):
            source[first : first + BATCH]

    return {
        "raw": lambda: _raw(files.chunks),
        "stored values": lambda: stream(raw=True),
        "float32, 96 px": lambda: stream(crop_px=96),
        "float32, 152 px": stream,
        "float32 Zarr": lambda: plain(files.float32),
        "HDF5": lambda: plain(files.hdf5),
    }


def _at_random(files: _Files, rows: NDArray[np.int64]) -> dict[str, Callable[[], Any]]:
    chunks = [files.chunks[chunk] for chunk in np.unique(rows // 16)]
    return {
        "raw": lambda: _raw(chunks),
        "stored values": lambda: files.cutouts.take_stored(rows, threads=1),
        "float32, 96 px": lambda: files.cutouts.take(rows, 96, threads=1),
        "float32, 152 px": lambda: files.cutouts.take(rows, threads=1),
        "float32 Zarr": lambda: files.float32.oindex[rows],
        "HDF5": lambda: np.stack([files.hdf5[row] for row in rows]),
    }


def _raw(chunks: list[tuple[Path, int, int]]) -> None:
    out = np.empty((16, 3, RELEASE.stored_px, RELEASE.stored_px), dtype=np.int16)
    for path, start, length in chunks:
        with open(path, "rb", buffering=0) as file:
            file.seek(start)
            zstd.decompress(file.read(length), out)


def _figures(what: str, readers: dict[str, Callable[[], Any]], images: int) -> list[Figure]:
    seconds, cpu_seconds = _best(readers)
    rates = {name: images / value for name, value in seconds.items()}

    def figure(ours: str, theirs: str, against: str, reach: str, limit: float, note: str = "") -> Figure:
        ratio = rates[ours] / rates[theirs]
        in_cpu = (
            f"{cpu_seconds[theirs] / cpu_seconds[ours]:.2f} in CPU time, which other work on the machine disturbs less"
        )
        note = f"{note}; {in_cpu}" if note else in_cpu
        return Figure(
            f"cutouts, {what}: {ours}",
            rates[ours],
            rates[theirs],
            "images/s",
            against,
            reach,
            ratio,
            ratio >= limit,
            note,
        )

    bare = "raw byte read and bare zstd decode"
    return [
        figure("stored values", "raw", bare, ">= 0.9", 0.9, "what training hands to a GPU"),
        figure("float32, 96 px", "raw", bare, ">= 0.9", 0.9, "crop and multiplication included"),
        figure("float32, 152 px", "raw", bare, "reported", 0.0, "multiplication included"),
        figure("float32, 152 px", "float32 Zarr", "zarr-python on float32", "reported", 0.0),
        figure("float32, 152 px", "HDF5", "h5py on contiguous float32, in the page cache", "reported", 0.0),
    ]


def _best(readers: dict[str, Callable[[], Any]]) -> tuple[dict[str, float], dict[str, float]]:
    """Best wall and CPU seconds of several rounds, the readers taking turns; fewer for those that are only reported."""
    wall, cpu = dict.fromkeys(readers, float("inf")), dict.fromkeys(readers, float("inf"))
    for turn in range(ROUNDS):
        for name, read in readers.items():
            if name in ("float32 Zarr", "HDF5") and turn >= ROUNDS_OTHERS:
                continue
            started, started_cpu = time.perf_counter(), time.process_time()
            read()
            wall[name] = min(wall[name], time.perf_counter() - started)
            cpu[name] = min(cpu[name], time.process_time() - started_cpu)
    return wall, cpu
