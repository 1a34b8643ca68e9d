"""Positions on the sky: checks, unit vectors, separations, and which objects lie near any of a list of targets.

Shape suffixes: N objects, T targets, P pairs. All angles are ICRS degrees unless named otherwise.
"""

from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from lenscore.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

ARCSEC_PER_DEG = 3600.0
MAX_RADIUS_ARCSEC = 10 * ARCSEC_PER_DEG
CELL_DEG = 0.05
"""Side of a grid cell. Smaller cells pass fewer objects on, larger ones fit the processor's cache. So: 17 million
flags, which let 0.3 % of the objects through to the exact check against 32,838 lenses."""


def good_positions(ra_n: ArrayLike, dec_n: ArrayLike) -> Bools:
    """Which positions can be used.

    Args:
        ra_n: right ascension (N,) [deg].
        dec_n: declination (N,) [deg].

    Returns:
        True where both are finite, 0 <= ra <= 360 and -90 <= dec <= 90 (N,).
    """
    ra, dec = np.asarray(ra_n, dtype=np.float64), np.asarray(dec_n, dtype=np.float64)
    if _all_good(ra, dec):
        return np.ones(ra.shape, dtype=bool)
    return (ra >= 0) & (ra <= 360) & (dec >= -90) & (dec <= 90)


def position_fault(ra: float, dec: float) -> str:
    """Say what is wrong with a position.

    Args:
        ra: right ascension [deg].
        dec: declination [deg].

    Returns:
        One phrase with the value; "" for a good position.
    """
    if not np.isfinite(ra) or not np.isfinite(dec):
        return f"position is not a number (ra = {ra}, dec = {dec})"
    if not 0 <= ra <= 360:
        return f"ra = {ra} is outside 0..360 degrees"
    if not -90 <= dec <= 90:
        return f"dec = {dec} is outside -90..90 degrees"
    return ""


def unit_vectors(ra_n: Floats, dec_n: Floats) -> Floats:
    """Turn positions into unit vectors.

    Args:
        ra_n: right ascension (N,) [deg].
        dec_n: declination (N,) [deg].

    Returns:
        x, y, z (N, 3).
    """
    ra, dec = np.radians(ra_n), np.radians(dec_n)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def separation_arcsec(ra_n: ArrayLike, dec_n: ArrayLike, ra_m: ArrayLike, dec_m: ArrayLike) -> Floats:
    """Angle between positions, pair by pair (haversine: exact for small angles, and at the poles).

    Args:
        ra_n, dec_n: first positions (N,) [deg].
        ra_m, dec_m: second positions (N,), or one [deg].

    Returns:
        Separations (N,) [arcsec].
    """
    dec_1, dec_2 = np.radians(np.asarray(dec_n)), np.radians(np.asarray(dec_m))
    half_ra = np.radians(np.asarray(ra_n) - np.asarray(ra_m)) / 2
    square = np.sin((dec_1 - dec_2) / 2) ** 2 + np.cos(dec_1) * np.cos(dec_2) * np.sin(half_ra) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(np.clip(square, 0, 1)))) * ARCSEC_PER_DEG


def chord(radius_arcsec: float) -> float:
    """Straight distance between unit vectors that far apart, a hair too long so that a search misses nothing.

    Args:
        radius_arcsec: angle [arcsec].

    Returns:
        Chord length, dimensionless.
    """
    return float(2 * np.sin(np.radians(radius_arcsec / ARCSEC_PER_DEG) / 2) * (1 + 1e-7) + 1e-14)


@dataclass(frozen=True)
class Pairs:
    """Pairs of objects and targets.

    Attributes:
        object_p: index of the object (P,).
        target_p: index of the target (P,).
        separation_arcsec_p: angle between them (P,).
    """

    object_p: Ints
    target_p: Ints
    separation_arcsec_p: Floats


