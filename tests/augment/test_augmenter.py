"""The augmentations: what each does, and that they agree with a plain chain."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import affine_transform, gaussian_filter
from scipy.stats import ks_2samp

from lenscore.augment import AugmentConfig, Augmenter, Fits, Properties
from lenscore.augment.draws import Draws, draw
from lenscore.errors import InputError
from lenscore.survey.release import Release
from tests.augment.helpers import OFF, RELEASE, augmenter, blobs, generator, moments, no_change, properties
from tests.augment.reference import Parameters, augment_one, draw_one


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def one_by_one(images: torch.Tensor, draws: Draws, out_px: int = 96) -> np.ndarray:
    """The plain chain on a batch, without noise."""
    parts = [getattr(draws, part.name).numpy() for part in dataclasses.fields(draws)]
    random = np.random.default_rng(0)
    return np.stack(
        [
            augment_one(image.numpy(), Parameters(*(part[row] for part in parts)), out_px, random)
            for row, image in enumerate(images)
        ]
    )


# --- nothing, and whole pixels: exact


@pytest.mark.parametrize("out_px", [96, 95, 48, 152])
def test_everything_off_is_a_central_crop(out_px: int) -> None:
    images = torch.randn(3, 3, 152, 152)
    first = (152 - out_px) // 2
    views = augmenter(out_px)(images, properties(3), generator())
    torch.testing.assert_close(views, images[..., first : first + out_px, first : first + out_px], atol=2e-4, rtol=0)


@settings(deadline=None, max_examples=20)
@given(st.integers(-7, 7), st.integers(-7, 7), st.booleans(), st.booleans())
def test_flips_and_shifts_move_whole_pixels(x: int, y: int, flip_x: bool, flip_y: bool) -> None:
    images = torch.randn(1, 3, 64, 64, generator=generator(3))
    axes = [axis for axis, on in ((3, flip_x), (2, flip_y)) if on]
    draws = dataclasses.replace(
        no_change(1), shift_b2=torch.tensor([[x, y]]).float(), flip_b2=torch.tensor([[1 - 2 * flip_x, 1 - 2 * flip_y]])
    )
    views = augmenter(32).apply(images, draws, generator())
    expected = images.flip(axes).roll((x, y), (3, 2))[..., 16:48, 16:48]
    torch.testing.assert_close(views, expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_are_exact_and_go_from_x_to_y(quarters: int) -> None:
    images = blobs(1)
    draws = dataclasses.replace(no_change(1), angle_b=torch.tensor([quarters * math.pi / 2]))
    views = augmenter().apply(images, draws, generator())
    torch.testing.assert_close(views, images.rot90(-quarters, (2, 3))[..., 28:124, 28:124], atol=1e-4, rtol=0)


def test_order_is_flip_rotate_scale_blur_shift() -> None:
    """A point off the centre ends where the steps, in the paper's order, take it."""
    images = torch.zeros(1, 1, 65, 65)
    images[0, 0, 32, 42] = 1.0  # 10 px along +x
    release = Release(name="one", bands=("g",), extinction=(3.214,))
    draws = dataclasses.replace(
        no_change(1, 1),
        flip_b2=torch.tensor([[-1.0, 1.0]]),
        angle_b=torch.tensor([math.pi / 2]),
        scale_b=torch.tensor([1.1]),
        shift_b2=torch.tensor([[3.0, -4.0]]),
        blur_bc=torch.tensor([[1.0]]),
    )
    views = Augmenter(OFF, Fits.table2(), release, 65).apply(images, draws, generator())
    _, x, y, _ = moments(views[0, 0])
    # flipped to -10 along x, turned by a quarter to -10 along y, enlarged to -11, then shifted
    assert (x, y) == pytest.approx((3.0, -15.0), abs=0.02)


# --- against the plain chain


def test_rotation_scale_and_shift_agree_with_one_affine_transform() -> None:
    images = torch.randn(6, 3, 152, 152, generator=generator(1))
    draws = draw(
        AugmentConfig(noise=False, blur=False, extinction=False), Fits.table2(), RELEASE, properties(6), generator()
    )
    views = augmenter().apply(images, draws, generator())
    for row in range(6):
        angle, scale = float(draws.angle_b[row]), float(draws.scale_b[row])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])  # acts on (y, x) backwards
        matrix = np.diag(draws.flip_b2[row].numpy()[::-1]) @ turn / scale
        centre = np.array([75.5, 75.5])
        offset = centre - matrix @ (centre + draws.shift_b2[row].numpy()[::-1])
        for band in range(3):
            expected = affine_transform(images[row, band].numpy(), matrix, offset, order=1, mode="grid-constant")
            np.testing.assert_allclose(views[row, band], expected[28:124, 28:124], atol=2e-3)


