"""The Legacy Surveys' bricks: their numbers and centres, and where on the footprint the simulated sky lies."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BRICK_DEG = 0.25
CELLS = 10
CELL_ARCSEC = 88.0
ANCHOR_ARCSEC = 8.0
"""Scenes sit in the cells of a grid, this far at most from a cell's middle, so that two scenes never overlap."""
FOOTPRINT = (
    (-15.0, 30.0, 120.0, 245.0),
    (-15.0, 30.0, 320.0, 360.0),
    (-15.0, 30.0, 0.0, 45.0),
    (-60.0, -15.0, 0.0, 85.0),
)
"""A rough outline of the south: dec from, dec to, ra from, ra to [deg]; ra = 0 lies inside it."""


@dataclass(frozen=True)
class Bricks:
    """Bricks (N): number, centre [deg]."""

    brickid_n: Ints
    ra_n: Floats
    dec_n: Floats


@cache
def all_bricks() -> Bricks:
    """Every brick of the sky, by the survey's rule (rows of 0.25 degrees, an even number of columns in each).

    Returns:
        662,174 bricks; brickid counts from 1.
    """
    centres = np.arange(-90, 90 + BRICK_DEG, BRICK_DEG)
    low = np.radians(np.maximum(np.abs(centres) - BRICK_DEG / 2, 0))
    columns = (2 * np.ceil(360 / BRICK_DEG * np.cos(low) / 2)).astype(np.int64)
    columns[[0, -1]] = 1
    row = np.repeat(np.arange(len(centres)), columns)
    column = np.arange(len(row)) - np.repeat(np.cumsum(columns) - columns, columns)
    return Bricks(np.arange(1, len(row) + 1), (column + 0.5) * 360 / columns[row], centres[row])


@cache
def footprint() -> Bricks:
    """Bricks of the simulated footprint, in an order that spreads any first few over the whole of it."""
    sky = all_bricks()
    inside = np.zeros(len(sky.brickid_n), dtype=bool)
    for south, north, west, east in FOOTPRINT:
        inside |= (sky.dec_n > south) & (sky.dec_n < north) & (sky.ra_n > west) & (sky.ra_n < east)
    chosen = np.flatnonzero(inside)
    chosen = chosen[np.random.default_rng(662_174).permutation(len(chosen))]
    return Bricks(sky.brickid_n[chosen], sky.ra_n[chosen], sky.dec_n[chosen])


def place_scenes(rng: np.random.Generator, first_brick: int, scenes: int) -> tuple[Ints, Floats, Floats]:
    """Put scenes into bricks, CELLS x CELLS a brick.

    Args:
        rng: source of randomness.
        first_brick: position in the footprint's order of the first brick to use.
        scenes: how many.

    Returns:
        brickid (S,), ra (S,) and dec (S,) of the scenes' anchors [deg].
    """
    bricks = footprint()
    per_brick = CELLS * CELLS
    brick = first_brick + np.arange(scenes) // per_brick
    cell = np.concatenate([rng.permutation(per_brick) for _ in range(-(-scenes // per_brick))])[:scenes]
    middle = (CELLS - 1) / 2
    shift = rng.uniform(-ANCHOR_ARCSEC, ANCHOR_ARCSEC, (scenes, 2))
    east = (cell % CELLS - middle) * CELL_ARCSEC + shift[:, 0]
    north = (cell // CELLS - middle) * CELL_ARCSEC + shift[:, 1]
    dec = bricks.dec_n[brick] + north / 3600
    ra = bricks.ra_n[brick] + east / 3600 / np.cos(np.radians(dec))
    return bricks.brickid_n[brick], ra % 360, dec


def offset_position(
    ra_n: Floats, dec_n: Floats, east_arcsec_n: Floats, north_arcsec_n: Floats
) -> tuple[Floats, Floats]:
    """Positions a little beside others (flat sky: good to 1e-4 arcsec over the half arcminute used here).

    Args:
        ra_n, dec_n: positions (N,) [deg].
        east_arcsec_n, north_arcsec_n: offsets (N,) [arcsec].

    Returns:
        ra (N,), dec (N,) [deg].
    """
    dec = dec_n + north_arcsec_n / 3600
    return (ra_n + east_arcsec_n / 3600 / np.cos(np.radians(dec_n))) % 360, dec
