"""FITS cutouts from outside."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lenscore.errors import InputError
from lenscore.similarity.external import ExternalImage, read_cutout, resample

BANDS = ("g", "r", "z")


def blob(size_px: int, scale_arcsec: float, sigma_arcsec: float = 1.5, east: float = 0, north: float = 0) -> NDArray:
    """A Gaussian of flux 1, 2, 3 in g, r, z, at an offset on the sky, north up, east left."""
    offset = (np.arange(size_px) - (size_px - 1) / 2) * scale_arcsec
    x = np.exp(-0.5 * ((offset + east) / sigma_arcsec) ** 2)
    y = np.exp(-0.5 * ((offset - north) / sigma_arcsec) ** 2)
    image = np.outer(y, x) * scale_arcsec**2 / (2 * np.pi * sigma_arcsec**2)
    return np.array([1, 2, 3])[:, None, None] * image


def external(images: NDArray, matrix: NDArray) -> ExternalImage:
    return ExternalImage(images.astype(np.float32), matrix, 10.0, 20.0)


def write(path: Path, data: NDArray | None, **cards: object) -> Path:
    hdu = fits.PrimaryHDU(data)
    hdu.header.update({name.upper(): value for name, value in cards.items()})
    hdu.writeto(path, overwrite=True)
    return path


WCS_CARDS = {
    "ctype1": "RA---TAN",
    "ctype2": "DEC--TAN",
    "crval1": 10.0,
    "crval2": 20.0,
    "crpix1": 32.5,
    "crpix2": 32.5,
    "cd1_1": -0.262 / 3600,
    "cd1_2": 0.0,
    "cd2_1": 0.0,
    "cd2_2": 0.262 / 3600,
}


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(0.1, 0.6), turn=st.floats(0, 360), mirror=st.booleans())
def test_flux_place_and_direction_survive(scale: float, turn: float, mirror: bool) -> None:
    """Whatever scale, rotation and parity the file has, north comes out up, east left, and the flux is the same."""
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.diag([scale if mirror else -scale, scale])
    side = int(48 / scale)
    offset = np.arange(side) - (side - 1) / 2
    x, y = np.meshgrid(offset, offset)
    east, north = matrix[0, 0] * x + matrix[0, 1] * y, matrix[1, 0] * x + matrix[1, 1] * y
    image = np.exp(-0.5 * ((east - 3) ** 2 + (north - 1) ** 2) / 1.5**2) * scale**2 / (2 * np.pi * 1.5**2)
    found = resample(external(np.array([1, 2, 3])[:, None, None] * image, matrix), 0.262, 96)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), [1, 2, 3], rtol=0.01)
    expected = blob(96, 0.262, east=3, north=1)
    assert np.abs(found - expected).max() < 0.06 * expected.max()


def test_same_scale_is_cropped_pixel_for_pixel() -> None:
    images = np.random.default_rng(0).standard_normal((3, 101, 120)).astype(np.float32)
    found = resample(external(images, np.diag([-0.262, 0.262])), 0.262, 96)
    np.testing.assert_array_equal(found, images[:, 2:98, 12:108])


def test_cube_with_wcs(tmp_path: Path) -> None:
    images = blob(64, 0.262).astype(np.float32)
    found = read_cutout(write(tmp_path / "a.fits", images, bands="grz", **WCS_CARDS), BANDS)
    np.testing.assert_array_equal(found.images_chw, images)
    np.testing.assert_allclose(found.arcsec_per_px, np.diag([-0.262, 0.262]))
    np.testing.assert_allclose([found.ra, found.dec], [10, 20], atol=1e-9)


def test_bands_are_taken_by_name(tmp_path: Path) -> None:
    images = blob(64, 0.262).astype(np.float32)
    given = np.stack([images[2], images[0] * 9, images[1], images[0]])
    found = read_cutout(write(tmp_path / "a.fits", given, bands="zirg", **WCS_CARDS), BANDS)
    np.testing.assert_array_equal(found.images_chw, images)


def test_stated_scale(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", blob(64, 0.4))
    found = read_cutout(path, BANDS, pixel_scale_arcsec=0.4)
    np.testing.assert_allclose(resample(found, 0.262, 48).sum(axis=(1, 2)), [1, 2, 3], rtol=0.01)
    assert np.isnan(found.ra)


def test_the_survey_s_own_cutout(real_data: Path) -> None:
    """Separate extensions for image and inverse variance of each band, 256 px."""
    found = read_cutout(real_data / "cutout_59.1067_-30.4848.fits", BANDS)
    with fits.open(real_data / "cutout_59.1067_-30.4848.fits") as file:
        expected = np.stack([file[number].data for number in (1, 3, 5)])
    np.testing.assert_array_equal(resample(found, 0.262, 96), expected[:, 80:176, 80:176])
    np.testing.assert_allclose([found.ra, found.dec], [59.1067, -30.4848], atol=1e-3)


def test_bad_files(tmp_path: Path, real_data: Path) -> None:
    text = tmp_path / "text.fits"
    text.write_text("not FITS at all\n" * 500)
    with pytest.raises(InputError, match="cannot be read as FITS"):
        read_cutout(text, BANDS)
    with pytest.raises(InputError, match="there is no file"):
        read_cutout(tmp_path / "none.fits", BANDS)
    with pytest.raises(InputError, match=r"cannot be read as FITS|lacks band"):
        read_cutout(real_data / "example_incomplete.fits", BANDS)
    whole = write(tmp_path / "whole.fits", blob(64, 0.262), **WCS_CARDS)
    (tmp_path / "half.fits").write_bytes(whole.read_bytes()[:20000])
    with pytest.raises(InputError, match="cannot be read as FITS"):
        read_cutout(tmp_path / "half.fits", BANDS)
    with pytest.raises(InputError, match="holds no image"):
        read_cutout(write(tmp_path / "empty.fits", None), BANDS)


@pytest.mark.parametrize(
    ("images", "cards", "says"),
    [
        (blob(64, 0.262)[:2], WCS_CARDS, "has 2 planes for bands g, r, z"),
        (blob(64, 0.262)[:2], WCS_CARDS | {"bands": "gr"}, "lacks band z"),
        (blob(64, 0.262), WCS_CARDS | {"bands": "gr"}, "BANDS = 'gr' but 3 planes"),
        (blob(64, 0.262)[0], WCS_CARDS | {"band": "g"}, "lacks band r, z; it has g"),
        (blob(64, 0.262), {}, "says nothing of its pixel scale"),
        (blob(64, 0.262), WCS_CARDS | {"cd1_1": 0.0}, "pixel scale"),
    ],
)
def test_bad_content(tmp_path: Path, images: NDArray, cards: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_cutout(write(tmp_path / "a.fits", images, **cards), BANDS)


def test_bad_pixels_and_fields() -> None:
    images, matrix = blob(110, 0.262), np.diag([-0.262, 0.262])
    with pytest.raises(InputError, match=r"covers 28\.8 x 28\.8 arcsec, the model looks at 39\.8"):
        resample(external(images, matrix), 0.262, 152)
    with_nan = images.copy()
    with_nan[1, 55, 55] = np.nan
    for scale in (0.262, 0.3):
        with pytest.raises(InputError, match="not finite"):
            resample(external(with_nan, matrix), scale, 64)
    images[2] = 0
    with pytest.raises(InputError, match="empty"):
        resample(external(images, matrix), 0.262, 96)