@settings(deadline=None, max_examples=15)
@given(st.floats(0.05, 4.0), st.sampled_from([31, 48, 96]))
def test_blur_agrees_with_scipy(sigma_px: float, out_px: int) -> None:
    images = torch.randn(1, 3, 152, 152, generator=generator(2))
    draws = dataclasses.replace(no_change(1), blur_bc=torch.tensor([[sigma_px, 0.0, sigma_px / 2]]))
    views = augmenter(out_px).apply(images, draws, generator())
    first = (152 - out_px) // 2
    for band, sigma in enumerate(draws.blur_bc[0].tolist()):
        plain = images[0, band].numpy().astype(float)
        expected = gaussian_filter(plain, sigma, mode="constant") if sigma else plain
        inside = expected[first : first + out_px, first : first + out_px]
        np.testing.assert_allclose(views[0, band], inside, atol=1e-3)


def test_whole_chain_agrees_with_the_plain_one() -> None:
    """The plain chain interpolates twice where one resampling does it once: smooth images show 1 % of it."""
    images = blobs(12)
    draws = draw(AugmentConfig(noise=False), Fits.table2(), RELEASE, properties(12), generator(5))
    views = augmenter().apply(images, draws, generator())
    expected = one_by_one(images, draws)
    scale = expected.max(axis=(2, 3))
    # skimage rounds the size of a rescaled image to whole pixels, which moves the content by up to half of one
    for row in range(12):
        for band in range(3):
            got, wanted = moments(views[row, band]), moments(torch.from_numpy(expected[row, band]))
            assert got[0] == pytest.approx(wanted[0], rel=0.02)
            assert got[1:3] == pytest.approx(wanted[1:3], abs=0.6)
            assert got[3] == pytest.approx(wanted[3], rel=0.03)
    assert np.abs(views.numpy() - expected).max(axis=(2, 3)).max() < 0.2 * scale.max()


def test_statistics_of_views_are_those_of_the_plain_chain() -> None:
    """The rms and the correlation of neighbouring pixels, noise included, after the same draws."""
    raw = torch.randn(100, 3, 152, 152, generator=generator(6)).numpy()
    images = torch.from_numpy(gaussian_filter(raw, (0, 0, 1.5, 1.5)) * 0.05)
    draws = draw(AugmentConfig(), Fits.table2(), RELEASE, properties(100), generator(7))
    views, plain = augmenter().apply(images, draws, generator(8)).numpy(), one_by_one(images, draws)
    for statistic in (rms, neighbour_correlation):
        np.testing.assert_allclose(statistic(views).mean(axis=0), statistic(plain).mean(axis=0), rtol=0.06)


def test_draws_are_those_of_the_plain_chain() -> None:
    draws = draw(AugmentConfig(), Fits.table2(), RELEASE, properties(3000), generator(1))
    random = np.random.default_rng(8)
    plain = [draw_one(Fits.table2(), 0.05, random) for _ in range(3000)]
    for ours, theirs in (
        (draws.blur_bc, [one.blur_c for one in plain]),
        (draws.noise_bc, [one.noise_c for one in plain]),
        (draws.dust_bc, [one.dust_c for one in plain]),
        (draws.scale_b[:, None], [[one.scale] for one in plain]),
        (draws.angle_b[:, None], [[one.angle] for one in plain]),
    ):
        for band, values in enumerate(np.array(theirs).T):
            assert ks_2samp(ours[:, band].numpy(), values).pvalue > 1e-4


def test_one_interpolation_keeps_more_of_the_images_own_noise_than_two() -> None:
    """Bilinear weights average white noise to 2/3 of its sigma, each time."""
    images = torch.randn(60, 3, 152, 152, generator=generator(6))
    draws = draw(
        AugmentConfig(noise=False, blur=False, extinction=False), Fits.table2(), RELEASE, properties(60), generator()
    )
    assert rms(augmenter().apply(images, draws, generator()).numpy()).mean() == pytest.approx(2 / 3, abs=0.02)
    assert rms(one_by_one(images[:20], draws.take(slice(20)))).mean() < 0.52


def rms(views_bchw: np.ndarray) -> np.ndarray:
    return views_bchw.std(axis=(2, 3))


def neighbour_correlation(views_bchw: np.ndarray) -> np.ndarray:
    return (views_bchw[..., 1:] * views_bchw[..., :-1]).mean(axis=(2, 3)) / (views_bchw**2).mean(axis=(2, 3))


# --- physics of each step


