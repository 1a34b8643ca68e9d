"""Drift: an index that is zero for equal samples, known for simple ones, and silent where chance explains it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenscore.errors import InputError
from lenscore.similarity.drift import Directions, Limits, compare, index_limit, spread_blocks, stability_index

LIMITS = Limits()


def normal(rows: int, seed: int, mean: float = 0.0, width: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, width, rows)


def test_the_index_is_that_of_the_formula() -> None:
    training, found = np.arange(1000) % 2.0, np.r_[np.zeros(250), np.ones(750)]
    expected = (0.75 - 0.5) * math.log(0.75 / 0.5) + (0.25 - 0.5) * math.log(0.25 / 0.5)
    assert stability_index(training, found, 2) == pytest.approx(expected, rel=5e-3)


@given(st.integers(0, 50), st.integers(300, 3000), st.integers(300, 3000))
def test_two_samples_of_one_distribution_are_never_far(seed: int, n: int, m: int) -> None:
    shifts = compare({("ebv", "all"): normal(n, seed)}, {("ebv", "all"): normal(m, seed + 1000)}, Limits(alpha=1e-6))
    assert not shifts[0].far


def test_small_samples_need_a_larger_shift() -> None:
    assert index_limit(100, 100, 20, LIMITS) > 0.5
    assert index_limit(65536, 65536, 20, LIMITS) == LIMITS.far


@pytest.mark.parametrize(
    ("mean", "width", "far"), [(0.0, 1.0, False), (0.2, 1.0, False), (0.8, 1.0, True), (0.0, 2.0, True)]
)
def test_a_moved_or_wider_distribution_is_far(mean: float, width: float, far: bool) -> None:
    key = ("psfdepth", "z")
    shift = compare({key: normal(20000, 1)}, {key: normal(20000, 2, mean, width)}, LIMITS)[0]
    assert shift.far is far
    assert shift.says.startswith("psfdepth z (index ")


def test_the_largest_shift_comes_first_and_only_common_quantities_are_compared() -> None:
    training = {("psfsize", "g"): normal(2000, 1), ("ebv", "all"): normal(2000, 2), ("psfsize", "z"): normal(9, 3)}
    found = {("psfsize", "g"): normal(2000, 4), ("ebv", "all"): normal(2000, 5, 3)}
    assert [(shift.quantity, shift.part) for shift in compare(training, found, LIMITS)] == [
        ("ebv", "all"),
        ("psfsize", "g"),
    ]
    with pytest.raises(InputError, match="share no quantity"):
        compare(training, {("psfsize", "i"): normal(9, 1)}, LIMITS)


def test_vectors_outside_of_what_training_spans_are_noticed() -> None:
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(4000, 2)) @ np.array([[3.0, 0, 0, 0], [0, 2.0, 0, 0]]) + rng.normal(0, 0.1, (4000, 4))
    odd = plane + np.array([0, 0, 0, 1.0])
    directions = Directions.of(plane[:2000].astype(np.float16), 2)
    training = dict(directions.measure(plane[:2000].astype(np.float16)))
    far = {name: [shift.part for shift in compare(training, dict(directions.measure(vectors)), LIMITS) if shift.far]
           for name, vectors in (("same", plane[2000:]), ("odd", odd[2000:]))}  # fmt: skip
    assert far == {"same": [], "odd": ["outside the components"]}


@given(st.integers(1, 3000), st.integers(1, 2000), st.integers(1, 300))
def test_blocks_lie_within_and_do_not_grow_with_the_release(rows: int, wanted: int, block: int) -> None:
    blocks = spread_blocks(rows, wanted, block)
    taken = [row for span in blocks for row in span]
    assert min(taken) >= 0
    assert max(taken) < rows
    assert len(taken) == rows if rows <= wanted else wanted / 2 < len(taken) <= wanted
