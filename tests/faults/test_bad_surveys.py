"""Every reader meets every fault: a row set aside with the value that is wrong, or one clear line; never a silent zero.

The matrix says what each reader does; `test_no_cell_is_empty` fails where a reader or a fault is added without it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from jobs.ingest import IngestConfig
from lenscore.artifacts import Artifact, Store
from lenscore.cutouts import Cutouts
from lenscore.errors import LensError
from lenscore.survey.bricks import brick_at, brick_centre
from tests.faults.bad_sky import put_sky
from tests.support.artifacts import run_job
from tests.survey.layouts import (
    BRICK_PX,
    RELEASE,
    images_of,
    object_columns,
    sky_image,
    sweep_columns,
    tan_wcs,
    write_brick,
    write_cutout,
    write_multimodal_hdf5,
    write_multimodal_parquet,
    write_original,
    write_sweep,
)

ROWS = 4
BRICK = int(brick_at(10.125, 0.0)[0])


@dataclass
class Survey:
    """Four objects with images, on their way into files; faults change it."""

    images: Any = field(default_factory=lambda: images_of(ROWS))
    columns: dict[str, Any] = field(default_factory=lambda: object_columns(ROWS))
    bands: dict[str, Any] = field(default_factory=lambda: {b: sky_image(ord(b), BRICK_PX).copy() for b in "grz"})
    scale: float = RELEASE.pixel_scale_arcsec
    files: int = ROWS

    def set(self, name: str, row: int, value: float) -> None:
        """Change one value."""
        self.columns[name] = self.columns[name].copy()
        self.columns[name][row] = value

    def drop(self, *names: str) -> None:
        """Leave columns out."""
        self.columns = {name: values for name, values in self.columns.items() if name not in names}

    def cut(self, rows: int) -> None:
        """Keep the first rows only."""
        self.images, self.files = self.images[:rows], rows
        self.columns = {name: values[:rows] for name, values in self.columns.items()}


def _hdf5(folder: Path, survey: Survey) -> None:
    write_original(folder, 0, survey.columns, survey.images[: survey.files])


def _multimodal_hdf5(folder: Path, survey: Survey) -> None:
    images = survey.images[: survey.files]
    path = write_multimodal_hdf5(folder, 7, object_columns(len(images)), images, scale=survey.scale)
    with h5py.File(path, "r+") as file:
        for name in ("ra", "dec", "release", "brickid", "objid"):
            del file[name]
            if name in survey.columns:
                file[name] = survey.columns[name]


def _multimodal_parquet(folder: Path, survey: Survey) -> None:
    path = folder / "train.parquet"
    write_multimodal_parquet(path, survey.images, scale=survey.scale)
    table = pq.read_table(path).drop_columns(["object_id"])
    for name in ("ra", "dec", "release", "brickid", "objid"):
        if name in survey.columns:
            table = table.append_column(name, pa.array(survey.columns[name]))
    if "ra" not in survey.columns:  # positions it may lack, but not images
        table = table.drop_columns(["image"])
    if survey.files < ROWS and table.num_rows == ROWS:
        images = table["image"].to_pylist()[: survey.files] + [None] * (ROWS - survey.files)
        table = table.set_column(0, "image", pa.array(images, table.schema.field("image").type))
    pq.write_table(table, path)


def _cutouts(folder: Path, survey: Survey) -> None:
    images = survey.images if len(survey.images) else images_of(ROWS)
    for row, image in enumerate(images[: survey.files or ROWS]):
        write_cutout(folder / f"g{row}.fits", image, 10 + 0.001 * row, -5.0, scale=survey.scale)
    names = [name for name in ("ra", "dec", "release", "brickid", "objid") if name in survey.columns]
    table = Table({"file": [f"g{row}.fits" for row in range(len(survey.columns["objid"]))]})
    for name in names:
        table[name] = survey.columns[name]
    folder.mkdir(exist_ok=True)
    table.write(folder / "objects.csv")


def _bricks(folder: Path, survey: Survey) -> None:
    ra, dec = brick_centre(BRICK)
    rows = len(survey.columns["objid"])
    columns = sweep_columns(np.full(rows, ra), dec + 0.03 * np.arange(rows))
    plain = object_columns(rows)
    for name in ("ra", "dec", "release", "objid"):
        given = survey.columns.get(name)
        changed = given is None or given != plain[name]
        columns[name.upper()] = np.where(changed, given, columns[name.upper()]) if given is not None else None
    write_sweep(folder, {name: values for name, values in columns.items() if values is not None})
    size = len(next(iter(survey.bands.values())))
    write_brick(folder, BRICK, survey.bands, wcs=tan_wcs(ra, dec, size, survey.scale))


WRITERS: dict[str, Callable[[Path, Survey], None] | None] = {
    "HDF5": _hdf5,
    "Multimodal Universe HDF5": _multimodal_hdf5,
    "Multimodal Universe Parquet": _multimodal_parquet,
    "FITS folder": _cutouts,
    "brick coadds": _bricks,
    "simulated sky": None,  # an artifact, not files
}


def _nan(survey: Survey) -> None:
    survey.images[1, 2, 3, 4] = np.nan
    survey.bands["z"][BRICK_PX // 2, BRICK_PX // 2] = np.nan


def _missing_band(survey: Survey) -> None:
    survey.images[1, 1] = 0
    del survey.bands["r"]


def _small(survey: Survey) -> None:
    survey.images = images_of(ROWS, size_px=20)
    survey.bands = {band: image[:20, :20] for band, image in survey.bands.items()}


def _nowhere(survey: Survey) -> None:
    survey.files = 3
    survey.set("ra", 3, 12.0)


FAULTS: dict[str, Callable[[Survey], object]] = {
    "nothing": lambda survey: None,
    "NaN": _nan,
    "missing band": _missing_band,
    "truncated file": lambda survey: None,
    "wrong pixel scale": lambda survey: setattr(survey, "scale", 0.262),
    "wrong shape": _small,
    "ra out of range": lambda survey: survey.set("ra", 1, 400.0),
    "dec out of range": lambda survey: survey.set("dec", 2, -95.0),
    "duplicate ls_id": lambda survey: survey.set("objid", 1, 0),
    "empty table": lambda survey: survey.cut(0),
    "missing column": lambda survey: survey.drop("ra"),
    "unknown release": lambda survey: survey.set("release", 1, 9999),
    "row with no cutout": _nowhere,
}

NAN, NO_BAND = r"^1 pixels are not finite, most in band z$", r"^band r is missing \(every pixel is 0\)$"
SCALE, SMALL = r"pixel scale is 0\.262 arcsec, test-south has 2\.62", r"20 x 20 px"
RA, DEC = r"^ra = 4\d\d.* is outside 0\.\.360$", r"^dec = -9\d.* is outside -90\.\.90$"
AGAIN, OTHER = r"^ls_id \d+ occurs again; the first row is kept$", r"^RELEASE = 9999 is not of test-south"
EMPTY, NO_RA = "no object passes the selection: 0 read", "no column of right ascension among .*(dec|DEC)"


@dataclass(frozen=True)
class Aside:
    """So many rows are set aside, with this reason; the others come through."""

    rows: int
    reason: str


@dataclass(frozen=True)
class Stops:
    """The job ends with this line."""

    line: str


@dataclass(frozen=True)
class Cannot:
    """It cannot be in such files, and why."""

    why: str


ROW_FAULTS = {
    "nothing": Aside(0, ""),
    "NaN": Aside(1, NAN),
    "missing band": Aside(1, NO_BAND),
    "ra out of range": Aside(1, RA),
    "dec out of range": Aside(1, DEC),
    "duplicate ls_id": Aside(1, AGAIN),
    "unknown release": Aside(1, OTHER),
    "empty table": Stops(EMPTY),
    "missing column": Stops(NO_RA),
    "wrong pixel scale": Aside(4, SCALE),
    "wrong shape": Aside(4, SMALL),
}
MATRIX: dict[str, dict[str, Aside | Stops | Cannot]] = {
    "HDF5": ROW_FAULTS
    | {
        "truncated file": Stops(r"^cannot read south/images_npix152_000000000_000000004\.h5: "),
        "wrong pixel scale": Cannot("the files do not say theirs"),
        "row with no cutout": Stops(r"column ra has 4 rows for 3 images"),
    },
    "Multimodal Universe HDF5": ROW_FAULTS
    | {
        "truncated file": Stops(r"^cannot read south/healpix=7/001-of-001\.hdf5: "),
        "row with no cutout": Stops(r"column ra has 4 rows for 3 images"),
    },
    "Multimodal Universe Parquet": ROW_FAULTS
    | {
        "truncated file": Stops(r"^cannot read train\.parquet: "),
        "missing column": Stops(r"^train\.parquet has no column image; found .*dec"),
        "row with no cutout": Aside(1, r"^the image cannot be read: "),
    },
    "FITS folder": ROW_FAULTS
    | {
        "truncated file": Aside(1, r"^g1\.fits is cut off: \d+ of \d+ bytes$"),
        "wrong shape": Aside(4, "is 20 x 20 px and does not hold 32 px around its object"),
        "row with no cutout": Aside(1, r"^its FITS file is not in the folder$"),
    },
    "brick coadds": ROW_FAULTS
    | {
        "missing band": Aside(4, r"^band r of brick 0101p000 is missing$"),
        "truncated file": Aside(
            4, r"^brick 0101p000, band g: legacysurvey-.*-image-g\.fits is cut off: \d+ of \d+ bytes"
        ),
        "wrong shape": Aside(4, r"lie beyond brick 0101p000, whose neighbour|outside the images of"),
        "row with no cutout": Aside(1, r"^its position is outside the images of brick 0101p000$"),
    },
    "simulated sky": ROW_FAULTS
    | {
        "truncated file": Cannot("its files are an artifact's: see test_bit_flips"),
        "empty table": Stops(r"^the source holds no objects \(0 rows\)$"),
        "wrong pixel scale": Cannot("its release comes from the artifact"),
        "wrong shape": Cannot("its release comes from the artifact"),
        "row with no cutout": Cannot("it has one image a row"),
    },
}


def cells(kind: type) -> list[tuple[str, str]]:
    """Cells of the matrix of one kind."""
    return [(reader, fault) for reader in MATRIX for fault, what in MATRIX[reader].items() if isinstance(what, kind)]


def test_no_cell_is_empty() -> None:
    assert set(MATRIX) == set(WRITERS)
    for reader, cells in MATRIX.items():
        assert set(cells) == set(FAULTS), reader


def _ingest(store: Store, folder: Path, reader: str, fault: str) -> Artifact:
    survey = Survey()
    FAULTS[fault](survey)
    write = WRITERS[reader]
    if write is None:
        sky = put_sky(store, survey.images, survey.columns, RELEASE)
        return run_job(store, "ingest", IngestConfig(pixels="float32", selection="all"), {"sky": [sky]})
    write(folder, survey)
    if fault == "truncated file":
        _truncate(folder, reader)
    layout = "multimodal" if fault == "missing column" and reader.endswith("Parquet") else "auto"
    config = IngestConfig(release=RELEASE, source=str(folder), pixels="float32", selection="all", layout=layout)
    return run_job(store, "ingest", config)


def _truncate(folder: Path, reader: str) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".csv")
    images = [path for path in files if "image-g" in path.name] or files
    path = images[1] if reader == "FITS folder" else images[0]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(("reader", "fault"), cells(Aside))
def test_rows_are_set_aside_with_a_reason(file_store: Store, tmp_path: Path, reader: str, fault: str) -> None:
    expected = MATRIX[reader][fault]
    assert isinstance(expected, Aside)
    made = _ingest(file_store, tmp_path / "files", reader, fault)
    reasons = made.table("rejected").read()["reason"].to_pylist() if made.has_table("rejected") else []
    loose = [reason for reason in reasons if "names this file" in reason]
    assert len(reasons) - len(loose) == expected.rows, reasons
    for reason in reasons:
        assert re.search(expected.reason, reason) or reason in loose, reason
    cutouts = Cutouts.open(made)
    images, valid = cutouts.read(0, cutouts.rows)
    assert valid.sum() == ROWS - expected.rows
    assert images[valid].any(axis=(2, 3)).all()
    assert not images[~valid].any()


@pytest.mark.parametrize(("reader", "fault"), cells(Stops))
def test_the_job_ends_with_one_clear_line(file_store: Store, tmp_path: Path, reader: str, fault: str) -> None:
    expected = MATRIX[reader][fault]
    assert isinstance(expected, Stops)
    with pytest.raises(LensError) as caught:
        _ingest(file_store, tmp_path / "files", reader, fault)
    assert re.search(expected.line, caught.value.what), caught.value.what
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_an_unknown_release_is_named(file_store: Store, tmp_path: Path) -> None:
    _hdf5(tmp_path, Survey())
    with pytest.raises(LensError, match=r"unknown release 'dr99'; use one of dr9-south"):
        run_job(file_store, "ingest", IngestConfig(release="dr99", source=str(tmp_path)))
