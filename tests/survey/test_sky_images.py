"""The simulated sky's images: true to their columns, to GalSim and to each other."""

import galsim
import numpy as np
import pytest
from scipy.ndimage import uniform_filter
from scipy.optimize import curve_fit

from lenscore.survey.sky.arcs import ARC_PX, OVERSAMPLE, draw_lens
from lenscore.survey.sky.block import draw_block, release_imaging
from lenscore.survey.sky.config import SkyConfig
from lenscore.survey.sky.imaging import PIXEL_ARCSEC
from lenscore.survey.sky.listing import list_release
from lenscore.survey.sky.optics import Layer, draw_stamp, painted_profile, sersic_profile, transfer
from lenscore.survey.sky.render import SceneFrame, render_rows
from lenscore.survey.sky.structures import oversampled_grid
from lenscore.survey.sky.truth import true_lenses
from lenscore.survey.sky.workers import render_unit

CLEAN = {"bad_image_fraction": 0.0, "bad_row_fraction": 0.0}
FWHM = np.array([1.5, 1.3, 1.0])


def pixel_noise(band_hw: np.ndarray) -> float:
    """Noise from second differences of pixels in the emptier part of an image: sources are smooth, noise is not."""
    second = band_hw[:, :-2] - 2 * band_hw[:, 1:-1] + band_hw[:, 2:]
    smooth = uniform_filter(band_hw, 9)[:, 1:-1]
    dark = smooth < np.percentile(smooth, 60)
    return float(1.4826 * np.median(np.abs(second[dark])) / np.sqrt(6))


def star_fwhm(band_hw: np.ndarray, guess_px: float) -> float:
    """Full width at half maximum of the star in the middle [px], by a Moffat fit, which suits seeing."""
    y, x = np.mgrid[-14:15, -14:15].astype(float)
    middle = len(band_hw) // 2
    cut = band_hw[middle - 14 : middle + 15, middle - 14 : middle + 15]

    def moffat(_: np.ndarray, peak: float, x0: float, y0: float, width: float, beta: float, sky: float) -> np.ndarray:
        radius2 = (x - x0) ** 2 + (y - y0) ** 2
        return (peak * (1 + radius2 / width**2) ** -beta + sky).ravel()

    start = (cut.max(), -0.5, -0.5, guess_px, 4.0, 0.0)
    bounds = ([0, -2, -2, 0.5, 1.5, -1], [np.inf, 2, 2, 20, 50, 1])
    found = curve_fit(moffat, np.zeros(1), cut.ravel(), p0=start, bounds=bounds)[0]
    return 2 * found[3] * np.sqrt(2 ** (1 / found[4]) - 1)


def test_sky_noise_agrees_with_the_columns() -> None:
    config = SkyConfig(objects=48, star_fraction=0.0, bright_star_fraction=0.0, **CLEAN)
    rendered = render_rows(config, 0, range(48))
    measured = np.array([[pixel_noise(band) for band in image] for image in rendered.images_bchw])
    ratio = measured / rendered.noise_bc
    assert np.median(ratio) == pytest.approx(1, abs=0.03)
    assert (np.abs(ratio - 1) < 0.15).mean() > 0.9


def test_stars_have_the_columns_seeing() -> None:
    config = SkyConfig(
        objects=40,
        star_fraction=0.1,
        lens_fraction=0,
        ring_fraction=0,
        satellite_fraction=0,
        merger_fraction=0,
        spiral_fraction=0,
        neighbour_density=0,
        bright_star_fraction=0,
        group_early=0,
        group_late=0,
        mag_z_limit=18,
        **CLEAN,
    )
    block = draw_block(config, 0)
    listing, imaging = list_release(config, block), release_imaging(config, block)
    stars = np.flatnonzero(block.galaxies.kind_n[listing.object_r] == "star")[:3]
    assert len(stars)
    for row in map(int, stars):
        image = render_rows(config, 0, range(row, row + 1)).images_bchw[0]
        for band, expected in zip(image, imaging.fwhm_arcsec_nc[block.scene_n[listing.object_r[row]]], strict=True):
            assert star_fwhm(band, expected / PIXEL_ARCSEC) * PIXEL_ARCSEC == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("index", [1.0, 2.0, 4.0])
def test_stamps_are_galsims(index: float) -> None:
    profile = sersic_profile(128, index, 1.1, 0.6, 0.7)
    ours = draw_stamp([Layer(profile, np.array([1.0, 2.0, 3.0]))], 0.3, -0.2, transfer(128, FWHM))
    galaxy = galsim.Sersic(n=index, half_light_radius=1.1, flux=2.0).shear(q=0.6, beta=0.7 * galsim.radians)
    seen = galsim.Convolve([galaxy, galsim.Kolmogorov(fwhm=FWHM[1])]).shift(0.3 * PIXEL_ARCSEC, -0.2 * PIXEL_ARCSEC)
    theirs = seen.drawImage(nx=128, ny=128, scale=PIXEL_ARCSEC, method="no_pixel", offset=(0.5, 0.5)).array
    assert np.abs(ours[1] - theirs).max() < 2e-3 * theirs.max()
    assert ours.sum(axis=(1, 2)) == pytest.approx([1.0, 2.0, 3.0], rel=1e-3)