def test_dust_takes_off_the_own_and_adds_the_drawn() -> None:
    images = blobs(4)
    maker = augmenter(extinction=True)
    draws = draw(maker.config, maker.fits, RELEASE, properties(4, ebv=0.3), generator(1))
    drawn = maker.fits.ebv.draw((4,), generator(1))
    for band, extinction in enumerate((3.214, 2.165, 1.211)):
        expected = 10 ** (0.4 * extinction * (0.3 - drawn))
        torch.testing.assert_close(draws.dust_bc[:, band], expected)
    views = maker(images, properties(4, ebv=0.3), generator(1))
    torch.testing.assert_close(
        views, images[..., 28:124, 28:124] * draws.dust_bc[:, :, None, None], atol=1e-4, rtol=1e-4
    )


@settings(deadline=None, max_examples=20)
@given(st.floats(0, 2 * math.pi), st.floats(0.9, 1.1))
def test_rotation_keeps_flux_and_scale_keeps_surface_brightness(angle: float, scale: float) -> None:
    images = blobs(1)
    draws = dataclasses.replace(no_change(1), angle_b=torch.tensor([angle]), scale_b=torch.tensor([scale]))
    views = augmenter().apply(images, draws, generator())
    before, after = moments(images[0, 0]), moments(views[0, 0])
    assert after[0] == pytest.approx(before[0] * scale**2, rel=0.01)
    turned = scale * complex(before[1], before[2]) * complex(math.cos(angle), math.sin(angle))
    assert after[1:3] == pytest.approx((turned.real, turned.imag), abs=0.1)
    assert float(views.max()) == pytest.approx(float(images.max()), rel=0.05)


@settings(deadline=None, max_examples=20)
@given(st.floats(0.7, 3.5))
def test_blur_keeps_flux_and_adds_in_quadrature(sigma_px: float) -> None:
    images = blobs(1)
    draws = dataclasses.replace(no_change(1), blur_bc=torch.full((1, 3), sigma_px))
    views = augmenter().apply(images, draws, generator())
    before, after = moments(images[0, 1]), moments(views[0, 1])
    assert after[0] == pytest.approx(before[0], rel=2e-3)
    assert after[3] - before[3] == pytest.approx(sigma_px**2, rel=0.03, abs=0.05)


def test_noise_has_the_drawn_level_and_is_independent() -> None:
    images = torch.zeros(20, 3, 152, 152)
    maker = augmenter(noise=True)
    draws = draw(maker.config, maker.fits, RELEASE, properties(20), generator(2))
    views = maker.apply(images, draws, generator(3))
    torch.testing.assert_close(views.std(dim=(2, 3)), draws.noise_bc, rtol=0.04, atol=0)
    flat = views.flatten(2).flatten(0, 1)[draws.noise_bc.flatten() > 0]
    correlation = torch.corrcoef(flat) - torch.eye(len(flat))
    assert float(correlation.abs().max()) < 6 / 96


def test_wide_images_show_no_fill_when_reflected() -> None:
    images = torch.ones(40, 3, 100, 100)
    draws = draw(AugmentConfig(noise=False, extinction=False), Fits.table2(), RELEASE, properties(40), generator(4))
    assert float(augmenter().apply(images, draws, generator()).min()) < 0.01
    reflected = augmenter(fill="reflect").apply(images, draws, generator())
    torch.testing.assert_close(reflected, torch.ones_like(reflected), atol=1e-3, rtol=0)


# --- draws


def test_draws_have_the_distributions_asked_for() -> None:
    draws = draw(AugmentConfig(), Fits.table2(), RELEASE, properties(40_000), generator(9))
    assert 0 <= float(draws.angle_b.min()) < 0.01
    assert 6.27 < float(draws.angle_b.max()) < 2 * math.pi
    assert float(draws.scale_b.mean()) == pytest.approx(1.0, abs=0.002)
    assert float(draws.scale_b.min()) >= 0.9
    assert float(draws.scale_b.max()) <= 1.1
    assert draws.shift_b2.unique().tolist() == [*range(-7, 8)]
    assert draws.flip_b2.mean(dim=0).abs().max() < 0.02
    # two draws of one distribution: the target is above the initial value half of the time
    assert (draws.blur_bc > 0).float().mean(dim=0) == pytest.approx([0.5] * 3, abs=0.01)
    assert (draws.noise_bc > 0).float().mean(dim=0) == pytest.approx([0.5] * 3, abs=0.01)


def test_no_draw_is_below_zero() -> None:
    noise_z = Fits.table2().noise[2].model_copy(update={"loc": -0.05})
    drawn = noise_z.draw((10_000,), generator())
    assert float(drawn.min()) == 0.0


