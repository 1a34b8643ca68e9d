"""Brick coadds: objects land in the central pixel, neighbours are stitched, what is bad is set aside."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lenscore.errors import DamagedError, InputError
from lenscore.survey.bricks import brick_at, brick_centre, brick_name
from lenscore.survey.readers.base import Facts, Images
from lenscore.survey.readers.coadds import CoaddReader
from lenscore.survey.readers.rows import make_rows
from lenscore.survey.readers.sources import FolderSource, open_source
from lenscore.survey.release import RELEASES, Release
from lenscore.survey.settings import Transfer
from lenscore.survey.tables import read_table
from tests.survey.layouts import (
    BRICK_PX,
    RELEASE,
    ids,
    sky_image,
    sweep_columns,
    tan_wcs,
    write_brick,
    write_checksums,
    write_sweep,
)
from tests.survey.test_readers import read_all
from tests.survey.web_server import serve

BRICK = int(brick_at(59.1067, -30.4848)[0])
SIZE = RELEASE.stored_px
CORNER = (10.25, 0.125)
"""Where four bricks meet."""


def _reader(folder: Path, release: Release = RELEASE, **options: object) -> CoaddReader:
    return CoaddReader(release, FolderSource(folder), **options)  # type: ignore[arg-type]


def _images(folder: Path, ra: object, dec: object, release: Release = RELEASE, **options: object) -> Images:
    write_sweep(folder, sweep_columns(ra, dec))
    return read_all(_reader(folder, release, **options))[2]


def _cut(reader: CoaddReader, ra: float, dec: float) -> Images:
    """The cutout at a position, from a reader that has its bricks open."""
    found = make_rows(pa.table(sweep_columns(ra, dec)), RELEASE, Facts(), "table").rows
    name = brick_name(int(brick_at(ra, dec)[0]))
    return reader.images(found.set_column(found.schema.get_field_index("file"), "file", pa.array([name])))


@pytest.fixture(scope="module")
def brick(tmp_path_factory: pytest.TempPathFactory) -> CoaddReader:
    """One brick."""
    folder = tmp_path_factory.mktemp("brick")
    write_brick(folder, BRICK)
    return _reader(folder)


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> tuple[CoaddReader, WCS, NDArray[np.float32]]:
    """Four bricks cut out of one large image, on its grid; the image."""
    folder = tmp_path_factory.mktemp("four")
    side = 2 * BRICK_PX
    big = {band: sky_image(number, side) for number, band in enumerate("grz")}
    wcs = tan_wcs(*CORNER, side)
    for ra in (10.125, 10.375):
        for dec in (0.0, 0.25):
            number = int(brick_at(ra, dec)[0])
            x, y = (round(float(axis)) - BRICK_PX // 2 for axis in wcs.wcs_world2pix(*brick_centre(number), 0))
            part = wcs.deepcopy()
            part.wcs.crpix = part.wcs.crpix - [x, y]
            write_brick(
                folder, number, {band: pixels[y : y + BRICK_PX, x : x + BRICK_PX] for band, pixels in big.items()}, part
            )
    return _reader(folder), wcs, np.stack(list(big.values()))


def test_brick_names_are_the_surveys_own(real_data: Path) -> None:
    assert (brick_name(BRICK), BRICK) == ("0591m305", int(brick_at(59.18, -30.5)[0]))
    tables = sorted(real_data.glob("sweep-*.fits")) + sorted(real_data.glob("tractor-*.fits"))
    rows = [row for path in tables for row in read_table(path, ["BRICKID", "BRICKNAME", "RA", "DEC"]).to_pylist()]
    assert len(rows) == 19
    assert all(brick_name(row["BRICKID"]) == row["BRICKNAME"] for row in rows)
    assert all(int(brick_at(row["RA"], row["DEC"])[0]) == row["BRICKID"] for row in rows)


@given(ra=st.floats(0, 360), dec=st.floats(-90, 90))
def test_every_position_has_one_brick_near_it(ra: float, dec: float) -> None:
    number = int(brick_at(ra, dec)[0])
    centre = brick_centre(number)
    assert abs(centre[1] - dec) <= 0.125 + 1e-9
    if abs(dec) < 89.8:
        assert abs((centre[0] - ra + 180) % 360 - 180) * np.cos(np.radians(dec)) <= 0.125 * 1.01 + 1e-9
    assert int(brick_at(*centre)[0]) == number


def test_brick_numbers_out_of_range() -> None:
    with pytest.raises(InputError, match="BRICKID = 0 is outside"):
        brick_name(0)


@settings(deadline=None, max_examples=60)
@given(x=st.floats(16.5, BRICK_PX - 18), y=st.floats(16.5, BRICK_PX - 18))
def test_object_lands_in_the_central_pixel(brick: CoaddReader, x: float, y: float) -> None:
    wcs = tan_wcs(*brick_centre(BRICK), BRICK_PX)
    ra, dec = (float(value) for value in wcs.wcs_pix2world(x, y, 0))
    found = _cut(brick, ra, dec)
    column, line = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
    assert abs(x - column) <= 0.5
    expected = np.stack([sky_image(BRICK * 10 + band, BRICK_PX) for band in range(3)])
    if max(abs(x - column), abs(y - line)) > 0.4999:
        return  # on the border of two pixels, either is right
    assert found.reasons == [""]
    np.testing.assert_array_equal(found.images_bchw[0, :, SIZE // 2, SIZE // 2], expected[:, line, column])
    low = SIZE // 2
    np.testing.assert_array_equal(
        found.images_bchw[0], expected[:, line - low : line - low + SIZE, column - low : column - low + SIZE]
    )


@settings(deadline=None, max_examples=60)
@given(
    x=st.integers(30, 2 * BRICK_PX - 31),
    y=st.integers(30, 2 * BRICK_PX - 31),
    near=st.booleans(),
    offset=st.floats(-0.45, 0.45),
)
def test_neighbours_stitched_equal_the_uncut_image(
    four: tuple[CoaddReader, WCS, NDArray[np.float32]], x: int, y: int, near: bool, offset: float
) -> None:
    reader, wcs, big = four
    if near:  # within a cutout of the corner
        x, y = BRICK_PX + (x - BRICK_PX) // 20, BRICK_PX + (y - BRICK_PX) // 20
    ra, dec = (float(value) for value in wcs.wcs_pix2world(x + offset, y - offset, 0))
    found = _cut(reader, ra, dec)
    expected = big[:, y - SIZE // 2 : y + SIZE // 2, x - SIZE // 2 : x + SIZE // 2]
    assert found.reasons == [""]
    np.testing.assert_array_equal(found.images_bchw[0], expected)


def test_edge_without_neighbour_is_set_aside(four: tuple[CoaddReader, WCS, NDArray[np.float32]]) -> None:
    reader, wcs, _ = four
    ra, dec = (float(value) for value in wcs.wcs_pix2world(20, BRICK_PX, 0))  # the images begin at 8
    found = _cut(reader, ra, dec)
    assert not found.valid_b[0]
    assert "of 1024 pixels lie beyond brick" in found.reasons[0]
    assert not found.images_bchw.any()


def test_neighbour_on_another_grid_is_off_by_half_a_pixel_at_most(tmp_path: Path) -> None:
    """Real bricks have grids of their own: a smooth sky must be continued smoothly."""
    slope = 0.01
    for dec in (60.0, 60.25):
        number = int(brick_at(100.0, dec)[0])
        centre = brick_centre(number)
        wcs = tan_wcs(*centre, BRICK_PX)
        lines, columns = np.mgrid[:BRICK_PX, :BRICK_PX]
        _, sky_dec = wcs.wcs_pix2world(columns.ravel(), lines.ravel(), 0)
        pixels = (1 + slope * (sky_dec - 60.125) * 3600 / 2.62).reshape(BRICK_PX, BRICK_PX).astype(np.float32)
        write_brick(tmp_path, number, dict.fromkeys("grz", pixels), wcs)
    found = _images(tmp_path, 100.0, 60.12)
    assert found.reasons == [""]
    lines = np.diff(found.images_bchw[0, 0], axis=0)
    assert (
        np.abs(lines - slope).max() < slope * 1.05
    )  # the step from one brick to the other: one pixel, give or take one


def test_compressed_files_equal_plain_ones(tmp_path: Path) -> None:
    images = {band: sky_image(number, 80) for number, band in enumerate("grz")}
    found = []
    for compressed in (False, True):
        folder = tmp_path / str(compressed)
        write_brick(folder, BRICK, images, compressed=compressed, flat=compressed)
        found.append(_images(folder, *brick_centre(BRICK)))
    assert found[0].reasons == [""]
    np.testing.assert_array_equal(found[0].images_bchw, found[1].images_bchw)


def test_bad_bricks_are_set_aside_with_a_reason(tmp_path: Path) -> None:
    centre, name = brick_centre(BRICK), brick_name(BRICK)
    images = {band: sky_image(number, 60) for number, band in enumerate("grz")}

    def reason(case: str, **options: object) -> str:
        folder = tmp_path / case
        here = write_brick(folder, BRICK, images if "images" not in options else options.pop("images"), **options)  # type: ignore[arg-type]
        damage(case, here)
        found = _images(folder, *centre)
        assert not found.valid_b[0]
        assert not found.images_bchw.any()
        return found.reasons[0]

    def damage(case: str, here: Path) -> None:
        path = here / f"legacysurvey-{name}-image-r.fits"
        if case == "truncated":
            path.write_bytes(path.read_bytes()[:8000])
        if case == "truncated fz":
            packed = path.with_suffix(".fits.fz")
            packed.write_bytes(packed.read_bytes()[: packed.stat().st_size // 3])
        if case == "nan":
            with fits.open(path, mode="update") as hdus:
                hdus[0].data[30, 30] = np.nan
        if case == "no wcs":
            fits.PrimaryHDU(images["r"]).writeto(path, overwrite=True)
        if case == "not fits":
            path.write_text("<html>not found</html>")
        if case == "shape":
            fits.PrimaryHDU(images["r"][:50], tan_wcs(*centre, 60).to_header()).writeto(path, overwrite=True)

    assert reason("truncated").startswith(f"brick {name}, band r: legacysurvey-{name}-image-r.fits is cut off: 8000 of")
    assert reason("truncated fz", compressed=True).startswith(f"brick {name}, band r: ")
    assert reason("nan") == "1 pixels are not finite, most in band r"
    assert reason("no wcs") == f"brick {name}, band r: the image has no WCS"
    assert "cannot read" in reason("not fits")
    assert "differs from that of" in reason("shape")
    assert reason("missing", images={band: images[band] for band in "gz"}) == f"band r of brick {name} is missing"
    scale = tan_wcs(*centre, 60, 1.31)
    assert "pixel scale is 1.31 arcsec, test-south has 2.62" in reason("scale", wcs=scale)
    dark = {"z": np.zeros((60, 60), np.float32)}
    assert reason("dark", invvar=dark) == "band z: 100% of the field was never exposed (inverse variance is 0)"
    assert (
        reason("zero", images={**images, "g": np.zeros((60, 60), np.float32)}) == "band g is missing (every pixel is 0)"
    )


def test_no_brick_no_position(tmp_path: Path) -> None:
    write_brick(tmp_path, BRICK, {band: sky_image(1, 40) for band in "grz"})
    ra, dec = brick_centre(BRICK)
    found = _images(tmp_path, [ra, 200.0, ra, 400.0], [dec, 10.0, dec + 0.1, 0.0])
    assert found.valid_b.tolist() == [True, False, False]
    assert sorted(found.reasons)[1:] == [
        f"band g of brick {brick_name(int(brick_at(200.0, 10.0)[0]))} is missing",
        "its position is outside the images of brick 0591m305",
    ]


class CountingSource(FolderSource):
    """Counts what is opened."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.opened: Counter[str] = Counter()

    def local(self, path: str) -> Path:
        self.opened[path] += 1
        return super().local(path)


