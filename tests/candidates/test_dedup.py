"""Best first, with nothing near by: against a plain loop."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lenscore.candidates.dedup import NOBODY, pick_best
from lenscore.survey.sky_geometry import separation_arcsec


def plain(ra, dec, group, budget, barred, radius):
    """Take rows one by one, comparing each with all taken before."""
    taken: list[int] = []
    room = list(budget)
    for row in range(len(ra)):
        near = any(separation_arcsec([ra[row]], [dec[row]], ra[other], dec[other])[0] <= radius for other in taken)
        if not barred[row] and not near and room[group[row]]:
            taken.append(row)
            room[group[row]] -= 1
    return taken


@given(st.integers(0, 40), st.integers(0, 2**31), st.integers(0, 6), st.integers(0, 6))
@settings(max_examples=50, deadline=None)
def test_against_a_plain_loop(rows, seed, first_budget, second_budget):
    rng = np.random.default_rng(seed)
    ra, dec = (rng.normal(0, 40, rows) / 3600) % 360, rng.normal(0, 40, rows) / 3600
    group, barred = rng.integers(0, 2, rows), rng.random(rows) < 0.2
    budget = [first_budget, second_budget]
    result = pick_best(ra, dec, group, budget, barred, 25.15)
    assert np.flatnonzero(result.picked_n).tolist() == plain(ra, dec, group, budget, barred, 25.15)
    by = result.suppressor_n[result.suppressor_n != NOBODY]
    assert result.picked_n[by].all()
    assert not (result.picked_n & barred).any()
    assert (result.reached_n | ~result.picked_n).all()


def test_the_better_one_suppresses_across_groups():
    result = pick_best([10.0, 10.001, 50.0], [0.0, 0.0, 0.0], [0, 1, 1], [5, 5], [False] * 3, 25.15)
    assert result.picked_n.tolist() == [True, False, True]
    assert result.suppressor_n.tolist() == [NOBODY, 0, NOBODY]


def test_a_chain_keeps_every_second():
    step = 20 / 3600
    result = pick_best([10.0, 10.0, 10.0], [0.0, step, 2 * step], [0] * 3, [5], [False] * 3, 25.15)
    assert result.picked_n.tolist() == [True, False, True]


def test_barred_rows_suppress_nobody_and_use_no_room():
    result = pick_best([10.0, 10.0], [0.0, 0.001], [0, 0], [1], [True, False], 25.15)
    assert result.picked_n.tolist() == [False, True]
    assert result.reached_n.tolist() == [True, True]
