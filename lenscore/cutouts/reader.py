"""Reads images: ranges, streams with read-ahead, and rows in any order."""

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenscore.artifacts import Artifact, Table
from lenscore.cutouts.batches import Batch, Buffers, rebatch
from lenscore.cutouts.layout import IMAGES, STEP, VALID
from lenscore.cutouts.shards import ShardReader
from lenscore.cutouts.workers import REMOTE_REQUESTS, Pieces, Workers
from lenscore.errors import InputError
from lenscore.survey.release import Release

MAX_STEP_SHARDS = 4096
LOCKS = 64
KEPT_BATCHES = 3
LARGEST_KEPT_BYTES = 128 << 20


class Cutouts:
    """The images and catalogue of a cutouts artifact. Threads may share it.

    Memory: the batches asked for, those read ahead, up to three batches of at most 128 MiB for use again, one chunk a
    thread, and the requests under way (64 chunks of 0.8 MB); 12 KB for each of the last 4096 shards touched.
    """

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.release = Release.model_validate(artifact.read_json("release.json"))
        self._images = ShardReader(artifact, IMAGES)
        self._step = ShardReader(artifact, STEP)
        self._step_cache: dict[int, NDArray[np.float32]] = {}
        self._buffers = Buffers(KEPT_BATCHES, LARGEST_KEPT_BYTES)
        self._step_locks = [threading.Lock() for _ in range(LOCKS)]

    def __reduce__(self) -> tuple[Any, ...]:
        return Cutouts.open, (self.artifact,)

    @classmethod
    def open(cls, artifact: Artifact) -> Self:
        """Open the images of an artifact (kind cutouts, or a simulated sky).

        Raises:
            InputError: it holds no images.
            DamagedError: they are not laid out as expected.
        """
        if not artifact.exists(f"{IMAGES}/zarr.json"):
            raise InputError(
                f"{artifact.kind} {artifact.id[:12]} holds no images", "hand over an artifact of kind cutouts"
            )
        return cls(artifact)

    @property
    def rows(self) -> int:
        """Number of images."""
        return self._images.shape[0]

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands, in image order."""
        return self.release.bands

    @property
    def size_px(self) -> int:
        """Side of a stored image, px."""
        return self._images.shape[-1]

    @property
    def kind(self) -> str:
        """Type of the stored pixels."""
        return self._images.dtype.name

    @property
    def chunk_rows(self) -> int:
        """Images that are decompressed together."""
        return self._images.chunk_rows

    @cached_property
    def catalogue(self) -> Table:
        """The catalogue, row for row."""
        return self.artifact.table("catalogue" if self.artifact.has_table("catalogue") else "objects")

    def valid(self, start: int = 0, stop: int | None = None) -> NDArray[np.bool_]:
        """Whether images can be used, without reading them.

        Args:
            start: first row.
            stop: row after the last; None for all.

        Returns:
            (stop - start,) bool.
        """
        start, stop = self._range(start, stop)
        reader = ShardReader(self.artifact, VALID)
        chunks = range(start // reader.chunk_rows, -(-stop // reader.chunk_rows))
        with ThreadPoolExecutor(REMOTE_REQUESTS) as pool:
            parts = list(pool.map(reader.read, chunks))
        first = chunks.start * reader.chunk_rows
        return np.concatenate([np.zeros(0, dtype=bool), *parts])[start - first : stop - first]

    def read(
        self, start: int, stop: int, crop_px: int | None = None, threads: int = 2
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read a range of rows; see `stream`.

        Returns:
            images_bchw (B, C, H, W) float32, nmgy, and valid_b (B,).
        """
        start, stop = self._range(start, stop)
        batch = self._empty(start, 0, crop_px, raw=False, buffers=self._buffers)
        for found in self.stream(start, stop, max(stop - start, 1), crop_px, threads):
            batch = found
        return batch.images_bchw, batch.valid_b

    def take(
        self, rows: ArrayLike, crop_px: int | None = None, threads: int = 2
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read rows in any order, repeats allowed; each chunk is read once.

        Args:
            rows: row numbers (B,).
            crop_px: side of a central crop; None for the whole image.
            threads: threads that decode.

        Returns:
            images_bchw (B, C, H, W) float32, nmgy, and valid_b (B,), in the order asked for.

        Raises:
            InputError: a row does not exist.
            DamagedError: stored bytes fail their checksum.
        """
        batch = self._take(rows, crop_px, threads, raw=False)
        return batch.images_bchw, batch.valid_b

    def take_stored(self, rows: ArrayLike, crop_px: int | None = None, threads: int = 2) -> Batch:
        """Like `take`, but stored values and their steps, not multiplied."""
        return self._take(rows, crop_px, threads, raw=True)

    def stream(
        self,
        start: int = 0,
        stop: int | None = None,
        batch_rows: int = 256,
        crop_px: int | None = None,
        threads: int = 2,
        raw: bool = False,
    ) -> Iterator[Batch]:
        """Read rows in order, ahead of the caller.

        Args:
            start: first row.
            stop: row after the last; None for all.
            batch_rows: rows in a batch; the last may be short.
            crop_px: side of a central crop; None for the whole image.
            threads: threads that decode.
            raw: hand out stored values and their steps, for a GPU to multiply.

        Yields:
            Batches, in order; their arrays are the caller's to keep.

        Raises:
            InputError: the range or crop does not fit.
            DamagedError: stored bytes fail their checksum.
        """
        start, stop = self._range(start, stop)
        if batch_rows < 1:
            raise InputError(f"batch_rows = {batch_rows}", "use 1 or more")
        with self._workers(threads) as workers:
            blocks = self._blocks(workers, start, stop, batch_rows, crop_px, raw)
            yield from rebatch(blocks, start, stop, batch_rows)

    def _blocks(
        self, workers: Workers, start: int, stop: int, batch_rows: int, crop_px: int | None, raw: bool
    ) -> Iterator[Batch]:
        """Batches that end at chunks, so that no chunk is decoded twice."""
        chunks = -(-batch_rows // self.chunk_rows)
        ahead = -(-workers.chunks_ahead // chunks)
        buffers = self._buffers if ahead + 2 <= KEPT_BATCHES else Buffers(kept=ahead + 2)
        waiting: deque[tuple[Batch, list[Future[None]]]] = deque()
        while start < stop or waiting:
            while start < stop and len(waiting) <= ahead:
                end = min((start // self.chunk_rows + chunks) * self.chunk_rows, stop)
                block = self._empty(start, end - start, crop_px, raw, buffers)
                futures = [workers.submit(chunk, block, pieces) for chunk, pieces in self._plan(start, end)]
                waiting.append((block, futures))
                start = end
            block, futures = waiting.popleft()
            for future in futures:
                future.result()
            yield block
            del block, futures  # else their memory is not free for the next one

    def _plan(self, start: int, stop: int) -> Iterator[tuple[int, Pieces]]:
        """Chunks that hold a range of rows, with their rows and where these go."""
        size = self.chunk_rows
        for chunk in range(start // size, -(-stop // size)):
            low, high = max(chunk * size, start), min((chunk + 1) * size, stop)
            yield chunk, [(slice(low - chunk * size, high - chunk * size), slice(low - start, high - start))]

    def _take(self, rows: ArrayLike, crop_px: int | None, threads: int, raw: bool) -> Batch:
        wanted = self._rows(rows)
        batch = self._empty(-1, len(wanted), crop_px, raw, self._buffers)
        with self._workers(threads) as workers:
            futures = [
                workers.submit(chunk, batch, pieces) for chunk, pieces in _group_by_chunk(wanted, self.chunk_rows)
            ]
            for future in futures:
                future.result()
        return batch

    def _rows(self, rows: ArrayLike) -> NDArray[np.int64]:
        wanted = np.asarray(rows)
        if wanted.ndim != 1 or (len(wanted) and wanted.dtype.kind not in "iu"):
            raise InputError(
                f"rows have shape {wanted.shape} and type {wanted.dtype}", "hand over a list of whole numbers"
            )
        wanted = wanted.astype(np.int64)
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < self.rows):
            bad = wanted[(wanted < 0) | (wanted >= self.rows)][0]
            raise InputError(f"there is no row {bad}", f"ask for rows 0..{self.rows - 1}")
        return wanted

    def _range(self, start: int, stop: int | None) -> tuple[int, int]:
        stop = self.rows if stop is None else stop
        if not 0 <= start <= stop <= self.rows:
            raise InputError(f"there are no rows {start}..{stop}", f"ask for rows within 0..{self.rows}")
        return start, stop

    def _empty(self, start: int, rows: int, crop_px: int | None, raw: bool, buffers: Buffers) -> Batch:
        side = self.size_px if crop_px is None else crop_px
        if not 1 <= side <= self.size_px:
            raise InputError(f"crop_px = {crop_px}", f"use 1..{self.size_px}, the stored size")
        shape = (rows, len(self.bands), side, side)
        dtype = self._images.dtype if raw else np.dtype(np.float32)
        images = buffers.empty(shape, dtype)
        return Batch(start, images, np.empty(rows, dtype=bool), np.empty(shape[:2], dtype=np.float32), raw)

    def _workers(self, threads: int) -> Workers:
        return Workers(self._images, self._steps, threads, self.artifact.store.is_local)

    def _steps(self, chunk: int) -> NDArray[np.float32]:
        """Steps of an image chunk's rows."""
        first = chunk * self.chunk_rows
        shard = first // self._step.chunk_rows
        found = self._step_cache.get(shard)
        if found is None:
            with self._step_locks[shard % LOCKS]:
                found = self._step_cache.get(shard)
                if found is None:
                    if len(self._step_cache) >= MAX_STEP_SHARDS:
                        self._step_cache.clear()
                    found = self._step_cache[shard] = self._step.read(shard)
        offset = first - shard * self._step.chunk_rows
        return found[offset : offset + self.chunk_rows]


def _group_by_chunk(wanted: NDArray[np.int64], size: int) -> Iterator[tuple[int, Pieces]]:
    """Chunks that hold wanted rows, each with these rows and their places among those wanted."""
    order = np.argsort(wanted, kind="stable")
    ends = np.flatnonzero(np.diff(wanted[order] // size)) + 1
    for places in np.split(order, ends) if len(order) else []:
        rows = wanted[places] % size
        pieces = [(slice(row, row + 1), slice(place, place + 1)) for row, place in zip(rows, places, strict=True)]
        yield int(wanted[places[0]]) // size, pieces