def test_measured_initial_values_are_the_objects_own() -> None:
    config = OFF.model_copy(update={"blur": True, "noise": True, "initial": "measured"})
    size_bc, depth_bc = torch.full((5000, 3), 1.3), torch.full((5000, 3), 900.0)
    given_values = Properties(torch.zeros(5000), size_bc, depth_bc)
    draws = draw(config, Fits.table2(), RELEASE, given_values, generator(1))
    sigma_px = 1.3 / 0.262 / 2.3548
    sigma_nmgy = 1 / math.sqrt(4 * math.pi * 900.0 * sigma_px**2)
    again = generator(1)
    target_px = torch.stack([fit.draw((5000,), again) for fit in Fits.table2().psf], dim=1)
    target_nmgy = torch.stack([fit.draw((5000,), again) for fit in Fits.table2().noise], dim=1)
    torch.testing.assert_close(draws.blur_bc, (target_px**2 - sigma_px**2).clamp_min(0).sqrt(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        draws.noise_bc, (target_nmgy**2 - sigma_nmgy**2).clamp_min(0).sqrt(), atol=1e-5, rtol=1e-3
    )


def test_a_band_without_depth_gets_no_blur_or_noise() -> None:
    config = OFF.model_copy(update={"blur": True, "noise": True, "initial": "measured"})
    size_bc, depth_bc = torch.full((200, 3), 0.9), torch.full((200, 3), 1e6)
    size_bc[:, 0], depth_bc[:, 1], depth_bc[:, 2] = 0.0, 0.0, torch.nan
    draws = draw(config, Fits.table2(), RELEASE, Properties(torch.zeros(200), size_bc, depth_bc), generator())
    assert (draws.blur_bc[:, 0] == 0).all()
    assert (draws.noise_bc == 0).all()
    assert (draws.blur_bc[:, 1:] > 0).any()


# --- determinism and other bands


def test_same_generator_same_views_and_draws_move_on() -> None:
    images, maker = blobs(20), augmenter(base=AugmentConfig())
    first = maker(images, properties(20), generator(1))
    assert torch.equal(first, maker(images, properties(20), generator(1)))
    both = generator(1)
    assert torch.equal(first, maker(images, properties(20), both))
    assert not torch.equal(first, maker(images, properties(20), both))


def test_result_does_not_depend_on_threads() -> None:
    images, maker = blobs(9), augmenter(base=AugmentConfig())
    first = maker(images, properties(9), generator(1))
    torch.set_num_threads(2)
    torch.testing.assert_close(first, maker(images, properties(9), generator(1)), atol=1e-6, rtol=1e-6)


def test_any_bands_in_any_order() -> None:
    release = Release(name="zg", bands=("z", "g"), extinction=(1.211, 3.214))
    maker = Augmenter(AugmentConfig(), Fits.table2(), release, 48)
    assert maker.fits.noise == (Fits.table2().noise[2], Fits.table2().noise[0])
    assert maker(torch.zeros(2, 2, 64, 64), properties(2), generator()).shape == (2, 2, 48, 48)


def test_empty_batch() -> None:
    assert augmenter(base=AugmentConfig())(torch.zeros(0, 3, 152, 152), properties(0), generator()).shape == (
        0,
        3,
        96,
        96,
    )


# --- bad input


@pytest.mark.parametrize(
    ("images", "rows", "message"),
    [
        (torch.zeros(2, 3, 152, 152, dtype=torch.float64), 2, "float64"),
        (torch.zeros(2, 4, 152, 152), 2, "4 bands"),
        (torch.zeros(2, 3, 64, 64), 2, r"\(2, 3, 64, 64\)"),
        (torch.zeros(2, 3, 152, 150), 2, "150"),
        (torch.zeros(2, 3, 152, 152), 3, "3 properties for 2"),
    ],
)
def test_wrong_input_is_named(images: torch.Tensor, rows: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        augmenter()(images, properties(rows), generator())


def test_pixels_and_dust_that_are_not_finite_are_refused() -> None:
    images = blobs(10)
    images[7, 1, 70, 70] = torch.nan
    with pytest.raises(InputError, match="image 7"):
        augmenter(base=AugmentConfig())(images, properties(10), generator())
    with pytest.raises(InputError, match=r"E.B-V. of image 0"):
        augmenter()(blobs(2), properties(2, ebv=math.nan), generator())


def test_missing_band_and_missing_measured_values_are_named() -> None:
    with pytest.raises(InputError, match="'i'"):
        Augmenter(OFF, Fits.table2(), Release(name="i", bands=("i",), extinction=(1.0,)), 96)
    with pytest.raises(InputError, match="psfsize"):
        augmenter(blur=True, initial="measured")(blobs(2), properties(2), generator())
