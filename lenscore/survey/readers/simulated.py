"""A simulated sky, read as a survey's files are: its objects and images, never its truth."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.artifacts import Artifact
from lenscore.survey.readers.base import Images, Objects, Reader
from lenscore.survey.readers.rows import make_rows
from lenscore.survey.readers.sources import SourceFile
from lenscore.survey.release import Release

OBJECTS = "objects"


class StoredImages(Protocol):
    """Images at rest."""

    def take(self, rows: Any) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Images (B, C, S, S) in nmgy, and whether each can be used."""


class SkyReader(Reader):
    """Reads a simulated sky.

    Args:
        release: the sky's own.
        sky: the artifact.
        stored: its images.
    """

    needs_type = True

    def __init__(self, release: Release, sky: Artifact, stored: StoredImages) -> None:
        super().__init__(release)
        self.sky, self.stored = sky, stored

    def objects(self) -> Iterator[Objects]:
        """Rows of the sky's catalogue."""
        start = 0
        for batch in self.sky.table(OBJECTS).batches():
            yield make_rows(pa.Table.from_batches([batch]), self.release, self.facts, OBJECTS, start)
            start += batch.num_rows

    def images(self, rows: pa.Table) -> Images:
        """The sky's images; the bad ones among them are found as in any survey."""
        found = Images.empty(rows.num_rows, self.release)
        images, valid = self.stored.take(rows.column("position").to_numpy())
        for row in range(rows.num_rows):
            if valid[row]:
                found.put(row, images[row], self.release.bands)
            else:
                found.fail(row, "the survey has no usable image of it")
        return found

    def listing(self) -> list[SourceFile]:
        """Nothing: the sky's id says what it is."""
        return []