def test_each_brick_is_opened_once_and_rows_are_in_order_of_bricks(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    bricks = [int(brick_at(10.125, 0.25 * row)[0]) for row in range(5)]
    for brick in bricks:
        write_brick(tmp_path, brick, {band: sky_image(brick + ord(band), 120) for band in "grz"})
    dec = 0.25 * rng.integers(0, 5, 40) + rng.uniform(-0.01, 0.01, 40)
    columns = sweep_columns(np.full(40, 10.125), dec)
    write_sweep(tmp_path, columns)
    source = CountingSource(tmp_path)
    rows, _, found = read_all(CoaddReader(RELEASE, source))
    assert found.valid_b.all()
    assert rows["brickid"].to_pylist() == sorted(rows["brickid"].to_pylist())
    assert sorted(rows["ls_id"].to_pylist()) == sorted(ids(columns).tolist())
    images = {path: count for path, count in source.opened.items() if "-image-" in path}
    assert set(images.values()) == {1}
    assert len(images) == 15


def test_catalogue_columns_pass_through(tmp_path: Path) -> None:
    write_sweep(tmp_path, sweep_columns([10.125, 10.126], [0.0, 0.0], 18.0))
    rows, _, _ = read_all(_reader(tmp_path))
    row = rows.slice(1, 1).to_pylist()[0]
    assert (row["type"], row["maskbits"], row["nobs_r"], row["region"], row["file"]) == (
        "SER",
        1,
        3,
        "south",
        "0101p000",
    )
    np.testing.assert_allclose([row["mag_z"], row["psfsize_g"], row["ebv"]], [18, 1.3, 0.03], rtol=1e-5)


def test_tables_of_every_kind(tmp_path: Path) -> None:
    ra, dec = brick_centre(BRICK)
    columns = sweep_columns([ra, ra], [dec, dec + 0.001])
    small = {band: sky_image(1, 60) for band in "grz"}
    (tmp_path / "tractor" / "059").mkdir(parents=True)
    Table(columns).write(tmp_path / "tractor" / "059" / "tractor-0591m305.fits")
    hats = tmp_path / "hats" / "dataset" / "Norder=5" / "Dir=0" / "Npix=7.parquet"
    hats.parent.mkdir(parents=True)
    pq.write_table(pa.table({name.lower(): values for name, values in columns.items() if name != "BRICKNAME"}), hats)
    pq.write_table(pa.table({"x": [1]}), hats.parents[2] / "_metadata.parquet")
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "mine.csv").write_text(f"name,ra,dec,flux_g,flux_r,mag_z,type\nA,{ra},{dec},1,2,18.5,SER\n")
    for folder in ("tractor", "hats", "list"):
        root = tmp_path if folder == "tractor" else tmp_path / folder
        write_brick(root, BRICK, small)
        rows, _, found = read_all(_reader(root))
        assert found.valid_b.all()
        assert set(rows["file"].to_pylist()) == {"0591m305"}
    assert rows["ls_id"].to_numpy()[0] >> 40 == 0  # a person's own list: an identity of its own
    np.testing.assert_allclose(rows["mag_z"].to_numpy(), 18.5)