def test_painted_light_lands_where_it_was_painted() -> None:
    x, y = oversampled_grid(64, 3)
    light = np.exp(-0.5 * ((x - 2.0) ** 2 + (y + 1.0) ** 2) / 0.5**2)
    image = draw_stamp([Layer(painted_profile(light, 3), np.ones(3))], 0, 0, transfer(64, FWHM))[1]
    row, column = np.mgrid[:64, :64] - 32
    assert (image * column).sum() * PIXEL_ARCSEC == pytest.approx(2.0, abs=0.03)
    assert (image * row).sum() * PIXEL_ARCSEC == pytest.approx(-1.0, abs=0.03)


def test_arcs_lie_at_the_einstein_radius() -> None:
    config = SkyConfig(objects=512, lens_fraction=0.1)
    block = draw_block(config, 0)
    x, y = oversampled_grid(ARC_PX, OVERSAMPLE)
    for index in map(int, block.lens_n[:8]):
        lens = draw_lens(config, block, index)
        radius = (lens.light * np.hypot(x, y)).sum() / lens.light.sum()
        assert radius == pytest.approx(lens.theta_e_arcsec, rel=0.35)
        assert lens.magnification > 1.5
        assert lens.z_source > block.galaxies.z_n[index]


def test_findable_lenses_are_most_but_not_all() -> None:
    config = SkyConfig(objects=1024, lens_fraction=0.1)
    found = true_lenses(config, draw_block(config, 0))
    share = np.mean([lens.snr >= config.findable_snr for lens in found])
    assert 0.5 < share < 0.9
    radii = np.array([lens.lens.theta_e_arcsec for lens in found])
    assert 1.4 < np.median(radii) < 2.2
    assert radii.min() >= 0.8
    assert radii.max() <= 4.5


def test_cutouts_of_one_scene_show_the_same_pixels() -> None:
    config = SkyConfig(objects=64, group_early=1.0, group_late=1.0, **CLEAN)
    block = draw_block(config, 0)
    listing = list_release(config, block)
    scene = block.scene_n[listing.object_r]
    first = int(np.flatnonzero(scene[1:] == scene[:-1])[0])
    a, b = render_rows(config, 0, range(first, first + 2)).images_bchw
    frame = SceneFrame.of(config, block, int(scene[first]))
    shift = []
    for row in (first, first + 1):
        x, y = frame.pixel(listing.east_arcsec_r[row], listing.north_arcsec_r[row])
        shift.append((round(x - 75.5), round(y - 75.5)))
    dx, dy = shift[1][0] - shift[0][0], shift[1][1] - shift[0][1]
    inner = slice(max(0, dy), min(152, 152 + dy)), slice(max(0, dx), min(152, 152 + dx))
    outer = slice(max(0, -dy), min(152, 152 - dy)), slice(max(0, -dx), min(152, 152 - dx))
    np.testing.assert_array_equal(a[:, *inner], b[:, *outer])


def test_objects_lie_in_the_middle_of_their_cutouts() -> None:
    config = SkyConfig(
        objects=32,
        group_early=0,
        group_late=0,
        early_share=1.0,
        mag_z_limit=18,
        neighbour_density=0,
        bright_star_fraction=0,
        **CLEAN,
    )
    images = render_rows(config, 0, range(32)).images_bchw
    block = draw_block(config, 0)
    plain = block.galaxies.kind_n[list_release(config, block).object_r] == "early"
    for image in images[plain]:
        row, column = np.unravel_index(image[1].argmax(), image[1].shape)
        assert abs(row - 75.5) < 2
        assert abs(column - 75.5) < 2


def test_pixels_do_not_depend_on_company_or_workers() -> None:
    config = SkyConfig(objects=48)
    whole = render_rows(config, 0, range(48)).images_bchw
    np.testing.assert_array_equal(whole[20:23], render_rows(config, 0, range(20, 23)).images_bchw)
    parts = [part.images_bchw for part in render_unit(config, 0, range(48), workers=2)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_releases_differ_in_noise_and_not_in_light() -> None:
    images = {}
    for name in ("demo-dr1", "demo-dr2"):
        config = SkyConfig(objects=24, release=name, changed_fraction=0.0, **CLEAN)
        rows = list_release(config, draw_block(config, 0)).object_r
        rendered = render_rows(config, 0, range(24))
        images[name] = rendered.images_bchw[np.argsort(rows)], rendered.noise_bc[np.argsort(rows)]
    (before, noise), (after, deeper) = images.values()
    assert (deeper < noise).all()
    error = 5 * 152 * np.hypot(noise, deeper) + 0.03 * before.sum(axis=(2, 3))
    assert (np.abs(after.sum(axis=(2, 3)) - before.sum(axis=(2, 3))) < error).all()


def test_bad_images_are_bad() -> None:
    config = SkyConfig(objects=96, bad_image_fraction=0.5)
    listing = list_release(config, draw_block(config, 0))
    rows = [int(np.flatnonzero(listing.image_flaw_r == flaw)[0]) for flaw in ("missing band", "NaN", "no valid pixel")]
    rendered = [render_rows(config, 0, range(row, row + 1)) for row in rows]
    assert sum(not band.any() for band in rendered[0].images_bchw[0]) == 1
    assert np.isnan(rendered[1].images_bchw).any()
    assert not rendered[2].images_bchw.any()
    assert not any(one.valid_b.any() for one in rendered)
