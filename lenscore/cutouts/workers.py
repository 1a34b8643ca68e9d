"""Threads that fetch chunks, decode them and put their rows into batches."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenscore.cutouts.batches import Batch
from lenscore.cutouts.shards import ShardReader
from lenscore.errors import InputError

REMOTE_REQUESTS = 32

Pieces = list[tuple[slice, slice]]
"""Rows within a chunk, and where they go within a batch."""

Fetched = tuple[memoryview, NDArray[np.float32]]
"""The stored bytes of a chunk, and the steps of its rows."""


class Workers:
    """Threads that fetch and decode chunks. Stored bytes held: those of at most 64 chunks.

    Args:
        images: reads the chunks.
        steps: gives the steps of a chunk's rows.
        threads: threads that decode.
        local: whether the store is a folder.
    """

    def __init__(
        self, images: ShardReader, steps: Callable[[int], NDArray[np.float32]], threads: int, local: bool
    ) -> None:
        if threads < 1:
            raise InputError(f"threads = {threads}", "use 1 or more")
        self._images, self._steps = images, steps
        # A local read costs less than handing it to another thread.
        self._fetchers = None if local else ThreadPoolExecutor(REMOTE_REQUESTS, "cutouts-fetch")
        self._decoders = ThreadPoolExecutor(threads, "cutouts-decode")
        self.chunks_ahead = 2 * threads if local else REMOTE_REQUESTS
        self._room = threading.BoundedSemaphore(2 * REMOTE_REQUESTS)
        self._scratch = threading.local()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for pool in (self._fetchers, self._decoders):
            if pool:
                pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, chunk: int, batch: Batch, pieces: Pieces) -> Future[None]:
        """Fill rows of a batch from a chunk; waits where too much is under way."""
        self._room.acquire()
        fetch: Callable[[], Fetched] = partial(self._fetch, chunk)
        if self._fetchers:
            fetch = self._fetchers.submit(fetch).result
        future = self._decoders.submit(self._fill, fetch, batch, pieces)
        future.add_done_callback(lambda _: self._room.release())
        return future

    def _fetch(self, chunk: int) -> Fetched:
        return self._images.fetch(chunk), self._steps(chunk)

    def _fill(self, fetch: Callable[[], Fetched], batch: Batch, pieces: Pieces) -> None:
        data, steps = fetch()
        images = batch.images_bchw
        for source, target in pieces:
            batch.step_bc[target] = steps[source]
            batch.valid_b[target] = steps[source, 0] > 0
        whole = images[pieces[0][1]]
        if batch.raw and whole.shape == self._images.chunk_shape:
            self._images.decode(data, whole)
            return
        pixels = self._pixels()
        self._images.decode(data, pixels)
        low = (pixels.shape[-1] - images.shape[-1]) // 2
        window = pixels[:, :, low : low + images.shape[-2], low : low + images.shape[-1]]
        for source, target in pieces:
            _place(window[source], steps[source], images[target], batch.raw)

    def _pixels(self) -> NDArray[Any]:
        if not hasattr(self._scratch, "pixels"):
            self._scratch.pixels = np.empty(self._images.chunk_shape, dtype=self._images.dtype)
        pixels: NDArray[Any] = self._scratch.pixels
        return pixels


def _place(stored_bchw: NDArray[Any], step_bc: NDArray[np.float32], out_bchw: NDArray[Any], raw: bool) -> None:
    """Copy images to their place, image by image, so that each is multiplied while it is in the cache."""
    for stored, step, out in zip(stored_bchw, step_bc, out_bchw, strict=True):
        np.copyto(out, stored)
        if not raw:
            out *= step[:, None, None]
