"""Sorts embeddings by magnitude in one sequential pass: tens of millions of single reads would never end.

Vectors are thrown into files, one for each narrow range of magnitudes, and each file is then sorted by itself. Memory
is that of one batch and of one file's keys; disk is that of the embeddings.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenscore.errors import InputError, StoreError
from lenscore.similarity.topk import NO_ROW

# A histogram of this step decides where one file ends and the next begins; what lies outside goes to the ends.
STEP_MAG = 0.001
FAINTEST_MAG = 40.0
BLOCK_ROWS = 16384


class Keyed(NamedTuple):
    """Vectors with their keys: (B,) float32 magnitude (NaN: takes no part), (B,) uint32 row, (B, D) float16."""

    mag: NDArray[np.float32]
    row: NDArray[np.uint32]
    vector: NDArray[np.float16]


class Buckets:
    """Files of vectors, one for each range of magnitudes.

    Args:
        folder: an empty scratch folder.
        histogram: number of objects in each step of magnitude, as `count_mags` gives it.
        rows: number of all objects.
        dimension: length of a vector.
        bucket_rows: rows wanted in a file.
    """

    def __init__(self, folder: Path, histogram: NDArray[np.int64], rows: int, dimension: int, bucket_rows: int) -> None:
        if rows >= NO_ROW:
            raise InputError(f"{rows} objects do not fit row numbers of 32 bits", "split the catalogue")
        self.folder, self.rows = folder, rows
        self._record = np.dtype([("mag", "<f4"), ("row", "<u4"), ("vector", "<f2", (dimension,))])
        before = np.cumsum(histogram) - histogram
        self._bucket_of_step = before // max(bucket_rows, 1)
        self._position = np.lib.format.open_memmap(folder / "position.npy", "w+", np.uint32, (max(rows, 1),))
        self._position[:] = NO_ROW

    def add(self, batch: Keyed) -> None:
        """Take a batch; objects whose magnitude is NaN take no part.

        Raises:
            StoreError: the scratch folder is full.
        """
        keep = ~np.isnan(batch.mag)
        records = np.empty(int(keep.sum()), self._record)
        for name in ("mag", "row", "vector"):
            records[name] = getattr(batch, name)[keep]
        bucket = self._bucket_of_step[steps(records["mag"])]
        order = np.argsort(bucket, kind="stable")
        numbers, starts = np.unique(bucket[order], return_index=True)
        for number, part in zip(numbers, np.split(order, starts[1:]), strict=True):
            self._append(int(number), records[part])

    def blocks(self) -> Iterator[Keyed]:
        """All objects, by rising magnitude and row, then those that take no part, by row, in blocks of BLOCK_ROWS."""
        return _reblock(self._all())

    @property
    def position(self) -> NDArray[np.uint32]:
        """Place of each row in that order, (N,); complete when all blocks were read."""
        return self._position[: self.rows]

    def _all(self) -> Iterator[Keyed]:
        done = 0
        for path in sorted(self.folder.glob("bucket-*")):
            for part in self._sorted(path):
                yield self._place(part, done)
                done += len(part.row)
            path.unlink()
        for start in range(0, self.rows, BLOCK_ROWS):
            rest = np.flatnonzero(self._position[start : min(start + BLOCK_ROWS, self.rows)] == NO_ROW) + start
            vectors = np.zeros((len(rest), self._record["vector"].shape[0]), np.float16)
            none = Keyed(np.full(len(rest), np.nan, np.float32), rest.astype(np.uint32), vectors)
            yield self._place(none, done)
            done += len(rest)

    def _place(self, part: Keyed, done: int) -> Keyed:
        self._position[part.row] = np.arange(done, done + len(part.row), dtype=np.uint32)
        return part

    def _sorted(self, path: Path) -> Iterator[Keyed]:
        records = np.memmap(path, self._record, "r")
        order = np.lexsort((records["row"], records["mag"]))
        for start in range(0, len(order), BLOCK_ROWS):
            part = records[order[start : start + BLOCK_ROWS]]
            yield Keyed(part["mag"], part["row"], part["vector"])

    def _append(self, bucket: int, records: NDArray[np.void]) -> None:
        try:
            with open(self.folder / f"bucket-{bucket:010d}", "ab") as file:
                file.write(records.tobytes())
        except OSError as error:
            raise StoreError(
                f"cannot write to the scratch folder {self.folder}: {error.strerror}",
                f"it must hold {self.rows * self._record.itemsize / 1e9:.1f} GB: free some, or choose another",
            ) from error


def steps(mag: NDArray[np.float32]) -> NDArray[np.int64]:
    """The step of magnitude that each object falls into, (B,)."""
    clipped = np.clip(mag.astype(np.float64), 0, FAINTEST_MAG)
    return (clipped / STEP_MAG).astype(np.int64)


def count_mags(batches: Iterable[NDArray[np.float32]]) -> NDArray[np.int64]:
    """Histogram of magnitudes; NaN is not counted."""
    histogram = np.zeros(int(FAINTEST_MAG / STEP_MAG) + 2, np.int64)
    for mag in batches:
        histogram += np.bincount(steps(mag[~np.isnan(mag)]), minlength=len(histogram))
    return histogram


def _reblock(parts: Iterable[Keyed]) -> Iterator[Keyed]:
    waiting: list[Keyed] = []
    rows = 0
    for part in parts:
        waiting.append(part)
        rows += len(part.row)
        while rows >= BLOCK_ROWS:
            joined = _join(waiting)
            yield _cut(joined, 0, BLOCK_ROWS)
            waiting = [_cut(joined, BLOCK_ROWS, rows)]
            rows -= BLOCK_ROWS
    if rows:
        yield _join(waiting)


def _join(parts: Iterable[Keyed]) -> Keyed:
    mag, row, vector = zip(*parts, strict=True)
    return Keyed(np.concatenate(mag), np.concatenate(row), np.concatenate(vector))


def _cut(part: Keyed, start: int, stop: int) -> Keyed:
    return Keyed(part.mag[start:stop], part.row[start:stop], part.vector[start:stop])
