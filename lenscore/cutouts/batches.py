"""Batches of images, the memory they lie in, and how a row of blocks becomes a row of batches."""

import math
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Batch:
    """Some images.

    Args:
        start: row of the first one; -1 for rows in no order.
        images_bchw: fluxes (B, C, H, W) float32, nmgy; stored values where those were asked for.
        valid_b: whether the image can be used (B,); the others are zero.
        step_bc: nmgy per stored unit (B, C) float32.
        raw: whether the images are stored values.
    """

    start: int
    images_bchw: NDArray[Any]
    valid_b: NDArray[np.bool_]
    step_bc: NDArray[np.float32]
    raw: bool = False

    @property
    def stop(self) -> int:
        """Row after the last one."""
        return self.start + len(self.valid_b)


class Buffers:
    """Memory for batches, used again when nobody holds it: fresh pages cost a third of the decoding.

    Args:
        kept: how many are remembered.
        largest_bytes: larger ones are not remembered.
    """

    def __init__(self, kept: int, largest_bytes: float = math.inf) -> None:
        self._kept, self._largest = kept, largest_bytes
        self._buffers: list[NDArray[np.uint8]] = []
        self._lock = threading.Lock()

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """An array of any content."""
        size = math.prod(shape) * dtype.itemsize
        with self._lock:
            return self._find(size)[:size].view(dtype).reshape(shape)

    def _find(self, size: int) -> NDArray[np.uint8]:
        for buffer in self._buffers:
            # Every array that shares the memory holds a reference to its owner, through .base; free of them are the
            # list, this loop and the argument below.
            if buffer.nbytes >= size and sys.getrefcount(buffer) == 3:
                return buffer
        buffer = np.empty(size, dtype=np.uint8)
        if len(self._buffers) < self._kept and size <= self._largest:
            self._buffers.append(buffer)
        return buffer


def rebatch(blocks: Iterator[Batch], start: int, stop: int, batch_rows: int) -> Iterator[Batch]:
    """Cut blocks into batches; a batch that lies in one block is a view of it."""
    held: list[Batch] = []
    for block in blocks:
        held.append(block)
        while start < stop and block.stop >= (end := min(start + batch_rows, stop)):
            yield _join([_part(piece, start, end) for piece in held])
            held = [piece for piece in held if piece.stop > end]
            start = end
        del block


def _part(batch: Batch, start: int, stop: int) -> Batch:
    low, high = max(start - batch.start, 0), min(stop, batch.stop) - batch.start
    if (low, high) == (0, len(batch.valid_b)):
        return batch
    part = slice(low, high)
    return Batch(batch.start + low, batch.images_bchw[part], batch.valid_b[part], batch.step_bc[part], batch.raw)


def _join(parts: list[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    images, valid, step = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("images_bchw", "valid_b", "step_bc")
    )
    return Batch(parts[0].start, images, valid, step, parts[0].raw)
