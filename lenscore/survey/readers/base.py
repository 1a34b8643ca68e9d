"""What every reader of survey data does: list objects, and fetch their images."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.survey.readers.sources import SourceFile
from lenscore.survey.release import Release
from lenscore.survey.schema import REJECTED, catalogue_schema

SCALE_TOLERANCE = 0.01
"""Pixel scales may differ from the release's by this fraction."""

LOCATION = (pa.field("file", pa.string()), pa.field("position", pa.int64()))
"""Where an object's image lies: a file (or a brick) of the source, and its number there."""


def located_schema(release: Release) -> pa.Schema:
    """Columns of the rows that readers list: the catalogue's, and where the image is."""
    return pa.schema([*catalogue_schema(release.bands), *LOCATION])


@dataclass(frozen=True)
class Objects:
    """A batch of objects, and the rows of the same part of the source that were set aside (schema REJECTED)."""

    rows: pa.Table
    rejected: pa.Table


@dataclass
class Images:
    """Images of a batch of rows, in nanomaggies; those that failed are zero and invalid, with a reason."""

    images_bchw: NDArray[np.float32]
    valid_b: NDArray[np.bool_]
    reasons: list[str]

    @staticmethod
    def empty(rows: int, release: Release) -> "Images":
        """Images that are all still to come."""
        shape = (rows, len(release.bands), release.stored_px, release.stored_px)
        return Images(np.zeros(shape, dtype=np.float32), np.zeros(rows, dtype=bool), ["no image"] * rows)

    def put(self, row: int, image_chw: NDArray[Any], bands: Sequence[str]) -> None:
        """Take an image, unless its pixels cannot be used."""
        reason = bad_pixels(image_chw, bands)
        if reason:
            self.fail(row, reason)
            return
        self.images_bchw[row], self.valid_b[row], self.reasons[row] = image_chw, True, ""

    def fail(self, row: int, reason: str) -> None:
        """Set a row aside."""
        self.images_bchw[row], self.valid_b[row], self.reasons[row] = 0.0, False, reason


@dataclass
class Facts:
    """What a source lacks, so that people can be told.

    Args:
        positions: objects have ra and dec.
        survey_ids: objects have release, brickid and objid; else ls_id is made from the source's own names.
        absent: catalogue columns that the source does not have (NaN; -1 for whole numbers).
    """

    positions: bool = True
    survey_ids: bool = True
    absent: set[str] = field(default_factory=set)

    def impossible(self) -> list[str]:
        """What cannot be done with these objects."""
        cannot = []
        if not self.positions:
            cannot.append("without positions: no crossmatch, labels, sky maps, de-duplication on the sky or comparison")
        if not self.survey_ids:
            cannot.append("without the survey's identity: ls_id holds for this set only")
        return cannot


class Reader(ABC):
    """A layout of survey data.

    Args:
        release: gives bands, pixel scale and image size.
    """

    needs_type = False
    """The source lists all objects, stars too, so that a selection needs TYPE."""

    def __init__(self, release: Release) -> None:
        self.release = release
        self.facts = Facts()

    @abstractmethod
    def objects(self) -> Iterator[Objects]:
        """All objects of the source, in an order that never changes, in batches whose memory is bounded."""

    @abstractmethod
    def images(self, rows: pa.Table) -> Images:
        """Images of listed rows (any of them, in the order of `objects`)."""

    @abstractmethod
    def listing(self) -> list[SourceFile]:
        """The files that objects and images come from."""


def rejected_table(rows: Sequence[tuple[int, int, float, float, str, str]]) -> pa.Table:
    """Rows set aside: (row, ls_id, ra, dec, source, reason)."""
    return pa.Table.from_pylist([dict(zip(REJECTED.names, row, strict=True)) for row in rows], schema=REJECTED)


def bad_pixels(image_chw: NDArray[Any], bands: Sequence[str]) -> str:
    """Why an image cannot be used, or "" if it can: pixels that are not finite, a band without any signal."""
    finite = np.isfinite(image_chw)
    if not finite.all():
        worst = int(np.argmin(finite.reshape(len(finite), -1).mean(axis=1)))
        return f"{int((~finite).sum())} pixels are not finite, most in band {bands[worst]}"
    for band, image in zip(bands, image_chw, strict=True):
        if not image.any():
            return f"band {band} is missing (every pixel is 0)"
    return ""


def wrong_scale(scale_arcsec: float, release: Release) -> str:
    """Why a pixel scale does not fit the release, or ""."""
    if abs(scale_arcsec / release.pixel_scale_arcsec - 1.0) <= SCALE_TOLERANCE:
        return ""
    return f"pixel scale is {scale_arcsec:.4g} arcsec, {release.name} has {release.pixel_scale_arcsec:g}"


def central_crop(image_chw: NDArray[Any], size_px: int) -> NDArray[Any] | None:
    """The central pixels of an image; None if it is smaller.

    The central pixel of a side of n is number n // 2, so that crops of crops keep it.
    """
    if min(image_chw.shape[-2:]) < size_px:
        return None
    y, x = (side // 2 - size_px // 2 for side in image_chw.shape[-2:])
    return image_chw[..., y : y + size_px, x : x + size_px]
