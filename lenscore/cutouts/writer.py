"""Writes images, a shard at a time: one shard, one writer."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenscore.artifacts import Sink
from lenscore.cutouts.codec import CodecConfig, CodecError, Encoded, encode
from lenscore.cutouts.layout import IMAGES, SHARD_ROWS, STEP, VALID, array_specs
from lenscore.errors import InputError
from lenscore.survey.release import Release


class CutoutsWriter:
    """Writes the images of a set of cutouts.

    A plan calls `declare` once. Each unit then hands over its rows with `write`, in order, in batches of any size; a
    shard is stored when its last row has come. Memory: one shard in stored form (142 MB for 3 bands of 152 px) and the
    batch handed over.

    Args:
        sink: of the job.
        rows: rows of the whole set.
        release: gives bands and image size.
        codec: how pixels are stored.
    """

    def __init__(self, sink: Sink, rows: int, release: Release, codec: CodecConfig | None = None) -> None:
        self.rows, self.release, self.codec = rows, release, codec or CodecConfig()
        self.error = CodecError()
        self._sink = sink
        side = release.stored_px
        self._specs = array_specs(rows, len(release.bands), side, self.codec.kind, self.codec.level)
        self._next = 0
        self._shard: dict[str, NDArray[Any]] = {}

    def declare(self) -> None:
        """Create the arrays and write release.json."""
        for path, spec in self._specs.items():
            self._sink.declare_array(path, spec)
        self._sink.write_json("release.json", self.release.model_dump(mode="json"))

    def write(
        self,
        start: int,
        images_bchw: NDArray[np.float32],
        valid_b: NDArray[np.bool_] | None = None,
        sigma_bc: NDArray[np.float32] | None = None,
    ) -> NDArray[np.bool_]:
        """Encode and write rows.

        Args:
            start: first row: a shard's first, or the one after the last row written.
            images_bchw: fluxes (B, C, S, S), nmgy.
            valid_b: rows that the caller vouches for (B,); images with NaN or a blank band become invalid as well.
            sigma_bc: noise per pixel (B, C), nmgy; estimated from the image where missing.

        Returns:
            Whether each row was stored as valid (B,).

        Raises:
            InputError: the shape does not fit the release, or rows are left out.
        """
        encoded = encode(images_bchw, self.codec, valid_b, sigma_bc)
        self.write_encoded(start, encoded)
        self._sink.metrics(**self.error.metrics())
        return encoded.valid_b

    def write_encoded(self, start: int, encoded: Encoded) -> None:
        """Write rows that are encoded already, such as those read from other cutouts; see `write`."""
        self._check(start, encoded.stored_bchw.shape)
        self.error += encoded.error
        done, rows = 0, len(encoded.valid_b)
        while done < rows:
            count = min(SHARD_ROWS - self._next % SHARD_ROWS, rows - done)
            part = slice(done, done + count)
            self._gather(encoded.stored_bchw[part], encoded.step_bc[part], encoded.valid_b[part])
            done += count

    def _check(self, start: int, shape: tuple[int, ...]) -> None:
        if shape[1:] != self._specs[IMAGES].row_shape:
            raise InputError(
                f"images have shape {shape[1:]}",
                f"hand over {self._specs[IMAGES].row_shape}, as {self.release.name} has",
            )
        if not self._shard:
            self._next = start
            if start % SHARD_ROWS:
                raise InputError(f"row {start} starts no shard", f"start at a multiple of {SHARD_ROWS}")
        if start != self._next:
            raise InputError(
                f"rows start at {start}, after row {self._next - 1}", "hand rows over in order, without gaps"
            )
        if start + shape[0] > self.rows:
            raise InputError(
                f"rows {start}..{start + shape[0] - 1} exceed the {self.rows} rows declared",
                "declare as many as there are",
            )

    def _gather(self, stored: NDArray[Any], step: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        first = self._next - self._next % SHARD_ROWS
        if not self._shard:
            rows = min(SHARD_ROWS, self.rows - first)
            self._shard = {
                path: np.zeros((rows, *spec.row_shape), dtype=spec.dtype) for path, spec in self._specs.items()
            }
        part = slice(self._next - first, self._next - first + len(valid))
        for path, values in ((IMAGES, stored), (STEP, step), (VALID, valid)):
            self._shard[path][part] = values
        self._next += len(valid)
        if part.stop == len(self._shard[VALID]):
            for path, values in self._shard.items():
                self._sink.write_rows(path, first, values)
            self._shard = {}