def test_redshifts_lie_beside_the_sweeps_and_the_newest_version_counts(tmp_path: Path) -> None:
    old = write_sweep(tmp_path, sweep_columns([1.0], [2.0]))
    newer = tmp_path / "sweep" / "9.1"
    newer.mkdir()
    Table(sweep_columns([3.0, 4.0], [2.0, 2.0])).write(newer / old.name)
    redshifts = tmp_path / "sweep" / "9.1-photo-z" / f"{old.stem}-pz.fits"
    redshifts.parent.mkdir()
    Table({"Z_PHOT_MEAN": [0.1, 0.2], "Z_PHOT_MEDIAN": [0.3, -99.0]}).write(redshifts)
    reader = _reader(tmp_path)
    rows = pa.concat_tables([batch.rows for batch in reader.objects()])
    assert rows["ra"].to_pylist() == [3.0, 4.0]
    np.testing.assert_allclose(rows["z_phot"].to_numpy(), [0.3, np.nan], rtol=1e-6)
    assert reader.facts.absent == {"z_spec"}
    assert len(reader.listing()) == 2
    Table({"Z_PHOT_MEDIAN": [0.3]}).write(redshifts, overwrite=True)
    with pytest.raises(InputError, match="differ in length"):
        list(reader.objects())


def test_region_is_that_of_the_folder(tmp_path: Path) -> None:
    ra, dec = brick_centre(BRICK)
    write_sweep(tmp_path / "south", sweep_columns([ra], [dec]))
    write_sweep(tmp_path / "north", sweep_columns([ra], [dec], release=9011), "sweep-000p000-010p010.fits")
    write_brick(tmp_path / "south", BRICK, {band: sky_image(1, 60) for band in "grz"})
    reader = _reader(tmp_path)
    assert reader.table_paths() == ["south/sweep/9.0/sweep-000p000-010p005.fits"]
    rows, rejected, found = read_all(reader)
    assert (rows["release"].to_pylist(), rejected.num_rows, found.reasons) == ([9010], 0, [""])


