"""Neighbours found by comparing everything with everything: what the fast search must agree with."""

import numpy as np
from numpy.typing import NDArray


def brute_neighbours(
    vectors: NDArray[np.floating], mag: NDArray[np.float32], k: int, window_mag: float
) -> tuple[NDArray[np.float64], NDArray[np.uint32]]:
    """The k most similar objects of each, ties by row; mag NaN: takes no part.

    Returns:
        Similarities (N, k) float64, NaN where there are fewer, and rows (N, k), 0xFFFFFFFF there.
    """
    units = vectors.astype(np.float64)
    units /= np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-300)
    similarity = np.full((len(units), k), np.nan)
    rows = np.full((len(units), k), 0xFFFFFFFF, np.uint32)
    exact = mag.astype(np.float64)
    for row in range(len(units)):
        allowed = np.flatnonzero(np.abs(exact - exact[row]) <= window_mag)
        allowed = allowed[allowed != row]
        found = units[allowed] @ units[row]
        best = np.lexsort((allowed, -found))[:k]
        similarity[row, : len(best)] = found[best]
        rows[row, : len(best)] = allowed[best]
    return similarity, rows


def agree(
    found: tuple[NDArray[np.floating], NDArray[np.uint32]],
    expected: tuple[NDArray[np.float64], NDArray[np.uint32]],
    tolerance: float,
) -> None:
    """Check that two results are the same but for the order of similarities within rounding of each other."""
    np.testing.assert_array_equal(np.isnan(found[0]), np.isnan(expected[0]))
    np.testing.assert_array_equal(found[1] == 0xFFFFFFFF, np.isnan(found[0]))
    np.testing.assert_allclose(found[0], expected[0], atol=tolerance, rtol=0)
    for row in np.flatnonzero((found[1] != expected[1]).any(axis=1)):
        strangers = np.setxor1d(found[1][row], expected[1][row])
        last = np.nanmin(expected[0][row])
        mine = dict(zip(found[1][row], found[0][row], strict=True))
        theirs = dict(zip(expected[1][row], expected[0][row], strict=True))
        for name in strangers:
            assert abs(float(mine.get(name, theirs.get(name, np.nan))) - last) <= tolerance
