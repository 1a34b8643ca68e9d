"""Whitening."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lenscore.errors import DamagedError, InputError
from lenscore.similarity.whiten import Whitening, streaming_covariance, unit

RNG = np.random.default_rng(0)
MIXED = (RNG.standard_normal((4000, 6)) * [30, 10, 3, 1, 0.3, 0.1] + 100) @ np.linalg.qr(RNG.standard_normal((6, 6)))[0]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=6))
def test_covariance_is_that_of_all_rows_at_once(sizes: list[int]) -> None:
    rows = MIXED[: sum(sizes)]
    if len(rows) < 2:
        return
    mean, covariance = streaming_covariance(np.split(rows, np.cumsum(sizes)[:-1]))
    np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(rows.T), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("components", [1, 3, 6])
def test_components_have_unit_variance_and_no_correlation(components: int) -> None:
    white = Whitening.fit([MIXED[:1500], MIXED[1500:]], components, normalise=False).apply(MIXED)
    np.testing.assert_allclose(np.atleast_2d(np.cov(white.T)), np.eye(components), atol=1e-3)


def test_unit_length_and_bytes() -> None:
    whitening = Whitening.fit([MIXED], 4)
    found = whitening.apply(MIXED[:10].astype(np.float16))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    back = Whitening.from_bytes(whitening.to_bytes())
    np.testing.assert_array_equal(back.apply(MIXED[:10].astype(np.float16)), found)
    assert whitening.to_bytes() == Whitening.fit([MIXED], 4).to_bytes()


def test_identity() -> None:
    identity = Whitening.from_bytes(Whitening.fit([], None, normalise=False).to_bytes())
    assert identity.is_identity
    assert identity.dimension(9) == 9
    np.testing.assert_array_equal(identity.apply(np.array([[3, 4]])), [[3, 4]])
    np.testing.assert_allclose(Whitening.identity().apply(np.array([[3, 4], [0, 0]])), [[0.6, 0.8], [0, 0]])


def test_fewer_directions_than_components() -> None:
    flat = MIXED @ np.diag([1, 1, 1, 0, 0, 0])
    assert Whitening.fit([flat], 6).dimension(6) == 3


def test_rows_that_are_not_finite_are_left_out() -> None:
    bad = MIXED.copy()
    bad[5] = np.nan
    good = Whitening.fit([np.delete(MIXED, 5, axis=0)], 3)
    np.testing.assert_allclose(Whitening.fit([bad], 3).matrix, good.matrix, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("batches", "components", "says"),
    [
        ([MIXED[:1]], 2, "1 good embeddings are too few"),
        ([], 2, "0 good embeddings"),
        ([MIXED], 7, "components = 7 for embeddings of dimension 6"),
        ([np.ones((5, 3))], 2, "all embeddings are the same vector"),
    ],
)
def test_bad_input(batches: list[np.ndarray], components: int, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Whitening.fit(batches, components)


def test_wrong_dimension_and_bytes() -> None:
    with pytest.raises(InputError, match="dimension 5 for a whitening of 6"):
        Whitening.fit([MIXED], 2).apply(MIXED[:, :5])
    with pytest.raises(DamagedError):
        Whitening.from_bytes(b"not safetensors")


def test_unit_of_huge_and_tiny() -> None:
    found = unit(np.array([[3e38, 0], [1e-38, 1e-38], [0, 0]], np.float32))
    np.testing.assert_allclose(found, [[1, 0], [2**-0.5, 2**-0.5], [0, 0]], rtol=1e-6)
