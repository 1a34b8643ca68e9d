"""Which reader fits a source."""

from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from lenscore.errors import InputError
from lenscore.survey.columns import listed
from lenscore.survey.readers.base import Reader
from lenscore.survey.readers.coadds import CoaddReader
from lenscore.survey.readers.cutout_folder import CutoutFolderReader
from lenscore.survey.readers.parquet_images import IMAGE, ParquetImageReader, data_files
from lenscore.survey.readers.sources import Source
from lenscore.survey.release import Release

Layout = Literal["auto", "hdf5", "bricks", "cutouts", "multimodal"]


def find_layout(source: Source) -> Layout:
    """Tell a source's layout from the names of its files.

    Raises:
        InputError: none fits.
    """
    if source.published:  # an archive is not listed whole
        names = [path for folder in ("sweep", "tractor") for path in source.files(folder)][:1]
        return "bricks" if names else _by_names(source.files(), source)
    return _by_names(source.files(), source)


def _by_names(paths: list[str], source: Source) -> Layout:
    names = [path.rpartition("/")[2] for path in paths]
    if any(name.startswith("legacysurvey-") and "-image-" in name for name in names):
        return "bricks"
    if any(name.endswith((".h5", ".hdf5")) for name in names):
        return "hdf5"
    if any(name.endswith(".parquet") for name in names) and _has_images(source):
        return "multimodal"
    if any(name.endswith((".fits", ".fits.fz", ".fits.gz", ".fit")) for name in names):
        return "cutouts"
    raise InputError(
        f"no known layout of images in {source.address}; found {listed(paths, 5)}",
        "give a folder of HDF5, Parquet, brick coadds or FITS cutouts, or name the layout",
    )


def _has_images(source: Source) -> bool:
    path = data_files(source)[0]
    with source.open(path) as file:
        try:
            return IMAGE in pq.read_schema(file).names
        except pa.ArrowException as error:
            why = next(iter(str(error).splitlines()), "unreadable")
            raise InputError(f"cannot read {path}: {why}", "fetch the file again") from error


def open_files(
    layout: Layout,
    release: Release,
    source: Source,
    tables_source: Source | None = None,
    tables: tuple[str, ...] = (),
    subset: str = "",
    damaged: Literal["stop", "set aside"] = "stop",
    max_unexposed: float = 0.5,
) -> Reader:
    """Open the reader of a source of files.

    Args:
        layout: which; auto: found from the files.
        release: what the files hold.
        source: where they lie.
        tables_source: where the tables of brick coadds lie, if elsewhere.
        tables: the tables' paths, where they are not to be found.
        subset: configuration of a set of the Multimodal Universe.
        damaged: see CoaddReader.
        max_unexposed: see CoaddReader.

    Returns:
        The reader.
    """
    layout = find_layout(source) if layout == "auto" else layout
    if layout == "bricks":
        return CoaddReader(release, source, tables_source, tables, damaged, max_unexposed)
    if layout == "cutouts":
        return CutoutFolderReader(release, source, tables[0] if tables else None)
    from lenscore.survey.readers.hdf5 import ENDINGS, Hdf5Reader

    if layout == "hdf5" or any(path.endswith(ENDINGS) for path in source.files()):
        return Hdf5Reader(release, source, positions_needed=layout == "hdf5")
    return ParquetImageReader(release, source, subset)
