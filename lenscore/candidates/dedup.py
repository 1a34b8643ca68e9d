"""Best first, and nothing else near it: one galaxy group gives one candidate (paper 4.3)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenscore.survey.sky_geometry import close_pairs

NOBODY = -1


@dataclass(frozen=True)
class Picked:
    """What became of each row.

    Attributes:
        picked_n: it is a candidate (N,).
        reached_n: its turn came while its group had room (N,).
        suppressor_n: index of the better row near by that took its place; -1 for none (N,).
    """

    picked_n: NDArray[np.bool_]
    reached_n: NDArray[np.bool_]
    suppressor_n: NDArray[np.int64]


def pick_best(
    ra_n: ArrayLike,
    dec_n: ArrayLike,
    group_n: ArrayLike,
    budget_g: ArrayLike,
    barred_n: ArrayLike,
    radius_arcsec: float,
) -> Picked:
    """Go down a list, taking each row that has no taken row near by, until its group is full.

    Rows of all groups suppress one another. A row that is barred or comes too late neither counts nor suppresses.
    Time and memory grow with the list, and with the pairs within it.

    Args:
        ra_n, dec_n: rows, best first (N,) [deg].
        group_n: group of each (N,).
        budget_g: rows to take in each group (G,).
        barred_n: rows never to be taken (N,).
        radius_arcsec: rows this near to a taken one are not taken [arcsec].

    Returns:
        What became of each row.
    """
    ra, dec, group = np.asarray(ra_n, float), np.asarray(dec_n, float), np.asarray(group_n).tolist()
    near = _later_neighbours(ra, dec, radius_arcsec)
    room, barred = np.asarray(budget_g).tolist(), np.asarray(barred_n, dtype=bool).tolist()
    picked, reached = np.zeros(len(ra), dtype=bool), np.zeros(len(ra), dtype=bool)
    suppressor = np.full(len(ra), NOBODY, dtype=np.int64)
    for row in range(len(ra)):
        if room[group[row]] == 0:
            continue
        reached[row] = True
        if barred[row] or suppressor[row] != NOBODY:
            continue
        picked[row] = True
        room[group[row]] -= 1
        for other in near.get(row, ()):
            if suppressor[other] == NOBODY:
                suppressor[other] = row
    return Picked(picked, reached, suppressor)


def _later_neighbours(ra: NDArray[np.float64], dec: NDArray[np.float64], radius_arcsec: float) -> dict[int, list[int]]:
    pairs = close_pairs(ra, dec, ra, dec, radius_arcsec)
    later = pairs.target_p > pairs.object_p
    near: dict[int, list[int]] = {}
    for row, other in zip(pairs.object_p[later].tolist(), pairs.target_p[later].tolist(), strict=True):
        near.setdefault(row, []).append(other)
    return near
