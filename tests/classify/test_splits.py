"""Splits: whole sky groups, nothing in two parts, nested draws that depend on identity alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lenscore.classify.settings import SplitConfig
from lenscore.classify.splits import PARTS, LabelRows, Splits, draw_splits, hashed, ratios_that_fit, sky_groups
from lenscore.errors import InputError

CONFIG = SplitConfig(ratios=(1, 3, 10), validation_ratio=20)
ROWS = 4000


def sky(seed: int, lenses: int = 60, systems: bool = True) -> tuple[LabelRows, NDArray[np.int64], NDArray[np.bool_]]:
    """Labels with pairs of lenses 10 arcsec apart and a few near ones; identities; validity."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(ROWS, lenses + 20, replace=False)
    ra, dec = rng.uniform(0, 360, len(rows)), rng.uniform(-89, 89, len(rows))
    pair = rng.permutation(lenses)[: lenses // 2]
    ra[pair[1::2]], dec[pair[1::2]] = ra[pair[::2]][: len(pair[1::2])], dec[pair[::2]][: len(pair[1::2])] + 10 / 3600
    ids = rng.permutation(10 * ROWS)[:ROWS].astype(np.int64)
    system = np.arange(len(rows)) if systems else np.full(len(rows), -1)
    labels = LabelRows(rows, ids[rows], ra, dec, np.arange(len(rows)) < lenses, system)
    return labels, ids, rng.random(ROWS) < 0.98


def draw(
    labels: LabelRows, ids: NDArray[np.int64], valid: NDArray[np.bool_], block: int = ROWS, config: SplitConfig = CONFIG
) -> Splits:
    spans = range(0, len(ids), block)
    return draw_splits(
        labels, ((start, ids[start : start + block], valid[start : start + block]) for start in spans), config
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), block=st.sampled_from([97, 1000, ROWS]))
def test_no_leakage_between_parts(seed: int, block: int) -> None:
    labels, ids, valid = sky(seed)
    splits = draw(labels, ids, valid, block)
    rows = np.concatenate([part.rows for part in splits.parts.values()])
    assert len(rows) == len(np.unique(rows))
    assert valid[rows].all()
    listed_not_lens = labels.row[~labels.is_lens]
    assert not np.isin(rows, listed_not_lens).any()
    lenses = labels.row[labels.is_lens]
    assert not np.isin(np.concatenate([part.nonlenses for part in splits.parts.values()]), lenses).any()
    group = dict(zip(lenses, sky_groups(labels.ra[labels.is_lens], labels.dec[labels.is_lens], 35.57), strict=True))
    sides = [{group[row] for row in part.lenses} for part in splits.parts.values()]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_draws_are_nested_and_do_not_depend_on_blocks_or_order(seed: int) -> None:
    labels, ids, valid = sky(seed)
    whole, pieces = draw(labels, ids, valid), draw(labels, ids, valid, block=131)
    small = draw(labels, ids, valid, config=SplitConfig(ratios=(1, 3), validation_ratio=5))
    for name in PARTS:
        np.testing.assert_array_equal(whole.parts[name].rows, pieces.parts[name].rows)
        few = small.parts[name].nonlenses
        np.testing.assert_array_equal(few, whole.parts[name].nonlenses[: len(few)])
    shuffled = np.random.default_rng(seed).permutation(ROWS)
    where = np.argsort(shuffled)
    moved = LabelRows(where[labels.row], labels.ls_id, labels.ra, labels.dec, labels.is_lens, labels.system)
    again = draw(moved, ids[shuffled], valid[shuffled])
    assert set(ids[whole.train.nonlenses]) == set(ids[shuffled][again.train.nonlenses])


def test_shares_ratios_and_seed() -> None:
    labels, ids, valid = sky(1, lenses=200)
    splits = draw(labels, ids, valid)
    counts = [len(part.lenses) for part in splits.parts.values()]
    assert abs(counts[0] - 140) < 8
    assert abs(counts[1] - 40) < 6
    assert len(splits.train.nonlenses) == 10 * counts[0]
    assert ratios_that_fit(splits.train, (1, 10, 100)) == ([1, 10], [100])
    other = draw(labels, ids, valid, config=CONFIG.model_copy(update={"seed": 1}))
    assert set(other.train.lenses) != set(splits.train.lenses)


def test_objects_of_one_system_stay_together() -> None:
    ra, dec = np.array([10.0, 11.0, 12.0, 10.0]), np.array([0.0, 0.0, 0.0, 5 / 3600])
    assert sky_groups(ra, dec, 30, np.array([7, 7, -1, -1])).tolist() == [0, 0, 1, 0]
    across = sky_groups(np.array([359.999, 0.001]), np.array([0.0, 0.0]), 10)
    assert across[0] == across[1]


def test_a_part_without_lenses_is_refused() -> None:
    labels, ids, valid = sky(0, lenses=2)
    with pytest.raises(InputError, match="part has no lens"):
        draw(labels, ids, valid)


def test_hash_is_uniform_and_stable() -> None:
    values = hashed(np.arange(100_000), seed=0, purpose=2)
    assert abs(np.mean(values / 2.0**64) - 0.5) < 0.005
    assert len(np.unique(values)) == 100_000
    assert hashed(np.array([1, 2]), 0, 2).tolist() == hashed(np.array([2, 1]), 0, 2)[::-1].tolist()


def test_shared_lenses_are_those_of_both_parts_and_nonlenses_stay_apart() -> None:
    labels, ids, valid = sky(3)
    alone = draw(labels, ids, valid)
    shared = draw_splits(labels, [(0, ids, valid)], CONFIG, shared=True)
    lenses = np.sort(np.concatenate([alone.train.lenses, alone.validation.lenses]))
    np.testing.assert_array_equal(shared.train.lenses, lenses)
    np.testing.assert_array_equal(shared.validation.lenses, lenses)
    np.testing.assert_array_equal(shared.test.rows, alone.test.rows)
    assert shared.train.fits(10)
    assert not np.isin(shared.train.nonlenses, shared.validation.nonlenses).any()
    np.testing.assert_array_equal(shared.train.nonlenses[: len(alone.train.nonlenses)], alone.train.nonlenses)
