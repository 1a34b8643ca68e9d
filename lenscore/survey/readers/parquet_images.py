"""Parquet files with an image in each row: the Multimodal Universe as the hub serves it, with positions or without.

`image` is a struct of lists {band, flux, psf_fwhm, scale}, or a list of such structs; files may form a HATS catalogue.
Files elsewhere are read by ranges: the table first, without its images, then the row groups that hold wanted images.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lenscore.errors import InputError
from lenscore.survey.columns import listed
from lenscore.survey.readers.base import Images, Objects, Reader
from lenscore.survey.readers.hdf5 import band_letter, put_image
from lenscore.survey.readers.rows import Names, make_rows
from lenscore.survey.readers.sources import Source, SourceFile, of_region
from lenscore.survey.release import Release

TABLE_ROWS = 65536
IMAGE_ROWS = 32
IMAGE = "image"


class ParquetImageReader(Reader):
    """Reads Parquet files with images.

    Args:
        release: bands, pixel scale, size and region.
        source: the folder, web address or data set of the hub.
        subset: the set's configuration: the folder that its files lie in; "" for all files.
    """

    def __init__(self, release: Release, source: Source, subset: str = "") -> None:
        super().__init__(release)
        self.source, self.subset = source, subset

    def files(self) -> list[str]:
        """The data files, in order."""
        return of_region(data_files(self.source, self.subset), self.release.region)

    def objects(self) -> Iterator[Objects]:
        """Rows of all files, without their images."""
        for path in self.files():
            with self._opened(path) as parquet:
                names = parquet.schema_arrow.names
                if IMAGE not in names:
                    raise InputError(f"{path} has no column image; found {listed(names)}", "give files with images")
                columns = Names.find(names, self.release).used
                start = 0
                for batch in parquet.iter_batches(TABLE_ROWS, columns=columns):
                    piece = pa.Table.from_batches([batch])
                    yield make_rows(piece, self.release, self.facts, path, start, positions_needed=False)
                    start += batch.num_rows
                if start == 0 and columns:
                    nothing = parquet.schema_arrow.empty_table().select(columns)
                    yield make_rows(nothing, self.release, self.facts, path, 0, positions_needed=False)
                if not columns:  # nothing but images: rows are known by their number
                    numbers = pa.table(
                        {"object_id": pa.array([f"{path} {row}" for row in range(parquet.metadata.num_rows)])}
                    )
                    yield make_rows(numbers, self.release, self.facts, path, 0, positions_needed=False)

    def images(self, rows: pa.Table) -> Images:
        """Images of the rows: each row group that holds one is read once."""
        found = Images.empty(rows.num_rows, self.release)
        paths = np.array(rows.column("file").to_pylist(), dtype=object)
        position = rows.column("position").to_numpy()
        for path in dict.fromkeys(paths):
            chosen = np.flatnonzero(paths == path)
            where = dict(zip(position[chosen].tolist(), chosen.tolist(), strict=True))
            with self._opened(path) as parquet:
                for number, item in _wanted(parquet, sorted(where)):
                    self._put(found, where[number], item)
        return found

    def listing(self) -> list[SourceFile]:
        """The data files."""
        return [self.source.stat(path) for path in self.files()]

    def _opened(self, path: str) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.source.direct(path))
        except (pa.ArrowException, OSError) as error:
            why = next(iter(str(error).splitlines()), "unreadable")
            raise InputError(f"cannot read {path}: {why}", "fetch the file again") from error

    def _put(self, found: Images, row: int, item: Any) -> None:
        try:
            bands, image, scale = _image(item)
        except (ValueError, KeyError, TypeError) as error:
            found.fail(row, f"the image cannot be read: {error}")
            return
        scale = self.release.pixel_scale_arcsec if scale is None else scale
        put_image(found, row, image, bands, scale, self.release)


def data_files(source: Source, subset: str = "") -> list[str]:
    """Parquet files with data: of the wanted subset; of a HATS collection only the main table, not its margins.

    Raises:
        InputError: there are none.
    """
    files = [
        path
        for path in source.files()
        if path.endswith(".parquet") and not path.rpartition("/")[2].startswith(("_", "."))
    ]
    if source.exists("collection.properties"):
        main = _property(source.text("collection.properties"), "hats_primary_table_url")
        files = [path for path in files if not main or path.startswith(f"{main}/")]
    tables = [path for path in files if "/dataset/" in f"/{path}"]
    files = tables or files  # a HATS catalogue's own tables of points and the like lie beside dataset/
    chosen = [path for path in files if subset in path.split("/")[:-1]] if subset else files
    if not chosen:
        where = sorted({path.rpartition("/")[0] or "." for path in files})
        raise InputError(
            f"no Parquet file of {subset or 'images'} in {source.address}; found folders {listed(where)}",
            "name another subset",
        )
    return chosen


def _property(text: str, name: str) -> str:
    lines = (line.partition("=") for line in text.splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")


def _wanted(parquet: pq.ParquetFile, numbers: list[int]) -> Iterator[tuple[int, Any]]:
    """(row number, image) of the wanted rows; memory is that of one row group's images."""
    ends = np.cumsum([parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)])
    groups = np.searchsorted(ends, numbers, side="right")
    for group in sorted(set(groups.tolist())):
        position = int(ends[group - 1]) if group else 0
        mine = {number for number, of in zip(numbers, groups, strict=True) if of == group}
        for batch in parquet.iter_batches(IMAGE_ROWS, row_groups=[group], columns=[IMAGE]):
            for offset in range(batch.num_rows):
                if position + offset in mine:
                    yield position + offset, batch.column(0)[offset]
            position += batch.num_rows


def _image(item: Any) -> tuple[list[str], NDArray[np.float32], float | None]:
    """Bands, image (C, H, W) and pixel scale of a row's `image`."""
    if isinstance(item, pa.ListScalar):
        parts = [part.as_py() if not isinstance(part, pa.StructScalar) else part for part in item]
        images = [_plane(part["flux"]) for part in parts]
        bands = [band_letter(part["band"].as_py()) for part in parts]
        scales = [part["scale"].as_py() for part in parts if "scale" in part]
    else:
        images = [_plane(part) for part in item["flux"]]
        bands = [band_letter(name) for name in item["band"].as_py()]
        scales = item["scale"].as_py() if "scale" in item else []
    if len({image.shape for image in images}) > 1 or not images:
        raise ValueError(f"its bands have shapes {[image.shape for image in images]}")
    return bands, np.stack(images), float(scales[0]) if scales else None


def _plane(item: Any) -> NDArray[np.float32]:
    """A band's pixels from nested lists (or the hub's two-dimensional array type)."""
    values = item.value if isinstance(item, pa.ExtensionScalar) else item
    lines = values.values
    width = len(lines[0])
    flat = lines.flatten().to_numpy(zero_copy_only=False)
    if len(flat) != len(lines) * width:
        raise ValueError("its lines differ in length")
    return np.asarray(flat, dtype=np.float32).reshape(len(lines), width)