def close_pairs(
    ra_n: Floats, dec_n: Floats, ra_t: Floats, dec_t: Floats, radius_arcsec: float, tree_t: cKDTree | None = None
) -> Pairs:
    """All pairs within a radius, by a KD-tree of unit vectors, so poles and ra = 0 are nothing special.

    Args:
        ra_n, dec_n: objects (N,) [deg].
        ra_t, dec_t: targets (T,) [deg].
        radius_arcsec: largest separation, included [arcsec].
        tree_t: the targets' tree, where it was made before.

    Returns:
        Pairs, sorted by object, then target.
    """
    if len(ra_n) == 0 or len(ra_t) == 0:
        return Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    tree_t = tree_t if tree_t is not None else cKDTree(unit_vectors(ra_t, dec_t))
    targets_n = tree_t.query_ball_point(unit_vectors(ra_n, dec_n), chord(radius_arcsec), return_sorted=True)
    objects = np.repeat(np.arange(len(ra_n)), [len(targets) for targets in targets_n])
    targets = np.fromiter(chain.from_iterable(targets_n), dtype=np.int64, count=len(objects))
    separation = separation_arcsec(ra_n[objects], dec_n[objects], ra_t[targets], dec_t[targets])
    inside = separation <= radius_arcsec
    return Pairs(objects[inside], targets[inside], separation[inside])


class TargetIndex:
    """Finds all objects of a long stream that lie near any of a list of targets.

    The sky is cut into cells: bands of declination, each cut evenly in ra into as many cells as keep them square.
    A table holds one flag a cell: does any target's circle touch it. One look-up an object throws out nearly all
    of them; a KD-tree decides about the rest. Memory: 17 MB for the table, and 100 bytes a target.

    Args:
        ra_t, dec_t: targets (T,) [deg], all good positions.
        radius_arcsec: largest separation, included [arcsec].

    Raises:
        InputError: the radius is not within 0..10 degrees, or a position is bad.
    """

    def __init__(self, ra_t: ArrayLike, dec_t: ArrayLike, radius_arcsec: float) -> None:
        self.ra_t, self.dec_t = np.asarray(ra_t, dtype=np.float64), np.asarray(dec_t, dtype=np.float64)
        self.radius_arcsec = float(radius_arcsec)
        if not 0 < self.radius_arcsec <= MAX_RADIUS_ARCSEC:
            raise InputError(f"radius {radius_arcsec} arcsec is outside 0..{MAX_RADIUS_ARCSEC:g}", "give one in arcsec")
        if not good_positions(self.ra_t, self.dec_t).all():
            raise InputError("a target has no usable position", "set such rows aside first")
        self._tree = cKDTree(unit_vectors(self.ra_t, self.dec_t)) if len(self.ra_t) else None
        self._chord = chord(self.radius_arcsec)
        self._lay_out_cells()
        self._flags = self._touched_cells()

    def __reduce__(self) -> tuple[type["TargetIndex"], tuple[Floats, Floats, float]]:
        # Sent to a Dask worker as positions, and built again there: smaller than the table.
        return TargetIndex, (self.ra_t, self.dec_t, self.radius_arcsec)

    def near(self, ra_n: Floats, dec_n: Floats) -> Ints:
        """Objects that may have a target near by: all that have one, and a few that do not.

        Args:
            ra_n, dec_n: objects (N,) [deg], all good positions.

        Returns:
            Their indices, rising.
        """
        band = ((dec_n + 90.0) * self._bands_per_deg).astype(np.int32)
        cell = (ra_n * self._cells_per_deg[band]).astype(np.int32)
        cell += self._first_cell[band]
        return np.flatnonzero(self._flags[cell])

    def pairs(self, ra_n: Floats, dec_n: Floats) -> Pairs:
        """Objects with their targets.

        Args:
            ra_n, dec_n: objects (N,) [deg], all good positions.

        Returns:
            All pairs within the radius, sorted by object, then target.
        """
        near = self.near(ra_n, dec_n)
        if self._tree is not None and len(near):
            nearest, _ = self._tree.query(unit_vectors(ra_n[near], dec_n[near]), distance_upper_bound=self._chord)
            near = near[np.isfinite(nearest)]
        found = close_pairs(ra_n[near], dec_n[near], self.ra_t, self.dec_t, self.radius_arcsec, self._tree)
        return Pairs(near[found.object_p], found.target_p, found.separation_arcsec_p)

    def _lay_out_cells(self) -> None:
        side_deg = max(CELL_DEG, 4 * self.radius_arcsec / ARCSEC_PER_DEG)
        bands = int(np.ceil(180 / side_deg))
        edges = np.linspace(-90, 90, bands + 1)
        widest = np.maximum(np.cos(np.radians(edges[:-1])), np.cos(np.radians(edges[1:])))
        self._cells = np.maximum(1, (360 * widest / side_deg).astype(np.int64))
        self._bands_per_deg = bands / 180
        # One cell more in each band for ra = 360, one band more for dec = 90: no object needs a special case.
        self._cells_per_deg = np.append(self._cells, 1) / 360.0
        self._first_cell = np.append(0, np.cumsum(self._cells + 1)).astype(np.int32)

    def _touched_cells(self) -> Bools:
        flags = np.zeros(int(self._first_cell[-1]) + 2, dtype=bool)
        reach_deg = self.radius_arcsec / ARCSEC_PER_DEG * (1 + 1e-6) + 1e-9
        bands = len(self._cells)
        low = np.clip(((self.dec_t - reach_deg + 90) * self._bands_per_deg).astype(np.int64), 0, bands - 1)
        high = np.clip(((self.dec_t + reach_deg + 90) * self._bands_per_deg).astype(np.int64), 0, bands - 1)
        target, band = expand_ranges(low, high - low + 1)
        cells, half_ra_deg = self._cells[band], ra_reach_deg(self.dec_t, reach_deg)[target]
        west = np.floor((self.ra_t[target] - half_ra_deg) * cells / 360).astype(np.int64)
        east = np.floor((self.ra_t[target] + half_ra_deg) * cells / 360).astype(np.int64)
        item, cell = expand_ranges(west, np.minimum(east - west + 1, cells))
        flags[self._first_cell[band[item]] + cell % cells[item]] = True
        flags[self._first_cell[1:] - 1] = flags[self._first_cell[:-1]]  # ra = 360 is ra = 0
        flags[self._first_cell[-1] :] = flags[
            self._first_cell[-2] : self._first_cell[-1]
        ].any()  # dec = 90: the last band
        return flags


