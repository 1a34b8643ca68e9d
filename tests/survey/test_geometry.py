"""Geometry against brute force, with the poles and ra = 0 where they hurt."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lenscore.errors import InputError
from lenscore.survey.sky_geometry import (
    TargetIndex,
    close_pairs,
    good_positions,
    position_fault,
    separation_arcsec,
    unit_vectors,
)

RA = st.floats(0, 360)
DEC = st.floats(-90, 90)
# Positions crowd where mistakes would hide: at both poles, on both sides of ra = 0, and at cell borders.
CENTRES = st.sampled_from([(0.0, 0.0), (360.0, 12.35), (0.0, -89.999), (123.4, 90.0), (200.0, -90.0), (45.05, 30.0)])


@st.composite
def crowds(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Positions within about 0.02 degrees of an awkward centre."""
    ra, dec = draw(CENTRES)
    number = draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dec_n = np.clip(dec + rng.normal(0, 0.01, number), -90, 90)
    ra_n = (ra + rng.normal(0, 0.01, number) / np.maximum(np.cos(np.radians(dec_n)), 1e-4)) % 360
    return ra_n, dec_n


def brute_force(ra_n, dec_n, ra_t, dec_t):
    """Angles of all pairs, from cross and scalar products [arcsec]."""
    first, second = unit_vectors(ra_n, dec_n)[:, None], unit_vectors(ra_t, dec_t)[None]
    cross = np.linalg.norm(np.cross(first, second), axis=-1)
    return np.degrees(np.arctan2(cross, (first * second).sum(-1))) * 3600


@given(crowds(), crowds(), st.sampled_from([1.0, 25.15, 100.0, 3600.0]))
@settings(max_examples=60, deadline=None)
def test_index_finds_what_brute_force_finds(objects, targets, radius_arcsec):
    angle = brute_force(*objects, *targets)
    found = TargetIndex(*targets, radius_arcsec).pairs(*objects)
    inside = set(zip(*np.nonzero(angle < radius_arcsec - 1e-6), strict=True))
    reach = set(zip(*np.nonzero(angle < radius_arcsec + 1e-6), strict=True))
    pairs = set(zip(found.object_p.tolist(), found.target_p.tolist(), strict=True))
    assert inside <= pairs <= reach
    np.testing.assert_allclose(found.separation_arcsec_p, angle[found.object_p, found.target_p], atol=1e-6)


@given(st.lists(st.tuples(RA, DEC), min_size=1, max_size=40), st.lists(st.tuples(RA, DEC), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_index_agrees_on_the_whole_sky(objects, targets):
    (ra_n, dec_n), (ra_t, dec_t) = np.array(objects).T, np.array(targets).T
    radius_arcsec = 36000.0
    angle = brute_force(ra_n, dec_n, ra_t, dec_t)
    found = TargetIndex(ra_t, dec_t, radius_arcsec).pairs(ra_n, dec_n)
    close = np.abs(angle - radius_arcsec) < 1e-3
    flags = np.zeros(angle.shape, dtype=bool)
    flags[found.object_p, found.target_p] = True
    assert ((flags == (angle <= radius_arcsec)) | close).all()


@given(crowds(), st.floats(0.01, 60))
@settings(max_examples=40, deadline=None)
def test_pairs_are_symmetric_and_sorted(crowd, radius_arcsec):
    pairs = close_pairs(*crowd, *crowd, radius_arcsec)
    forward = list(zip(pairs.object_p.tolist(), pairs.target_p.tolist(), strict=True))
    assert forward == sorted(forward)
    assert {(b, a) for a, b in forward} == set(forward)
    assert {(i, i) for i in range(len(crowd[0]))} <= set(forward)


def test_separation_is_exact_for_tiny_angles_and_poles():
    assert separation_arcsec([10.0], [20.0], 10.0, 20.0 + 1e-9)[0] == pytest.approx(3.6e-6, rel=1e-4)
    assert separation_arcsec([0.0], [89.9], 180.0, 89.9)[0] == pytest.approx(0.2 * 3600)
    assert separation_arcsec([359.9999], [0.0], 0.0001, 0.0)[0] == pytest.approx(0.72)


def test_edge_positions_need_no_special_case():
    index = TargetIndex([0.0, 360.0, 10.0, 10.0], [0.0, 5.0, 90.0, -90.0], 25.15)
    pairs = index.pairs(
        np.array([360.0, 0.0, np.nextafter(360, 0), 200.0, 300.0]), np.array([0.0, 5.0, 0.0, 90.0, -90.0])
    )
    assert pairs.object_p.tolist() == [0, 1, 2, 3, 4]
    assert pairs.target_p.tolist() == [0, 1, 0, 2, 3]


def test_most_of_the_sky_is_thrown_out_at_once():
    rng = np.random.default_rng(1)
    index = TargetIndex(rng.uniform(0, 360, 3000), np.degrees(np.arcsin(rng.uniform(-1, 1, 3000))), 25.15)
    near = index.near(rng.uniform(0, 360, 100_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 100_000))))
    assert len(near) < 100


def test_an_index_travels_to_workers():
    index = copy.copy(TargetIndex([1.0], [2.0], 10.0))  # as Dask takes it apart
    assert index.pairs(np.array([1.0]), np.array([2.001])).object_p.tolist() == [0]


def test_no_targets_and_no_objects():
    assert len(TargetIndex([], [], 25.15).pairs(np.array([1.0]), np.array([1.0])).object_p) == 0
    assert len(TargetIndex([1.0], [1.0], 25.15).pairs(np.empty(0), np.empty(0)).object_p) == 0


def test_bad_positions_are_told_apart():
    ra, dec = np.array([0.0, 360.0, -0.1, 360.1, np.nan, 10.0, np.inf]), np.array([90.0, -90.0, 0, 0, 0, 90.5, 0])
    assert good_positions(ra, dec).tolist() == [True, True, False, False, False, False, False]
    faults = [position_fault(*pair) for pair in zip(ra.tolist(), dec.tolist(), strict=True)]
    assert faults[:2] == ["", ""]
    assert "-0.1" in faults[2]
    assert "not a number" in faults[4]
    assert "90.5" in faults[5]


@pytest.mark.parametrize("radius", [0.0, -1.0, 36000.1, float("nan")])
def test_odd_radius_is_refused(radius):
    with pytest.raises(InputError, match="radius"):
        TargetIndex([1.0], [1.0], radius)


def test_bad_target_is_refused():
    with pytest.raises(InputError, match="position"):
        TargetIndex([1.0], [np.nan], 1.0)
