"""The universe, drawn block by block: scenes on the sky, the objects in them, and which release lists which."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lenscore.survey.sky.bricks import place_scenes
from lenscore.survey.sky.config import SkyConfig
from lenscore.survey.sky.deflectors import draw_deflectors
from lenscore.survey.sky.imaging import Imaging, deepen, draw_imaging
from lenscore.survey.sky.population import Galaxies, draw_galaxies

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Strings = NDArray[np.str_]

BRICKS_PER_BLOCK = 18
"""Room for a scene a row, and for the rows that only the other release lists (changed_fraction up to 0.4)."""
MEAN_COMPANIONS = 1.6
MAX_COMPANIONS = 5
COMPANION_NEAR_ARCSEC = 4.0
COMPANION_FAR_ARCSEC = 18.0

UNIVERSE, SHAPES, FRAMES, SURROUNDINGS, ARCS, LISTS, NOISE, MEASURED, FLUXES, DEEPER = range(10)
"""Streams of random numbers: draws of one kind never shift those of another."""


def generator(config: SkyConfig, stream: int, *key: int) -> np.random.Generator:
    """Random numbers that depend on the seed and on what they are for, not on the order of work.

    Args:
        config: holds the seed.
        stream: one of the constants above.
        key: block, scene or object, release.

    Returns:
        A generator.
    """
    return np.random.default_rng([config.seed, stream, *key])


@dataclass(frozen=True)
class Scenes:
    """Places on the sky (S), each with a galaxy and perhaps companions.

    Attributes:
        kind_s: kind of the central object.
        members_s: objects of the catalogue in it.
        brickid_s, ra_s, dec_s: brick and anchor [deg].
        bright_star_s: a bright foreground star stands in it.
        imaging_s: imaging of the first release.
    """

    kind_s: Strings
    members_s: Ints
    brickid_s: Ints
    ra_s: Floats
    dec_s: Floats
    bright_star_s: Bools
    imaging_s: Imaging


@dataclass(frozen=True, eq=False)
class Block:
    """A block of the universe, the same for both releases.

    Attributes:
        number: which block.
        scenes: the places (S).
        scene_n: scene of each object (N); a scene's central object comes first.
        central_n: the object is its scene's central one (N).
        galaxies: the objects (N).
        east_arcsec_n, north_arcsec_n: offsets from the anchor (N).
        first_n, second_n: listed by demo-dr1, by demo-dr2 (N).
    """

    number: int
    scenes: Scenes
    scene_n: Ints
    central_n: Bools
    galaxies: Galaxies
    east_arcsec_n: Floats
    north_arcsec_n: Floats
    first_n: Bools
    second_n: Bools

    @property
    def sky_id_n(self) -> Ints:
        """What an object is called in both releases (N)."""
        return (np.int64(self.number) << 16) + np.arange(len(self.scene_n))

    @property
    def lens_n(self) -> Ints:
        """The lenses among the objects."""
        return np.flatnonzero(self.galaxies.kind_n == "lens")


@lru_cache(maxsize=4)
def draw_block(config: SkyConfig, number: int) -> Block:
    """Draw a block of the universe.

    Args:
        config: settings; the release plays no part.
        number: which block, below config.blocks.

    Returns:
        The block: as many objects as both releases list together.
    """
    rng = generator(config, UNIVERSE, number)
    listed = config.block_rows(number)
    changed = round(config.changed_fraction * listed)
    scenes = _draw_scenes(rng, config, number, listed + changed)
    scene = np.repeat(np.arange(len(scenes.members_s)), scenes.members_s)[: listed + changed]
    central = np.append(True, scene[1:] != scene[:-1])
    galaxies, imaging = _draw_objects(rng, config, scenes, scene, central)
    east, north = _draw_offsets(rng, central)
    new, vanished = _draw_changes(rng, galaxies, changed)
    scenes = Scenes(
        scenes.kind_s,
        scenes.members_s,
        scenes.brickid_s,
        scenes.ra_s,
        scenes.dec_s,
        scenes.bright_star_s,
        imaging,
    )
    return Block(number, scenes, scene, central, galaxies, east, north, ~new, ~vanished)


def epoch(config: SkyConfig) -> int:
    """1 for the first release, 2 for the second."""
    return int(config.release[-1])


def release_imaging(config: SkyConfig, block: Block) -> Imaging:
    """Imaging of each scene of a block in the configured release."""
    if epoch(config) == 1:
        return block.scenes.imaging_s
    return deepen(generator(config, DEEPER, block.number), block.scenes.imaging_s, config.second_noise)


def _draw_scenes(rng: np.random.Generator, config: SkyConfig, number: int, objects: int) -> Scenes:
    """More scenes than needed; the caller takes the first that hold `objects`."""
    kind = _draw_kinds(rng, config, objects)
    red = np.isin(kind, ["early", "satellite", "lens"])
    grouped = rng.random(objects) < np.where(red, config.group_early, config.group_late)
    companions = np.minimum(rng.geometric(1 / MEAN_COMPANIONS, objects), MAX_COMPANIONS)
    brickid, ra, dec = place_scenes(rng, number * BRICKS_PER_BLOCK, objects)
    stars = rng.random(objects) < config.bright_star_fraction
    return Scenes(kind, 1 + grouped * companions, brickid, ra, dec, stars, draw_imaging(rng, objects))


def _draw_kinds(rng: np.random.Generator, config: SkyConfig, count: int) -> Strings:
    """Kinds of central objects: rare ones so that they are the configured share of all objects."""
    grow = _objects_per_scene(config)
    shares = {
        "lens": config.lens_fraction,
        "ring": config.ring_fraction,
        "satellite": config.satellite_fraction,
        "merger": config.merger_fraction,
        "spiral": config.spiral_fraction,
        "star": config.star_fraction,
    }
    shares = {kind: share * grow for kind, share in shares.items()}
    rest = max(0.0, 1 - sum(shares.values()))
    shares |= {"early": rest * config.early_share, "late": rest * (1 - config.early_share)}
    weight = np.array(list(shares.values()))
    return rng.choice(list(shares), size=count, p=weight / weight.sum())


def _objects_per_scene(config: SkyConfig) -> float:
    grouped = config.early_share * config.group_early + (1 - config.early_share) * config.group_late
    return 1 + grouped * MEAN_COMPANIONS


def _draw_objects(
    rng: np.random.Generator, config: SkyConfig, scenes: Scenes, scene: Ints, central: Bools
) -> tuple[Galaxies, Imaging]:
    """Central objects, then their companions; and the imaging with the dust in front of each lens."""
    imaging, count = scenes.imaging_s, int(central.sum())
    kind, no_group = scenes.kind_s[:count], np.full(count, np.nan)
    centres = draw_galaxies(rng, config, kind, imaging.ebv_n[:count], np.full(count, config.mag_z_bright), no_group)
    host = scene[~central]
    related = np.isin(kind[host], ["early", "lens", "satellite"]) & (rng.random(len(host)) < 0.6)
    bright = np.minimum(centres.mag_z_n[host] + 0.3, config.mag_z_limit - 0.5)
    companions = draw_galaxies(
        rng,
        config,
        np.where(related | (rng.random(len(host)) < 0.3), "early", "late"),
        imaging.ebv_n[host],
        bright,
        np.where(related, centres.z_n[host], np.nan),
    )
    order = np.argsort(np.append(np.flatnonzero(central), np.flatnonzero(~central)))
    both = [
        np.append(getattr(centres, name), getattr(companions, name))[order] for name in Galaxies.__dataclass_fields__
    ]
    return Galaxies(*both), _dust_of_deflectors(rng, imaging, scenes.kind_s == "lens")


def _dust_of_deflectors(rng: np.random.Generator, imaging: Imaging, lens: Bools) -> Imaging:
    ebv = np.where(lens, draw_deflectors(rng, len(lens)).ebv_n, imaging.ebv_n)
    return Imaging(ebv, imaging.fwhm_arcsec_nc, imaging.noise_nmgy_nc, imaging.nobs_nc)


def _draw_offsets(rng: np.random.Generator, central: Bools) -> tuple[Floats, Floats]:
    """Central objects at the anchor, companions around it, thinning outwards."""
    count = len(central)
    reach = COMPANION_FAR_ARCSEC - COMPANION_NEAR_ARCSEC
    radius = np.where(central, 0.0, COMPANION_NEAR_ARCSEC + reach * rng.random(count) ** 0.7)
    angle = rng.uniform(0, 2 * np.pi, count)
    return radius * np.cos(angle), radius * np.sin(angle)


def _draw_changes(rng: np.random.Generator, galaxies: Galaxies, changed: int) -> tuple[Bools, Bools]:
    """Objects new in the second release (faint ones mostly), and as many others that vanish."""
    count = len(galaxies.kind_n)
    chance = rng.exponential(size=count) / 10 ** (0.3 * (galaxies.mag_z_n - 20))
    rank = np.argsort(np.argsort(chance))
    return rank < changed, (rank >= changed) & (rank < 2 * changed)
