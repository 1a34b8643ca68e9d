"""Feeds pretraining: which objects come when, and their images, read ahead.

An epoch's order is cut into lanes, one for each group of batch statistics; a batch takes equally many objects from each.
A rank reads the lanes of its own groups only, in blocks, so that however many ranks there are every image is read and
decoded once an epoch.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

from lenscore.augment import AugmentConfig, Properties
from lenscore.cutouts import Cutouts
from lenscore.errors import InputError

BLOCK_ROWS = 256
LOAD_ROWS = 2048
BATCHES_AHEAD, BLOCKS_AHEAD = 3, 2
BLUR_MARGIN_PX = 8
GIB = 2**30

Places = NDArray[np.int64]
Made = TypeVar("Made")


def field_px(config: AugmentConfig, out_px: int) -> int:
    """Side of the field that views are made from.

    Args:
        config: of the augmentations.
        out_px: side of the views.

    Returns:
        Pixels: a view turned, at the smallest scale, shifted, with a rim for the blur.
    """
    half = (out_px / 2 + BLUR_MARGIN_PX) * (math.sqrt(2) if config.rotate else 1)
    return 2 * math.ceil(half / (config.scale_low if config.rescale else 1) + (config.shift_px if config.shift else 0))


def one_ahead(made: Iterator[Made]) -> Iterator[Made]:
    """The same things in the same order, each made in a thread, of one core, while the one before is used."""
    nothing, threads = object(), torch.get_num_threads()
    with ThreadPoolExecutor(1, "one-ahead") as pool:
        pool.submit(_use_one_core).result()
        torch.set_num_threads(threads)  # for threads that begin later, which take the number that was set last
        coming = pool.submit(next, made, nothing)
        while (found := coming.result()) is not nothing:
            coming = pool.submit(next, made, nothing)
            yield cast(Made, found)


def _use_one_core() -> None:
    torch.get_num_threads()  # a thread that never asked forgets, at its first work, what it was told
    torch.set_num_threads(1)


@dataclass(frozen=True)
class FeedBatch:
    """Objects of a rank's share of a batch, lane after lane.

    Args:
        stored_bchw: stored pixels (B, C, S, S); times step_bc they are nanomaggies.
        step_bc: (B, C) float32.
        properties: of the B objects.
    """

    stored_bchw: torch.Tensor
    step_bc: torch.Tensor
    properties: Properties

    def images(self, rows: slice, device: torch.device) -> torch.Tensor:
        """Some rows as (R, C, S, S) float32 nanomaggies on a device, which gets the small stored pixels."""
        stored = self.stored_bchw[rows].to(device, non_blocking=True).float()
        return stored.mul_(self.step_bc[rows].to(device, non_blocking=True)[:, :, None, None])


Pixels = tuple[torch.Tensor, torch.Tensor]
"""Stored pixels and their steps."""


class Feed:
    """The training sample.

    Its central fields are held in memory, as stored, where they fit into half of what is allowed; else two blocks a lane
    of the rank are held (20 MB each at 152 px and 3 bands) and three batches. Which of the two never changes the result.

    Args:
        cutouts: pre-shuffled.
        crop_px: side of the field that augmentations need.
        memory_gib: memory that may be filled.
        threads: that read.

    Raises:
        InputError: no row is valid.
    """

    def __init__(self, cutouts: Cutouts, crop_px: int, memory_gib: float, threads: int) -> None:
        self.cutouts, self.crop_px, self.threads = cutouts, min(crop_px, cutouts.size_px), threads
        self.rows = np.flatnonzero(cutouts.valid()).astype(np.int64)
        if len(self.rows) == 0:
            raise InputError("the training sample has no valid image", "look at the rejected rows of the ingest")
        names = ["ebv", *(f"{stem}_{band}" for stem in ("psfsize", "psfdepth") for band in cutouts.bands)]
        table = cutouts.catalogue.read([name for name in names if name in cutouts.catalogue.schema.names])
        self.properties = Properties.from_table(table.take(self.rows), cutouts.bands)
        one = self._read(np.arange(1))[0]
        fits = len(self.rows) * one.nbytes <= memory_gib * GIB / 2
        self.held = self._hold(one.dtype) if fits else None

    def __len__(self) -> int:
        return len(self.rows)

    def order(self, epoch: int, seed: int, lanes: int) -> Places:
        """Order of an epoch.

        The sample is shuffled already: blocks are shuffled, and objects within, so that reads stay together.

        Args:
            epoch: from 0.
            seed: of the run.
            lanes: parts of equal length; what is left over changes from epoch to epoch.

        Returns:
            (lanes, objects of a lane) places among the valid rows.
        """
        rng = np.random.default_rng([seed, epoch])
        count = len(self.rows)
        parts = [
            block * BLOCK_ROWS + rng.permutation(min(BLOCK_ROWS, count - block * BLOCK_ROWS))
            for block in rng.permutation(-(-count // BLOCK_ROWS))
        ]
        return np.concatenate(parts)[: count // lanes * lanes].reshape(lanes, -1)

    def batches(self, lanes: Sequence[Places], per_lane: int, pinned: bool = False) -> Iterator[FeedBatch]:
        """Batches of some lanes, read ahead of their use.

        Args:
            lanes: objects of each lane, in order; a short rest is left out.
            per_lane: objects that a batch takes of each.
            pinned: put them where a GPU fetches them fastest.

        Yields:
            Batches of len(lanes) x per_lane objects.
        """
        with ThreadPoolExecutor(1, "feed-batch") as pool, ThreadPoolExecutor(2, "feed-block") as readers:
            sources = [_Lane(self, places, readers) for places in lanes]
            waiting: deque[Future[FeedBatch]] = deque()
            for step in range(min(len(places) for places in lanes) // per_lane):
                span = slice(step * per_lane, (step + 1) * per_lane)
                index = np.concatenate([places[span] for places in lanes])
                waiting.append(pool.submit(self._batch, index, sources, per_lane, pinned))
                if len(waiting) > BATCHES_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _batch(self, index: Places, sources: Sequence["_Lane"], per_lane: int, pinned: bool) -> FeedBatch:
        places = torch.from_numpy(index)
        if self.held is not None:
            stored, step = (values[places] for values in self.held)
        else:
            stored, step = _join([source.take(per_lane) for source in sources])
        if pinned:
            stored, step = stored.pin_memory(), step.pin_memory()
        return FeedBatch(stored, step, self.properties.take(places))

    def _hold(self, dtype: torch.dtype) -> Pixels:
        shape = (len(self.rows), len(self.cutouts.bands), self.crop_px, self.crop_px)
        stored, step = torch.empty(shape, dtype=dtype), torch.empty(shape[:2])
        for start in range(0, len(self.rows), LOAD_ROWS):
            part = slice(start, min(start + LOAD_ROWS, len(self.rows)))
            stored[part], step[part] = self._read(np.arange(part.start, part.stop))
        return stored, step

    def _read(self, places: Places) -> Pixels:
        found = self.cutouts.take_stored(self.rows[places], self.crop_px, self.threads)
        return torch.from_numpy(found.images_bchw), torch.from_numpy(found.step_bc)


class _Lane:
    """Reads a lane block by block, ahead of its use."""

    def __init__(self, feed: Feed, places: Places, readers: ThreadPoolExecutor) -> None:
        ends = np.flatnonzero(np.diff(places // BLOCK_ROWS)) + 1
        self._feed, self._readers = feed, readers
        self._blocks = deque(np.split(places, ends))
        self._coming: deque[Future[Pixels]] = deque()
        self._held: list[Pixels] = []

    def take(self, count: int) -> Pixels:
        """The next objects."""
        while sum(len(step) for _, step in self._held) < count:
            while self._blocks and len(self._coming) < BLOCKS_AHEAD:
                self._coming.append(self._readers.submit(self._feed._read, self._blocks.popleft()))
            self._held.append(self._coming.popleft().result())
        stored, step = _join(self._held)
        self._held = [(stored[count:], step[count:])]
        return stored[:count], step[:count]


def _join(parts: Sequence[Pixels]) -> Pixels:
    if len(parts) == 1:
        return parts[0]
    return torch.cat([stored for stored, _ in parts]), torch.cat([step for _, step in parts])
