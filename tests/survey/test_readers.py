"""HDF5, Parquet and single FITS files: images come back as they were written; bad ones are set aside with a reason."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from lenscore.errors import InputError, NotFoundError
from lenscore.survey.ids import decode
from lenscore.survey.readers.base import Images, Reader, central_crop
from lenscore.survey.readers.cutout_folder import CutoutFolderReader
from lenscore.survey.readers.fits_images import read_cutout
from lenscore.survey.readers.hdf5 import Hdf5Reader
from lenscore.survey.readers.layouts import find_layout, open_files
from lenscore.survey.readers.parquet_images import ParquetImageReader
from lenscore.survey.readers.sources import open_source
from lenscore.survey.release import RELEASES, Release
from lenscore.survey.settings import Transfer
from tests.survey.layouts import (
    RELEASE,
    ids,
    images_of,
    object_columns,
    sweep_columns,
    write_brick,
    write_cutout,
    write_multimodal_hdf5,
    write_multimodal_parquet,
    write_original,
    write_sweep,
)


def read_all(reader: Reader) -> tuple[pa.Table, pa.Table, Images]:
    """Rows, rejected rows and images of a whole source."""
    batches = list(reader.objects())
    rows = pa.concat_tables([batch.rows for batch in batches])
    return rows, pa.concat_tables([batch.rejected for batch in batches]), reader.images(rows)


def _hdf5(folder: Path, release: Release = RELEASE, positions_needed: bool = True) -> Hdf5Reader:
    return Hdf5Reader(release, open_source(str(folder), Transfer()), positions_needed)


def _write_old(folder: Path, images: NDArray[np.float32]) -> None:
    write_original(folder, 0, object_columns(len(images)), images)


def _write_hdf5(folder: Path, images: NDArray[np.float32]) -> None:
    write_multimodal_hdf5(folder, 1234, object_columns(len(images)), images)


def _write_struct(folder: Path, images: NDArray[np.float32]) -> None:
    write_multimodal_parquet(folder / "train-00000-of-00001.parquet", images)


def _write_list(folder: Path, images: NDArray[np.float32]) -> None:
    write_multimodal_parquet(folder / "train-00000-of-00001.parquet", images, positions=True, nested="list")


def _write_cutouts(folder: Path, images: NDArray[np.float32]) -> None:
    for number, image in enumerate(images):
        write_cutout(folder / f"{number:03d}.fits", image, 10 + number, -3.0, cube=bool(number % 2))


SETS: dict[str, Callable[[Path, NDArray[np.float32]], None]] = {
    "original": _write_old,
    "multimodal hdf5": _write_hdf5,
    "multimodal parquet": _write_struct,
    "multimodal list": _write_list,
    "cutouts": _write_cutouts,
}


@pytest.mark.parametrize("name", SETS)
def test_images_come_back_as_written(tmp_path: Path, name: str) -> None:
    images = images_of(11)
    SETS[name](tmp_path, images)
    reader = open_files("auto", RELEASE, open_source(str(tmp_path), Transfer()))
    rows, rejected, found = read_all(reader)
    assert (rows.num_rows, rejected.num_rows) == (11, 0)
    assert found.reasons == [""] * 11
    np.testing.assert_array_equal(found.images_bchw, images)
    # any rows, in any order
    some = np.array([7, 2, 9])
    np.testing.assert_array_equal(reader.images(rows.take(pa.array(some))).images_bchw, images[some])


@pytest.mark.parametrize("name", SETS)
def test_bad_images_are_set_aside_with_a_reason(tmp_path: Path, name: str) -> None:
    images = images_of(5)
    images[1, 2, 3, 4] = np.nan
    images[3, 1] = 0.0
    SETS[name](tmp_path, images)
    _, _, found = read_all(open_files("auto", RELEASE, open_source(str(tmp_path), Transfer())))
    assert found.valid_b.tolist() == [True, False, True, False, True]
    assert found.reasons[1] == "1 pixels are not finite, most in band z"
    assert found.reasons[3] == "band r is missing (every pixel is 0)"
    assert not found.images_bchw[[1, 3]].any()


@pytest.mark.parametrize("name", SETS)
def test_larger_images_give_their_central_pixels_and_smaller_ones_are_set_aside(tmp_path: Path, name: str) -> None:
    images = images_of(3, size_px=40)
    SETS[name](tmp_path / "large", images)
    _, _, found = read_all(open_files("auto", RELEASE, open_source(str(tmp_path / "large"), Transfer())))
    np.testing.assert_array_equal(found.images_bchw, images[:, :, 4:36, 4:36])
    SETS[name](tmp_path / "small", images_of(2, size_px=20))
    _, _, found = read_all(open_files("auto", RELEASE, open_source(str(tmp_path / "small"), Transfer())))
    assert not found.valid_b.any()
    assert "20 x 20 px" in found.reasons[0]


@pytest.mark.parametrize("name", ["multimodal hdf5", "multimodal parquet", "cutouts"])
def test_wrong_pixel_scale_is_said(tmp_path: Path, name: str) -> None:
    SETS[name](tmp_path, images_of(2))
    release = RELEASE.model_copy(update={"pixel_scale_arcsec": 0.262})
    _, _, found = read_all(open_files("auto", release, open_source(str(tmp_path), Transfer())))
    assert not found.valid_b.any()
    assert "pixel scale is 2.62 arcsec, test-south has 0.262" in found.reasons[0]


@pytest.mark.parametrize("name", SETS)
def test_bands_come_from_the_release(tmp_path: Path, name: str) -> None:
    images = images_of(3)
    SETS[name](tmp_path, images)
    reversed_release = RELEASE.model_copy(update={"bands": ("z", "g"), "extinction": (1.2, 3.2)})
    if name == "original":  # its bands have no names: they are the release's
        return
    _, _, found = read_all(open_files("auto", reversed_release, open_source(str(tmp_path), Transfer())))
    np.testing.assert_array_equal(found.images_bchw, images[:, [2, 0]])
    other = RELEASE.model_copy(update={"bands": ("g", "i", "z")})
    _, _, found = read_all(open_files("auto", other, open_source(str(tmp_path), Transfer())))
    assert not found.valid_b.any()
    assert "band i" in found.reasons[0]


def test_original_files_catalogue(tmp_path: Path) -> None:
    columns = object_columns(6)
    write_original(tmp_path, 0, columns, images_of(6))
    write_original(tmp_path, 0, object_columns(2, first=50, release=9011), images_of(2), region="north")
    reader = _hdf5(tmp_path)
    rows, _, _ = read_all(reader)
    assert reader.files() == ["south/images_npix152_000000000_000000006.h5"]
    np.testing.assert_array_equal(rows["ls_id"].to_numpy(), ids(columns))
    row = rows.slice(2, 1).to_pylist()[0]
    assert (row["release"], row["brickid"], row["objid"], row["region"], row["type"]) == (
        9010,
        300_000,
        2,
        "south",
        "REX",
    )
    assert (row["nobs_g"], row["maskbits"]) == (4, 0)
    np.testing.assert_allclose([row["mag_g"], row["mag_r"], row["mag_z"]], [17.502, 16.502, 16.002], rtol=1e-6)
    np.testing.assert_allclose([row["psfsize_r"], row["psfdepth_z"], row["z_phot"]], [1.2, 900, 0.3], rtol=1e-6)
    assert np.isnan(row["z_spec"])  # -99 is no redshift
    assert reader.facts.absent == set()


def test_missing_and_repeated_inds_do_not_matter(tmp_path: Path) -> None:
    columns = object_columns(6)
    columns["inds"] = np.array([0, 1, 1, 4, 5, 9])  # as in the real southern files
    write_original(tmp_path, 0, columns, images_of(6))
    np.testing.assert_array_equal(read_all(_hdf5(tmp_path))[0]["ls_id"].to_numpy(), ids(columns))


def test_rows_out_of_range_are_rejected_with_their_values(tmp_path: Path) -> None:
    columns = object_columns(8)
    columns["ra"] = np.array([10.0, 400.0, -1.0, 10.0, np.nan, 360.0, 1.0, 2.0])
    columns["dec"] = np.array([1.0, 1.0, 1.0, -90.5, 1.0, 1.0, 1.0, 2.0])
    columns["release"] = np.array([9010, 9010, 9010, 9010, 9010, 9010, 9011, 9012], np.int32)
    columns["objid"] = np.array([0, 1, 2, 3, 4, 5, 6, 99_999])
    write_original(tmp_path, 0, columns, images_of(8))
    rows, rejected, _ = read_all(_hdf5(tmp_path))
    assert rows["objid"].to_pylist() == [0, 5]
    assert rows["ra"].to_pylist() == [10.0, 0.0]
    assert rejected["reason"].to_pylist() == [
        "ra = 400 is outside 0..360",
        "ra = -1 is outside 0..360",
        "dec = -90.5 is outside -90..90",
        "ra = nan is outside 0..360",
        "RELEASE = 9011 is not of test-south (9010, 9012)",
        "identity (9012, 300000, 99999) is out of range",
    ]
    assert rejected["source"].to_pylist()[0] == "south/images_npix152_000000000_000000008.h5:1"
    assert rejected["ls_id"].to_pylist()[-1] == -1


def test_hdf5_that_is_not_one(tmp_path: Path) -> None:
    (tmp_path / "broken.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\x00" * 100)
    with pytest.raises(InputError, match=r"cannot read broken\.h5"):
        list(_hdf5(tmp_path).objects())
    with h5py.File(tmp_path / "broken.h5", "w") as file:
        file["ra"] = np.zeros(3)
    with pytest.raises(InputError, match=r"has no images .* found ra"):
        list(_hdf5(tmp_path).objects())
    with h5py.File(tmp_path / "broken.h5", "w") as file:
        file["images"] = np.zeros((3, 32, 32))
        file["ra"] = np.zeros(3)
    with pytest.raises(InputError, match=r"shape \(3, 32, 32\)"):
        list(_hdf5(tmp_path).objects())
    with h5py.File(tmp_path / "broken.h5", "w") as file:
        file["images"] = np.zeros((3, 3, 32, 32), np.float32)
        file["flux"] = np.zeros((3, 3))
    with pytest.raises(InputError, match=r"no column of right ascension among flux_g, flux_r, flux_z"):
        list(_hdf5(tmp_path).objects())


def test_truncated_hdf5(tmp_path: Path) -> None:
    path = write_original(tmp_path, 0, object_columns(40), images_of(40))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="cannot read south/images"):
        list(_hdf5(tmp_path).objects())


def test_no_files_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no HDF5 file of region south"):
        _hdf5(tmp_path).files()
    with pytest.raises(InputError, match="no known layout"):
        find_layout(open_source(str(tmp_path), Transfer()))
    with pytest.raises(NotFoundError, match="does not exist"):
        open_source(str(tmp_path / "none"), Transfer())
    with pytest.raises(InputError, match="unknown scheme 'ftp'"):
        open_source("ftp://somewhere/else", Transfer())


def test_layouts_are_told_apart(tmp_path: Path) -> None:
    for name, write in SETS.items():
        write(tmp_path / name, images_of(1))
    write_brick(tmp_path / "bricks", 300_000, {"g": np.ones((8, 8), np.float32)})
    write_sweep(tmp_path / "bricks", sweep_columns([1.0], [2.0]))
    expected = {"original": "hdf5", "multimodal hdf5": "hdf5", "cutouts": "cutouts", "bricks": "bricks"}
    for folder in tmp_path.iterdir():
        assert find_layout(open_source(str(folder), Transfer())) == expected.get(folder.name, "multimodal")


def test_set_without_positions_says_what_cannot_be_done(tmp_path: Path) -> None:
    write_multimodal_parquet(tmp_path / "a.parquet", images_of(6))
    write_multimodal_parquet(tmp_path / "b.parquet", images_of(3), first=6)
    reader = ParquetImageReader(RELEASE, open_source(str(tmp_path), Transfer()))
    rows, rejected, found = read_all(reader)
    assert rejected.num_rows == 0
    assert found.valid_b.all()
    assert np.isnan(rows["ra"].to_numpy()).all()
    assert rows["ls_id"].to_pylist() == list(range(9))  # the set's own number; release 0
    assert decode(rows["ls_id"].to_numpy())[0].tolist() == [0] * 9
    assert {"ra", "dec", "type", "psfsize_g", "nobs_g", "maskbits"} <= reader.facts.absent
    assert rows["nobs_g"].to_pylist() == [-1] * 9
    assert len(reader.facts.impossible()) == 2
    assert "no crossmatch" in reader.facts.impossible()[0]


def test_hats_collection_reads_the_main_table_only(tmp_path: Path) -> None:
    (tmp_path / "collection.properties").write_text("obs_collection=x\nhats_primary_table_url=main\n")
    write_multimodal_parquet(
        tmp_path / "main" / "dataset" / "Norder=0" / "Dir=0" / "Npix=3.parquet", images_of(3), positions=True
    )
    write_multimodal_parquet(
        tmp_path / "margin" / "dataset" / "Norder=0" / "Dir=0" / "Npix=4.parquet", images_of(2), positions=True
    )
    pq.write_table(pa.table({"x": [1]}), tmp_path / "main" / "dataset" / "_metadata.parquet")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "main" / "points.parquet")
    assert ParquetImageReader(RELEASE, open_source(str(tmp_path), Transfer())).files() == [
        "main/dataset/Norder=0/Dir=0/Npix=3.parquet"
    ]


def test_subset_of_a_set(tmp_path: Path) -> None:
    write_multimodal_parquet(tmp_path / "stein_et_al" / "train.parquet", images_of(2))
    write_multimodal_parquet(tmp_path / "other" / "train.parquet", images_of(3))
    source = open_source(str(tmp_path), Transfer())
    assert ParquetImageReader(RELEASE, source, "stein_et_al").files() == ["stein_et_al/train.parquet"]
    with pytest.raises(InputError, match=r"no Parquet file of nothing .* found folders other, stein_et_al"):
        ParquetImageReader(RELEASE, source, "nothing").files()


def test_parquet_with_ragged_images_or_without(tmp_path: Path) -> None:
    path = tmp_path / "set.parquet"
    items = [{"band": ["des-g", "des-r", "des-z"], "flux": [[[1.0, 2.0], [3.0]]] * 3}]
    kind = pa.struct([("band", pa.list_(pa.string())), ("flux", pa.list_(pa.list_(pa.list_(pa.float32()))))])
    pq.write_table(pa.table({"image": pa.array(items, kind), "object_id": ["1"]}), path)
    reader = ParquetImageReader(RELEASE, open_source(str(tmp_path), Transfer()))
    assert read_all(reader)[2].reasons == ["the image cannot be read: its lines differ in length"]
    pq.write_table(pa.table({"ra": [1.0]}), path)
    with pytest.raises(InputError, match="has no column image; found ra"):
        list(reader.objects())
    path.write_bytes(b"PAR1 but not really")
    with pytest.raises(InputError, match=r"cannot read set\.parquet"):
        list(reader.objects())


def test_cutouts_with_a_table(tmp_path: Path) -> None:
    images = images_of(4)
    for number, image in enumerate(images[:3]):
        write_cutout(tmp_path / "images" / f"obj{number}.fits", image, 10 + number, -3.0)
    write_cutout(tmp_path / "images" / "stray.fits", images[3], 50, -3.0)
    lines = [
        "file,RA,Dec,release,brickid,objid,flux_z",
        "obj2.fits,12,-3,9010,5,7,100",
        "obj0,10,-3,9010,5,8,100",
        "lost.fits,11,-3,9010,5,9,1",
    ]
    (tmp_path / "objects.csv").write_text("\n".join(lines) + "\n")
    reader = CutoutFolderReader(RELEASE, open_source(str(tmp_path), Transfer()))
    rows, rejected, found = read_all(reader)
    assert rows["objid"].to_pylist() == [7, 8]
    np.testing.assert_array_equal(found.images_bchw, images[[2, 0]])
    assert rejected["reason"].to_pylist() == [
        "its FITS file is not in the folder",
        "no row of objects.csv names this file",
        "no row of objects.csv names this file",
    ]
    np.testing.assert_allclose(rows["mag_z"].to_numpy(), 17.5)
    assert len(reader.listing()) == 5


def test_cutouts_with_a_useless_table(tmp_path: Path) -> None:
    write_cutout(tmp_path / "a.fits", images_of(1)[0], 10, 0)
    (tmp_path / "objects.csv").write_text("ra,dec\n1,2\n")
    with pytest.raises(InputError, match=r"no column that names each row's file; found ra, dec"):
        list(CutoutFolderReader(RELEASE, open_source(str(tmp_path), Transfer())).objects())
    (tmp_path / "second.csv").write_text("ra,dec\n1,2\n")
    with pytest.raises(InputError, match=r"several tables: objects\.csv, second\.csv"):
        CutoutFolderReader(RELEASE, open_source(str(tmp_path), Transfer()))


def test_object_is_put_into_the_central_pixel_of_its_cutout(tmp_path: Path) -> None:
    image = np.ones((3, 48, 48), dtype=np.float32)
    image[:, 24, 24] = 9.0
    path = write_cutout(tmp_path / "a.fits", image, 10, 0)
    pixel_deg = 2.62 / 3600
    for shift in (0, 3, -5):
        moved = (
            read_cutout(path, RELEASE, 10 + shift * pixel_deg, 2 * shift * pixel_deg) if abs(2 * shift) <= 8 else None
        )
        if moved is not None:  # north up, east left: the bright pixel moves the other way
            assert moved[0, 16 - 2 * shift, 16 + shift] == 9.0
    with pytest.raises(InputError, match=r"a\.fits is 48 x 48 px and does not hold 32 px around its object"):
        read_cutout(path, RELEASE, 10 + 20 * pixel_deg, 0)


def test_real_cutout(real_data: Path) -> None:
    release = RELEASES["dr9-south"]
    path = real_data / "cutout_59.1067_-30.4848.fits"
    image = read_cutout(path, release)
    assert image.shape == (3, 152, 152)
    np.testing.assert_array_equal(image, read_cutout(path, release, 59.1067, -30.4848))
    core = image[1, 66:87, 66:87].clip(0)
    lines, columns = np.mgrid[66:87, 66:87]
    # the name's position is good to a pixel or two
    np.testing.assert_allclose(
        [(core * lines).sum() / core.sum(), (core * columns).sum() / core.sum()], 152 // 2, atol=2.5
    )
    with pytest.raises(InputError, match=r"has no band i; found g, r, z"):
        read_cutout(path, release.model_copy(update={"bands": ("g", "i", "z")}))
    with pytest.raises(InputError, match="256 x 256 px and does not hold 300 px"):
        read_cutout(path, release.model_copy(update={"stored_px": 300}))


def test_real_truncated_file(real_data: Path) -> None:
    with pytest.raises(InputError, match=r"example_incomplete\.fits is cut off: 1389044 of 2160192 bytes"):
        read_cutout(real_data / "example_incomplete.fits", RELEASES["dr9-south"])


def test_crops_of_crops_keep_the_central_pixel() -> None:
    for side in (8, 9, 15, 16):
        image = np.zeros((1, side, side))
        image[0, side // 2, side // 2] = 1
        for size in range(1, side + 1):
            cut = central_crop(image, size)
            assert cut is not None
            assert cut[0, size // 2, size // 2] == 1
        assert central_crop(image, side + 1) is None
