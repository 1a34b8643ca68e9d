"""Object identity within a release (FACTS: Survey): one int64 from (release, brickid, objid)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenscore.errors import InputError

RELEASE_SHIFT = 40
BRICK_SHIFT = 16
MAX_RELEASE = 1 << 22
MAX_BRICK = 1 << 24
MAX_OBJECT = 1 << 16

NO_ID = -1
"""ls_id of a row whose identity is not known."""


def encode(release: ArrayLike, brickid: ArrayLike, objid: ArrayLike) -> NDArray[np.int64]:
    """Pack identities into ls_id.

    Args:
        release: survey release numbers (N,).
        brickid: brick numbers (N,).
        objid: object numbers within the brick (N,).

    Returns:
        ls_id (N,) int64 = release << 40 | brickid << 16 | objid.

    Raises:
        InputError: a part is negative or too large for its bits.
    """
    parts = [np.atleast_1d(np.asarray(part, dtype=np.int64)) for part in (release, brickid, objid)]
    names, limits = ("release", "brickid", "objid"), (MAX_RELEASE, MAX_BRICK, MAX_OBJECT)
    for part, name, limit in zip(parts, names, limits, strict=True):
        bad = (part < 0) | (part >= limit)
        if bad.any():
            raise InputError(
                f"{name} = {part[bad][0]} is outside 0..{limit - 1}", "check the source table's identity columns"
            )
    return parts[0] << RELEASE_SHIFT | parts[1] << BRICK_SHIFT | parts[2]


def decode(ls_id: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Unpack ls_id.

    Args:
        ls_id: identities (N,) int64.

    Returns:
        (release, brickid, objid), each (N,) int64.
    """
    ids = np.atleast_1d(np.asarray(ls_id, dtype=np.int64))
    return ids >> RELEASE_SHIFT, ids >> BRICK_SHIFT & (MAX_BRICK - 1), ids & (MAX_OBJECT - 1)
