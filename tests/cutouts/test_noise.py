import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from lenscore.cutouts import estimate_sigma, sigma_from_depth


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_white_noise_is_measured_to_four_percent(rng: np.random.Generator) -> None:
    sigma = np.array([[0.004, 0.007, 0.03]] * 4, dtype=np.float32)
    noise = rng.standard_normal((4, 3, 152, 152), dtype=np.float32) * sigma[:, :, None, None]
    np.testing.assert_allclose(estimate_sigma(noise), sigma, rtol=0.04)


def test_a_galaxy_hardly_changes_the_estimate(rng: np.random.Generator) -> None:
    offset = np.arange(152) - 75.5
    galaxy = 5 * np.exp(-np.hypot(offset, offset[:, None]) / 6)
    noise = rng.standard_normal((1, 1, 152, 152), dtype=np.float32) * 0.01
    assert estimate_sigma((noise + galaxy).astype(np.float32))[0, 0] == pytest.approx(0.01, rel=0.2)


def test_correlation_of_neighbours_lowers_it_little(rng: np.random.Generator) -> None:
    noise = gaussian_filter(rng.standard_normal((152, 152)), 0.5)
    sigma = estimate_sigma(noise[None, None].astype(np.float32))[0, 0]
    assert sigma == pytest.approx(noise.std(), rel=0.06)


def test_no_noise_is_zero_even_in_one_pixel() -> None:
    assert estimate_sigma(np.ones((2, 1, 1, 1), dtype=np.float32)).tolist() == [[0], [0]]


def test_depth_gives_the_noise_of_appendix_b() -> None:
    psfsize_px, sigma_pix = 1.4 / 0.262, 0.0038
    depth = 1 / (4 * np.pi * (psfsize_px / 2.3548) ** 2 * sigma_pix**2)
    assert sigma_from_depth(depth, 1.4, 0.262) == pytest.approx(sigma_pix, rel=1e-5)


def test_unusable_depths_are_nan() -> None:
    depth = [0.0, -1.0, np.nan, np.inf, 100.0, 100.0]
    size = [1.4, 1.4, 1.4, 1.4, 0.0, np.nan]
    assert np.isnan(sigma_from_depth(depth, size, 0.262)).all()
