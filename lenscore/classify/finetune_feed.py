"""Batches for fine-tuning: every nonlens once an epoch, lenses as often as their share asks."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lenscore.augment import Properties
from lenscore.classify.labelled import catalogue_rows
from lenscore.classify.splits import Part
from lenscore.cutouts import Cutouts

Ints = NDArray[np.int64]

RUN_ROWS, WINDOW_ROWS = 32, 2048


@dataclass(frozen=True)
class TrainingBatch:
    """Images (B, C, S, S) in nanomaggies, their classes (B,) float32, and their properties."""

    images_bchw: torch.Tensor
    classes_b: torch.Tensor
    properties: Properties


class TrainingFeed:
    """Reads the training part.

    Images of lenses are held in memory; those of nonlenses too if they fit into half of what is allowed, else they are
    read in windows of 2048 objects, near ones together, so that a stored chunk is decoded few times in an epoch.

    Args:
        cutouts: the release's.
        part: rows of lenses and nonlenses.
        crop_px: side of the field that the augmentations need.
        memory_gib: memory that may be filled.
        threads: that read.
    """

    def __init__(self, cutouts: Cutouts, part: Part, crop_px: int, memory_gib: float, threads: int) -> None:
        self.cutouts, self.crop_px, self.threads = cutouts, crop_px, threads
        self.nonlenses = np.sort(part.nonlenses)
        rows = np.concatenate([part.lenses, self.nonlenses])
        columns = ["ebv", *(f"{stem}_{band}" for stem in ("psfsize", "psfdepth") for band in cutouts.bands)]
        self.properties = Properties.from_table(catalogue_rows(cutouts.artifact, rows, columns), cutouts.bands)
        self.lenses = len(part.lenses)
        self.lens_images = self._take(part.lenses)
        size = len(self.nonlenses) * self.lens_images[:1].nbytes
        self.held = self._take(self.nonlenses) if size <= memory_gib * 2**29 else None

    def batches(self, batch: int, share: float, seed: int, epoch: int) -> Iterator[TrainingBatch]:
        """One epoch.

        Args:
            batch: objects in a batch.
            share: of lenses in a batch.
            seed: of the order.
            epoch: number of the epoch; the order depends on nothing else.

        Yields:
            Batches; the last may be short.
        """
        rng = np.random.default_rng([seed, epoch])
        lens_order = _endless(rng, self.lenses)
        others = max(1, batch - max(1, round(batch * share)))
        rest = np.zeros(0, np.int64)
        images = torch.zeros(0, *self.lens_images.shape[1:])
        for places, window in self._windows(rng):
            rest, images = np.concatenate([rest, places]), torch.cat([images, window])
            while len(rest) >= others:
                yield self._batch(rest[:others], images[:others], share, lens_order)
                rest, images = rest[others:], images[others:]
        if len(rest):
            yield self._batch(rest, images, share, lens_order)

    def steps(self, batch: int, share: float) -> int:
        """Batches in an epoch."""
        return -(-len(self.nonlenses) // max(1, batch - max(1, round(batch * share))))

    def _batch(self, places: Ints, images: torch.Tensor, share: float, lens_order: Iterator[int]) -> TrainingBatch:
        count = max(1, round(len(places) * share / (1 - share)))
        lenses = np.array([next(lens_order) for _ in range(count)])
        classes = torch.zeros(count + len(places))
        classes[:count] = 1
        rows = torch.from_numpy(np.concatenate([lenses, self.lenses + places]))
        return TrainingBatch(torch.cat([self.lens_images[lenses], images]), classes, self.properties.take(rows))

    def _windows(self, rng: np.random.Generator) -> Iterator[tuple[Ints, torch.Tensor]]:
        runs = np.array_split(np.arange(len(self.nonlenses)), range(RUN_ROWS, len(self.nonlenses), RUN_ROWS))
        order = np.concatenate([runs[run] for run in rng.permutation(len(runs))])
        windows = [rng.permutation(order[first : first + WINDOW_ROWS]) for first in range(0, len(order), WINDOW_ROWS)]
        with ThreadPoolExecutor(1) as reader:
            ahead: list[Future[torch.Tensor]] = [reader.submit(self._load, window) for window in windows[:1]]
            for number, window in enumerate(windows):
                images = ahead.pop().result()
                ahead = [reader.submit(self._load, later) for later in windows[number + 1 : number + 2]]
                yield window, images

    def _load(self, places: Ints) -> torch.Tensor:
        return self._take(self.nonlenses[places]) if self.held is None else self.held[torch.from_numpy(places)]

    def _take(self, rows: Ints) -> torch.Tensor:
        return torch.from_numpy(self.cutouts.take(rows, self.crop_px, self.threads)[0])


def _endless(rng: np.random.Generator, count: int) -> Iterator[int]:
    """0 to count - 1 in random order, over and over: no number comes twice before all have come."""
    while True:
        yield from map(int, rng.permutation(count))
