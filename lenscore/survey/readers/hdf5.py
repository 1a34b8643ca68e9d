"""HDF5 files with images: the original layout of the paper's data, and that of the Multimodal Universe.

Original: {north,south}/images_npix152_{start:09d}_{end:09d}.h5 with `images` (N, C, S, S) and columns (N,) or (N, C).
Multimodal Universe: {north,south}/healpix=NNNN/001-of-001.hdf5 with `image_array`, `image_band`, `image_scale`.
In the original files some `inds` are missing and some occur twice: rows are known by ls_id alone.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.errors import InputError
from lenscore.survey.columns import DEC_NAMES, RA_NAMES, find_column, listed
from lenscore.survey.readers.base import Images, Objects, Reader, central_crop, wrong_scale
from lenscore.survey.readers.rows import make_rows
from lenscore.survey.readers.sources import Source, SourceFile, of_region
from lenscore.survey.release import Release

IMAGE_NAMES = ("images", "image_array")
MASK_NAMES = ("image_ivar", "ivar", "invvar")
ENDINGS = (".h5", ".hdf5")
IDENTITY_NAMES = (("ls_id",), ("release",), ("brickid",), ("objid",))
TABLE_ROWS = 65536
READ_ROWS = 64
DENSE = 2
"""Scattered rows are read as one span where that reads at most this many times as much."""


class Hdf5Reader(Reader):
    """Reads HDF5 files with images.

    Args:
        release: bands, pixel scale, size and region.
        source: the folder that holds the files (or north/ and south/).
        positions_needed: insist on ra and dec.
    """

    def __init__(self, release: Release, source: Source, positions_needed: bool = True) -> None:
        super().__init__(release)
        self.source, self.positions_needed = source, positions_needed

    def files(self) -> list[str]:
        """The release's region's files, in order."""
        found = of_region((path for path in self.source.files() if path.endswith(ENDINGS)), self.release.region)
        if not found:
            raise InputError(
                f"no HDF5 file of region {self.release.region} in {self.source.address}",
                "give the folder of the .h5 files",
            )
        return found

    def objects(self) -> Iterator[Objects]:
        """Rows of all files; memory is that of 65,536 rows."""
        for path in self.files():
            with _opened(self.source, path) as file:
                rows = _images(file, path).shape[0]
                for start in range(0, max(rows, 1), TABLE_ROWS):
                    table = _table(file, path, start, min(start + TABLE_ROWS, rows), self.release.bands)
                    yield make_rows(table, self.release, self.facts, path, start, self.positions_needed)

    def images(self, rows: pa.Table) -> Images:
        """Images of the rows, file by file."""
        found = Images.empty(rows.num_rows, self.release)
        paths = np.array(rows.column("file").to_pylist(), dtype=object)
        position = rows.column("position").to_numpy()
        for path in dict.fromkeys(paths):
            chosen = np.flatnonzero(paths == path)
            with _opened(self.source, path) as file:
                for part in range(0, len(chosen), READ_ROWS):
                    self._read(file, path, chosen[part : part + READ_ROWS], position, found)
        return found

    def listing(self) -> list[SourceFile]:
        """The files."""
        return [self.source.stat(path) for path in self.files()]

    def _read(
        self, file: Any, path: str, chosen: NDArray[np.int64], position: NDArray[np.int64], found: Images
    ) -> None:
        wanted = position[chosen]
        try:
            images = _take(_images(file, path), wanted)
            bands = _bands(file, wanted, self.release.bands, images.shape[1])
            scales = _take(file["image_scale"], wanted).reshape(len(wanted), -1) if "image_scale" in file else None
        except OSError as error:
            why = next(iter(str(error).splitlines()), "unreadable")
            for row in chosen:
                found.fail(int(row), f"{path} cannot be read: {why}")
            return
        for number, row in enumerate(chosen):
            scale = self.release.pixel_scale_arcsec if scales is None else float(scales[number, 0])
            put_image(found, int(row), images[number], bands[number], scale, self.release)


def put_image(
    found: Images, row: int, image: NDArray[Any], bands: Sequence[str], scale: float, release: Release
) -> None:
    """Take an image of a set: bands into the release's order, central pixels, pixel scale checked."""
    missing = [band for band in release.bands if band not in bands]
    if missing:
        found.fail(row, f"band {', '.join(missing)} is missing; found {listed(list(bands))}")
        return
    problem = wrong_scale(scale, release)
    if problem:
        found.fail(row, problem)
        return
    cut = central_crop(image[[list(bands).index(band) for band in release.bands]], release.stored_px)
    if cut is None:
        shape = " x ".join(str(side) for side in image.shape[1:])
        found.fail(row, f"the image has {shape} px, {release.name} stores {release.stored_px}")
        return
    found.put(row, cut, release.bands)


