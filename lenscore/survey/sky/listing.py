"""What a release lists of a block: which objects, in which order, under which numbers, with which faults."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lenscore.survey.sky.block import MEASURED, Block, epoch, generator
from lenscore.survey.sky.config import SkyConfig

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Strings = NDArray[np.str_]

RELEASE_NUMBERS = {1: 9901, 2: 9902}
"""RELEASE of the two simulated releases; the survey uses 9010-9012."""
JITTER_LIMIT_ARCSEC = 0.05
IMAGE_FLAWS = ("missing band", "NaN", "no valid pixel")
ROW_FLAWS = (
    "ra is not a number",
    "ra out of range",
    "dec out of range",
    "duplicate id",
    "unknown type",
    "flux is not a number",
)


@dataclass(frozen=True)
class Listing:
    """Rows (R) of a block in a release.

    Attributes:
        object_r: the object, by its index in the block; objects of a scene follow each other.
        objid_r: number within the brick.
        east_arcsec_r, north_arcsec_r: measured offset from the scene's anchor.
        image_flaw_r: one of IMAGE_FLAWS, or "". flawed_band_r: which band (0..2).
        row_flaw_r: one of ROW_FLAWS, or "".
    """

    object_r: Ints
    objid_r: Ints
    east_arcsec_r: Floats
    north_arcsec_r: Floats
    image_flaw_r: Strings
    flawed_band_r: Ints
    row_flaw_r: Strings


@lru_cache(maxsize=4)
def list_release(config: SkyConfig, block: Block) -> Listing:
    """List a block's objects as the configured release does.

    Args:
        config: settings.
        block: the universe's block.

    Returns:
        The listing; config.block_rows(block.number) rows.
    """
    rng = generator(config, MEASURED, block.number, epoch(config))
    objects = _order(rng, block, block.first_n if epoch(config) == 1 else block.second_n)
    east, north = (_measure(rng, config, offset[objects]) for offset in (block.east_arcsec_n, block.north_arcsec_n))
    bad_image, bad_row = rng.random(len(objects)), rng.random(len(objects))
    image_flaw = np.where(bad_image < config.bad_image_fraction, rng.choice(IMAGE_FLAWS, len(objects)), "")
    row_flaw = np.where(bad_row < config.bad_row_fraction, rng.choice(ROW_FLAWS, len(objects)), "")
    row_flaw = np.where((image_flaw != "") | (block.galaxies.kind_n[objects] == "lens"), "", row_flaw)
    row_flaw[:1] = ""  # a duplicate repeats the row before it
    objid = _number(rng, block.scenes.brickid_s[block.scene_n[objects]])
    return Listing(objects, objid, east, north, image_flaw, rng.integers(0, 3, len(objects)), row_flaw)


def _order(rng: np.random.Generator, block: Block, listed_n: NDArray[np.bool_]) -> Ints:
    """Objects by brick; within it scenes, and within them objects, in an order of the release's own."""
    objects = rng.permutation(np.flatnonzero(listed_n))
    shuffled = rng.permutation(len(block.scenes.members_s))
    scene = block.scene_n[objects]
    return objects[np.lexsort((shuffled[scene], block.scenes.brickid_s[scene]))]


def _number(rng: np.random.Generator, brickid_r: Ints) -> Ints:
    """Object numbers, rising within each brick with gaps, as in a survey that drops some detections."""
    steps = rng.integers(1, 20, len(brickid_r))
    total = np.cumsum(steps)
    starts = (
        np.flatnonzero(np.append(True, brickid_r[1:] != brickid_r[:-1])) if len(brickid_r) else np.empty(0, np.int64)
    )
    rows = np.diff(np.append(starts, len(brickid_r)))
    return np.asarray(total - np.repeat(total[starts], rows) + rng.integers(0, 20))


def _measure(rng: np.random.Generator, config: SkyConfig, offset: Floats) -> Floats:
    error = np.clip(config.jitter_arcsec * rng.standard_normal(len(offset)), -JITTER_LIMIT_ARCSEC, JITTER_LIMIT_ARCSEC)
    return np.asarray(offset + error)