def ra_reach_deg(dec_t: Floats, radius_deg: float) -> Floats:
    """How far in ra a circle on the sky reaches to either side.

    Args:
        dec_t: centres' declination (T,) [deg].
        radius_deg: the circle's radius [deg].

    Returns:
        asin(sin r / cos dec) (T,) [deg], 180 where the circle holds a pole.
    """
    sine = np.sin(np.radians(radius_deg)) / np.maximum(np.cos(np.radians(dec_t)), 1e-300)
    holds_pole = np.abs(dec_t) + radius_deg >= 90
    return np.where(holds_pole, 180.0, np.degrees(np.arcsin(np.clip(sine, 0, 1))) + 1e-9)


def expand_ranges(first_n: Ints, count_n: Ints) -> tuple[Ints, Ints]:
    """Write out ranges one element a row.

    Args:
        first_n: first element of each range (N,).
        count_n: its length (N,).

    Returns:
        (range number, element), each with sum(count_n) entries.
    """
    owner = np.repeat(np.arange(len(first_n)), count_n)
    offset = np.arange(len(owner)) - np.repeat(np.cumsum(count_n) - count_n, count_n)
    return owner, first_n[owner] + offset


def _all_good(ra: Floats, dec: Floats) -> bool:
    # Four reductions are quicker than four arrays of flags; a NaN makes each comparison false.
    return bool(ra.size == 0 or (ra.min() >= 0 and ra.max() <= 360 and dec.min() >= -90 and dec.max() <= 90))