def test_missing_tables_and_columns(tmp_path: Path) -> None:
    write_brick(tmp_path, BRICK, {band: sky_image(1, 60) for band in "grz"})
    with pytest.raises(InputError, match="no table of objects"):
        list(_reader(tmp_path).objects())
    write_sweep(tmp_path, {name: values for name, values in sweep_columns([1.0], [2.0]).items() if name != "RA"})
    with pytest.raises(InputError, match="no column of right ascension among RELEASE, BRICKID"):
        list(_reader(tmp_path).objects())
    path = write_sweep(tmp_path, sweep_columns(np.full(500, 1.0), np.full(500, 2.0)))
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(InputError, match="is cut off: 9000 of"):
        list(_reader(tmp_path).objects())


def test_real_dr8_sweeps_lack_psfsize_and_say_so(real_data: Path) -> None:
    release = RELEASES["dr9-south"].model_copy(update={"name": "dr8-south", "release_numbers": (8000, 8001)})
    paths = [path.name for path in sorted(real_data.glob("sweep-*.fits"))]
    reader = CoaddReader(release, FolderSource(real_data), table_paths=paths)
    batches = list(reader.objects())
    rows = pa.concat_tables([batch.rows for batch in batches])
    assert rows.num_rows == 18
    assert reader.facts.absent == {"psfsize_g", "psfsize_r", "psfsize_z", "z_phot", "z_spec"}
    assert np.isnan(rows["psfsize_g"].to_numpy()).all()
    assert (rows["psfdepth_z"].to_numpy() > 0).any()
    assert (rows["ls_id"].to_numpy() >> 40 == 8000).all()
    other = CoaddReader(RELEASES["dr9-south"], FolderSource(real_data), table_paths=paths[:1])
    rejected = pa.concat_tables([batch.rejected for batch in other.objects()])
    assert rejected["reason"].to_pylist() == ["RELEASE = 8000 is not of dr9-south (9010, 9012)"] * 6


