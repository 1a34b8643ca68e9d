"""The codec never clips, rounds to half a step, and says what it cost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from lenscore.cutouts import CodecConfig, CodecError, Encoded, decode, encode, find_bad_images
from lenscore.errors import InputError

FINITE = st.floats(-(2.0**96), 2.0**96, width=32)
SMALL_IMAGES = hnp.arrays(np.float32, hnp.array_shapes(min_dims=4, max_dims=4, max_side=5), elements=FINITE)


def restore(encoded: Encoded) -> NDArray[np.float32]:
    out = np.empty(encoded.stored_bchw.shape, dtype=np.float32)
    decode(encoded.stored_bchw, encoded.step_bc, out)
    return out


def noisy(seed: int, rows: int = 4, side: int = 64, sigma: float = 0.01) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    images = sigma * rng.standard_normal((rows, 3, side, side), dtype=np.float32)
    images[:, :, side // 2, side // 2] += 100 * sigma
    return images


@settings(deadline=None)
@given(images=SMALL_IMAGES)
def test_int16_is_within_half_a_step_and_never_clips(images: NDArray[np.float32]) -> None:
    encoded = encode(images, CodecConfig())
    assert encoded.valid_b.tolist() == [row not in find_bad_images(images) for row in range(len(images))]
    error = np.abs(restore(encoded).astype(np.float64) - images)[encoded.valid_b]
    bound = 0.51 * encoded.step_bc[encoded.valid_b][:, :, None, None]
    assert (error <= bound).all()
    assert np.abs(encoded.stored_bchw.astype(int)).max(initial=0) <= 32767


@settings(deadline=None)
@given(images=SMALL_IMAGES)
def test_float32_is_exact(images: NDArray[np.float32]) -> None:
    encoded = encode(images, CodecConfig(kind="float32"))
    np.testing.assert_array_equal(restore(encoded)[encoded.valid_b], images[encoded.valid_b])
    assert encoded.error.largest == 0


@settings(deadline=None)
@given(images=SMALL_IMAGES)
def test_float16_never_overflows(images: NDArray[np.float32]) -> None:
    encoded = encode(images, CodecConfig(kind="float16"))
    restored, wanted = restore(encoded)[encoded.valid_b], images[encoded.valid_b]
    step = encoded.step_bc[encoded.valid_b][:, :, None, None]
    assert np.isfinite(restored).all()
    assert (np.abs(restored.astype(np.float64) - wanted) <= 2**-11 * np.abs(wanted) + 2**-24 * step).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), sigma=st.floats(1e-4, 10), steps=st.sampled_from([4.0, 8.0, 16.0]))
def test_the_stated_error_is_the_error(seed: int, sigma: float, steps: float) -> None:
    images = noisy(seed, sigma=sigma)
    given_sigma = np.full((4, 3), sigma, dtype=np.float32)
    encoded = encode(images, CodecConfig(steps_per_sigma=steps), sigma_bc=given_sigma)
    difference = (restore(encoded) - images) / np.float32(sigma)
    assert encoded.error.images == 12
    assert encoded.error.coarse == 0
    assert encoded.error.rms == pytest.approx(np.sqrt(np.mean(difference.astype(np.float64) ** 2)), rel=1e-3)
    assert encoded.error.largest == pytest.approx(np.abs(difference).max(), rel=1e-3)
    assert encoded.error.rms == pytest.approx(1 / (steps * np.sqrt(12)), rel=0.05)
    assert encoded.error.largest <= 0.5 / steps * 1.001


def test_the_step_is_an_eighth_of_the_noise_and_grows_for_a_bright_star() -> None:
    images = noisy(1)
    images[1, 2, 0, 0] = 1e4
    encoded = encode(images, CodecConfig())
    plain = np.ones((4, 3), dtype=bool)
    plain[1, 2] = False
    np.testing.assert_allclose(encoded.step_bc[plain], 0.01 / 8, rtol=0.1)
    assert encoded.step_bc[1, 2] == pytest.approx(1e4 / 32767, rel=1e-3)
    assert restore(encoded)[1, 2, 0, 0] == pytest.approx(1e4, rel=1e-4)
    assert (encoded.error.images, encoded.error.coarse) == (11, 1)


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.nan, np.inf])
def test_an_unusable_sigma_is_estimated_instead(sigma: float) -> None:
    images = noisy(2)
    encoded = encode(images, CodecConfig(), sigma_bc=np.full((4, 3), sigma, dtype=np.float32))
    np.testing.assert_array_equal(encoded.step_bc, encode(images, CodecConfig()).step_bc)


def test_bad_images_are_zeroed_and_named() -> None:
    images = noisy(3, rows=6)
    images[0, 1, 3, 3] = np.nan
    images[1, 0] = np.inf
    images[2, 2] = 0
    images[3, 0, 0, 0] = 3e38
    encoded = encode(images, CodecConfig(), valid_b=np.array([True] * 5 + [False]))
    assert encoded.valid_b.tolist() == [False, False, False, False, True, False]
    assert not encoded.stored_bchw[~encoded.valid_b].any()
    assert not encoded.step_bc[~encoded.valid_b].any()
    reasons = find_bad_images(images)
    assert sorted(reasons) == [0, 1, 2, 3]
    assert reasons[0] == "1 pixels are not finite"
    assert reasons[2] == "band number 2 is zero everywhere"


def test_rows_do_not_depend_on_their_neighbours() -> None:
    images = noisy(4, rows=70, side=16)
    whole = encode(images, CodecConfig())
    for part in (slice(0, 1), slice(31, 34), slice(69, 70)):
        alone = encode(images[part], CodecConfig())
        np.testing.assert_array_equal(alone.stored_bchw, whole.stored_bchw[part])
        np.testing.assert_array_equal(alone.step_bc, whole.step_bc[part])


def test_errors_add_up() -> None:
    images = noisy(5, rows=40, side=16)
    parts = encode(images[:7], CodecConfig()).error + encode(images[7:], CodecConfig()).error
    whole = encode(images, CodecConfig()).error
    assert parts.rms == pytest.approx(whole.rms)
    assert (parts.images, parts.largest, parts.coarse) == (whole.images, whole.largest, whole.coarse)
    assert CodecError.from_metrics(whole.metrics()) == whole
    assert CodecError().rms == 0


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(InputError, match=r"shape \(3, 8, 8\)"):
        encode(np.zeros((3, 8, 8), dtype=np.float32), CodecConfig())
    with pytest.raises(InputError, match="valid_b has shape"):
        encode(noisy(0), CodecConfig(), valid_b=np.ones(3, dtype=bool))
    with pytest.raises(InputError, match="sigma_bc has shape"):
        encode(noisy(0), CodecConfig(), sigma_bc=np.ones(4, dtype=np.float32))
    with pytest.raises(InputError, match="type"):
        encode(np.zeros((1, 1, 8, 8), dtype=complex), CodecConfig())
    with pytest.raises(InputError, match="lacks codec_images"):
        CodecError.from_metrics({})
