"""The survey's bricks: 0.25 degree tiles in rows of declination, numbered from the south pole (DR9 documentation)."""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenscore.errors import InputError

SIDE_DEG = 0.25
ROWS = 721
"""Rows of bricks; the first and the last are the polar caps, one brick each."""


@lru_cache(1)
def _columns() -> NDArray[np.int64]:
    """Bricks in each row: the least even number that makes none wider than SIDE_DEG."""
    inner_deg = np.abs(-90.0 + SIDE_DEG * np.arange(ROWS)) - SIDE_DEG / 2
    columns = (np.ceil(360 / SIDE_DEG * np.cos(np.radians(inner_deg)) / 2) * 2).astype(np.int64)
    columns[[0, -1]] = 1
    return columns


@lru_cache(1)
def _before() -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(_columns())])


def brick_at(ra_deg: ArrayLike, dec_deg: ArrayLike) -> NDArray[np.int64]:
    """The brick that owns each position.

    Args:
        ra_deg: right ascensions (N,).
        dec_deg: declinations (N,).

    Returns:
        BRICKID (N,), from 1.
    """
    row = np.clip(np.floor((np.atleast_1d(dec_deg) + 90.0) / SIDE_DEG + 0.5).astype(np.int64), 0, ROWS - 1)
    columns = _columns()[row]
    column = np.minimum((np.atleast_1d(ra_deg) % 360.0 / 360.0 * columns).astype(np.int64), columns - 1)
    return _before()[row] + column + 1


def brick_centre(brickid: int) -> tuple[float, float]:
    """Centre of a brick.

    Returns:
        (ra, dec), deg.

    Raises:
        InputError: there is no such brick.
    """
    if not 1 <= brickid <= _before()[-1]:
        raise InputError(f"BRICKID = {brickid} is outside 1..{_before()[-1]}", "check the column BRICKID")
    row = int(np.searchsorted(_before(), brickid - 1, side="right")) - 1
    width = 360.0 / _columns()[row]
    return float((brickid - 1 - _before()[row] + 0.5) * width), -90.0 + SIDE_DEG * row


def brick_name(brickid: int) -> str:
    """Name of a brick, as 0591m305: ten times its right ascension, sign, ten times its declination."""
    ra, dec = brick_centre(brickid)
    return f"{int(ra * 10):04d}{'p' if dec >= 0 else 'm'}{int(abs(dec) * 10):03d}"