def band_letter(text: Any) -> str:
    """A band's letter from a filter's name: des-g, DECam-g, b"des-g" and g are all g."""
    name = text.decode() if isinstance(text, bytes) else str(text)
    return name.strip().lower().rpartition("-")[2]


def _opened(source: Source, path: str) -> Any:
    try:
        return h5py.File(source.direct(path), "r")
    except OSError as error:
        why = next(iter(str(error).splitlines()), "unreadable")
        raise InputError(f"cannot read {path}: {why}", "fetch the file again") from error


def _images(file: Any, path: str) -> Any:
    for name in IMAGE_NAMES:
        if name in file:
            if file[name].ndim != 4:
                raise InputError(
                    f"{path}: {name} has shape {file[name].shape}", "give images as (objects, bands, rows, columns)"
                )
            return file[name]
    raise InputError(
        f"{path} has no images (images or image_array); found {listed(sorted(file))}", "give files with images"
    )


def _table(file: Any, path: str, start: int, stop: int, bands: Sequence[str]) -> pa.Table:
    """All columns of a range of rows; those with a value a band come apart (`flux` -> flux_g, ...)."""
    columns: dict[str, Any] = {}
    total = _images(file, path).shape[0]
    _check_rows(file, path, total)
    for name, item in file.items():
        if not isinstance(item, h5py.Dataset) or not item.shape or item.shape[0] != total:
            continue
        if item.ndim == 1:
            columns[name] = _column(item[start:stop])
        elif item.ndim == 2 and item.shape[1] == len(bands) and item.dtype.kind in "fiu":
            values = item[start:stop]
            columns |= {f"{name}_{band}": _column(values[:, number]) for number, band in enumerate(bands)}
    for band in bands:  # the Multimodal Universe's own name
        if f"psfsize_{band}" not in columns and f"image_psf_fwhm_{band}" in columns:
            columns[f"psfsize_{band}"] = columns[f"image_psf_fwhm_{band}"]
    return pa.table(columns)


def _check_rows(file: Any, path: str, total: int) -> None:
    """Columns of another length are no columns of rows; those that every row needs must not be among them."""
    for usual in (RA_NAMES, DEC_NAMES, *IDENTITY_NAMES):
        name = find_column(list(file), usual)
        if name is not None and isinstance(file[name], h5py.Dataset) and file[name].shape[:1] != (total,):
            rows = file[name].shape[0] if file[name].shape else "no"
            raise InputError(f"{path}: column {name} has {rows} rows for {total} images", "give a row for each image")


def _column(values: Any) -> Any:
    if values.dtype.kind in "SO":
        return pa.array(
            [item.decode(errors="replace") if isinstance(item, bytes) else str(item) for item in values], pa.string()
        )
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))


def _take(data: Any, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Rows of a data set in any order, each once read."""
    first, last = int(rows.min()), int(rows.max())
    if last - first + 1 <= DENSE * len(rows):
        return np.asarray(data[first : last + 1])[rows - first]
    unique, back = np.unique(rows, return_inverse=True)
    return np.asarray(data[unique])[back]


def _bands(file: Any, rows: NDArray[np.int64], release_bands: Sequence[str], count: int) -> list[list[str]]:
    if "image_band" in file:
        return [[band_letter(item) for item in names] for names in _take(file["image_band"], rows)]
    return [list(release_bands[:count])] * len(rows)