def test_real_tractor_row(real_data: Path) -> None:
    reader = CoaddReader(RELEASES["dr9-north"], FolderSource(real_data), table_paths=["tractor-1054p567.fits"])
    row = pa.concat_tables([batch.rows for batch in reader.objects()]).to_pylist()[0]
    assert (row["release"], row["region"], row["file"]) == (9011, "north", "1054p567")
    assert row["psfsize_r"] > 0
    assert np.isfinite(row["mag_z"])


def test_survey_on_the_web(tmp_path: Path) -> None:
    site = tmp_path / "site"
    ra, dec = brick_centre(BRICK)
    name = brick_name(BRICK)
    write_brick(site, BRICK, {band: sky_image(ord(band), 60) for band in "grz"}, compressed=True)
    write_checksums(site, BRICK)
    write_sweep(site, sweep_columns([ra, ra], [dec, dec + 0.001]))
    expected = read_all(_reader(site))[2]
    transfer = Transfer(requests_per_second=1000, first_wait_s=0, retries=3, cache=str(tmp_path / "cache"))
    with serve(site) as (address, faults):
        path = f"/coadd/059/{name}/legacysurvey-{name}-image-g.fits.fz"
        faults.cut[path] = [3000, 2000]
        reader = CoaddReader(RELEASE, open_source(address, transfer))
        _, _, found = read_all(reader)
        assert found.reasons == ["", ""]
        np.testing.assert_array_equal(found.images_bchw, expected.images_bchw)
        assert faults.seen[f"GET {path}"] == 3
        assert [item.path for item in reader.listing()] == ["sweep/9.0/sweep-000p000-010p005.fits"]
    with serve(site) as (address, _):
        (site / "tractor" / "059" / f"brick-{name}.sha256sum").write_text(f"{'0' * 64} *{path[1:]}\n")
        fresh = transfer.model_copy(update={"cache": str(tmp_path / "second")})
        with pytest.raises(DamagedError, match="published is 0000"):
            read_all(CoaddReader(RELEASE, open_source(address, fresh)))
        _, _, found = read_all(CoaddReader(RELEASE, open_source(address, fresh), damaged="set aside"))
        assert not found.valid_b.any()
        assert "published is 0000" in found.reasons[0]
