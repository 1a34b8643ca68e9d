import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from lenscore.cutouts.sampling import (
    Bins,
    Candidates,
    count_candidates,
    draw_rows,
    flat_quotas,
    random_numbers,
    shuffle_by_chunk,
)

COUNTS = hnp.arrays(np.int64, st.integers(1, 20), elements=st.integers(0, 1000))


@settings(deadline=None)
@given(counts=COUNTS, rows=st.integers(0, 20_000))
def test_quotas_are_as_flat_as_the_counts_allow(counts: NDArray[np.int64], rows: int) -> None:
    quotas = flat_quotas(counts, rows)
    assert quotas.sum() == min(rows, counts.sum())
    assert (quotas <= counts).all()
    short = quotas[quotas < counts]
    if len(short):
        assert short.max() - short.min() <= 1
        assert quotas.max() <= short.min() + 1


def draw(mag: NDArray[np.float64], rows: int, seed: int, batch: int) -> NDArray[np.int64]:
    bins = Bins(20.0, 0.5)
    batches = [
        Candidates(np.arange(first, min(first + batch, len(mag))), mag[first : first + batch])
        for first in range(0, len(mag), batch)
    ]
    counts = count_candidates(batches, bins)
    return draw_rows(batches, bins, counts, flat_quotas(counts, rows), seed)


def steep(rows: int) -> NDArray[np.float64]:
    """Magnitudes with counts that rise tenfold in 1.7 mag, as in the sky."""
    return 20 + np.log10(np.random.default_rng(0).uniform(1e-3, 1, rows)) / 0.6


def test_a_steep_distribution_is_drawn_flat() -> None:
    mag = steep(200_000)
    drawn = draw(mag, 4000, seed=1, batch=7000)
    assert len(np.unique(drawn)) == 4000
    per_bin = np.histogram(mag[drawn], bins=np.arange(17, 20.1, 0.5))[0]
    assert per_bin.max() - per_bin.min() <= 2


def test_the_draw_depends_on_the_seed_only() -> None:
    mag = steep(20_000)
    first = draw(mag, 1500, seed=1, batch=999)
    np.testing.assert_array_equal(first, draw(mag, 1500, seed=1, batch=20_000))
    assert len(np.intersect1d(first, draw(mag, 1500, seed=2, batch=999))) < 900


def test_the_draw_is_even_within_a_bin() -> None:
    drawn = draw(np.full(100_000, 19.7), 10_000, seed=3, batch=65_536)
    thirds = np.histogram(drawn, bins=10, range=(0, 100_000))[0]
    assert np.abs(thirds - 1000).max() < 150


@settings(deadline=None)
@given(rows=st.sets(st.integers(0, 5000), max_size=600), chunk=st.sampled_from([1, 16]), seed=st.integers(0, 2**31 - 1))
def test_a_shuffle_keeps_all_rows_and_binds_chunks(rows: set[int], chunk: int, seed: int) -> None:
    shuffled = shuffle_by_chunk(np.array(sorted(rows), dtype=np.int64), chunk, 64, seed)
    assert sorted(shuffled.tolist()) == sorted(rows)
    blocks: dict[int, set[int]] = {}
    for place, row in enumerate(shuffled.tolist()):
        blocks.setdefault(row // chunk, set()).add(place // 64)
    assert all(max(found) - min(found) <= 1 for found in blocks.values())
    assert sum(len(found) - 1 for found in blocks.values()) <= len(rows) // 64


def test_the_order_is_random() -> None:
    shuffled = shuffle_by_chunk(np.arange(16_384), 16, 1024, seed=4)
    assert abs(np.corrcoef(shuffled, np.arange(16_384))[0, 1]) < 0.15
    assert abs(np.corrcoef(shuffled[:-1], shuffled[1:])[0, 1]) < 0.05
    inside = shuffled[:1024]
    assert np.mean(inside[:-1] // 16 == inside[1:] // 16) < 0.05


def test_random_numbers_have_no_collisions() -> None:
    numbers = random_numbers(np.arange(100_000), 7)
    assert len(np.unique(numbers)) == 100_000
    assert (numbers / 2.0**64).mean() == pytest.approx(0.5, abs=0.01)
