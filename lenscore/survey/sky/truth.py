"""What is really there: the truth table, and which lenses the literature lists."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.survey.sky.arcs import ARC_PX, OVERSAMPLE, Lens, draw_lens
from lenscore.survey.sky.block import LISTS, Block, generator, release_imaging
from lenscore.survey.sky.bricks import offset_position
from lenscore.survey.sky.catalogue import LENSES, TRUTH
from lenscore.survey.sky.config import SkyConfig
from lenscore.survey.sky.imaging import Imaging
from lenscore.survey.sky.listing import list_release
from lenscore.survey.sky.optics import Layer, draw_stamp, painted_profile, sersic_profile, transfer

Floats = NDArray[np.float64]

DEFLECTOR_NOISE = 0.3
"""Share of the deflector's light that counts as noise: an arc has to stand out against it, not only above the sky."""
GRADE_A = 2.5
"""Arcs this many times above the findable limit are grade A."""
REFERENCES = ("Simulated Survey I", "Simulated Survey II", "Simulated Spectroscopic Search")
LISTED_JITTER_ARCSEC = 0.3
LOOK_ALIKES = ("ring", "spiral", "merger", "satellite")


@dataclass(frozen=True)
class LensTruth:
    """A lens of a block: its object, what it is, its arcs' signal to noise in this release and in the first, and how
    it is listed ("" if it is not)."""

    index: int
    lens: Lens
    snr: float
    first_snr: float
    grade: str


def true_lenses(config: SkyConfig, block: Block) -> list[LensTruth]:
    """The lenses of a block. Time: about 15 ms each.

    Args:
        config: settings.
        block: the universe's block.

    Returns:
        A list by object.
    """
    imaging, found = release_imaging(config, block), []
    for index in map(int, block.lens_n):
        lens = draw_lens(config, block, index)
        snr, first = (arc_snr(block, index, lens, seen) for seen in (imaging, block.scenes.imaging_s))
        listed = (
            first >= config.findable_snr
            and generator(config, LISTS, block.number, index).random() < config.known_fraction
        )
        grade = ("A" if first >= GRADE_A * config.findable_snr else "B") if listed else ""
        found.append(LensTruth(index, lens, snr, first, grade))
    return found


def arc_snr(block: Block, index: int, lens: Lens, imaging: Imaging) -> float:
    """Signal to noise of a lens's arcs, all pixels and bands weighted best, a part of the deflector counted as noise.

    Args:
        block: where the lens is.
        index: its object.
        lens: what it is.
        imaging: of the block's scenes (S).

    Returns:
        Signal to noise.
    """
    galaxies, scene = block.galaxies, block.scene_n[index]
    seeing = transfer(ARC_PX, imaging.fwhm_arcsec_nc[scene])
    arcs = draw_stamp([Layer(painted_profile(lens.light, OVERSAMPLE), lens.flux_c)], 0, 0, seeing)
    profile = sersic_profile(
        ARC_PX,
        float(galaxies.sersic_n[index]),
        float(galaxies.re_arcsec_n[index]),
        float(galaxies.q_n[index]),
        float(galaxies.angle_n[index]),
    )
    deflector = draw_stamp([Layer(profile, galaxies.flux_nc[index])], 0, 0, seeing)
    variance = imaging.noise_nmgy_nc[scene][:, None, None] ** 2 + (DEFLECTOR_NOISE * deflector) ** 2
    return float(np.sqrt((arcs**2 / variance).sum()))


def truth_table(config: SkyConfig, block: Block, first_row: int, ls_id: pa.Array, lenses: list[LensTruth]) -> pa.Table:
    """The truth about the rows of a block.

    Args:
        config: settings.
        block: the universe's block.
        first_row: its first row in the release.
        ls_id: identities as listed (R).
        lenses: the block's.

    Returns:
        Columns TRUTH.
    """
    listing = list_release(config, block)
    objects, galaxies = listing.object_r, block.galaxies
    scene_id = (np.int64(block.number) << 16) + block.scene_n[objects]
    lens_scene = np.isin(block.scene_n[objects], block.scene_n[block.lens_n])
    columns: dict[str, Any] = {
        "row": first_row + np.arange(len(objects)),
        "ls_id": ls_id,
        "sky_id": block.sky_id_n[objects],
        "scene_id": scene_id,
        "kind": galaxies.kind_n[objects],
        "is_lens": galaxies.kind_n[objects] == "lens",
        "system_id": [f"SKY{number}" if lensed else None for number, lensed in zip(scene_id, lens_scene, strict=True)],
        "z_true": galaxies.z_n[objects],
        "in_both": (block.first_n & block.second_n)[objects],
        "flaw": np.where(listing.image_flaw_r != "", listing.image_flaw_r, listing.row_flaw_r),
        **_lens_columns(config, block, lenses, objects),
    }
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in TRUTH}, schema=TRUTH)


def _lens_columns(
    config: SkyConfig, block: Block, lenses: list[LensTruth], objects: NDArray[np.int64]
) -> dict[str, Any]:
    """Columns about lenses, NaN and False elsewhere."""
    count = len(block.scene_n)
    values = {
        name: np.full(count, np.nan) for name in ("theta_e_arcsec", "arc_mag_g", "arc_snr", "magnification", "z_source")
    }
    flags = {name: np.zeros(count, dtype=bool) for name in ("known", "findable")}
    for found in lenses:
        lens, row = found.lens, found.index
        values["theta_e_arcsec"][row], values["arc_mag_g"][row] = lens.theta_e_arcsec, lens.mag_g
        values["arc_snr"][row], values["magnification"][row] = found.snr, lens.magnification
        values["z_source"][row] = lens.z_source
        flags["known"][row], flags["findable"][row] = bool(found.grade), found.snr >= config.findable_snr
    flags["listed"] = flags["known"].copy()
    flags["listed"][_doubtful(config, block)] = True
    return {name: column[objects] for name, column in (values | flags).items()}


def lenses_table(config: SkyConfig, block: Block, lenses: list[LensTruth]) -> pa.Table:
    """What the literature lists in a block: known lenses, and a few look-alikes with grade C.

    Args:
        config: settings.
        block: the universe's block.
        lenses: the block's.

    Returns:
        Columns LENSES; the same for both releases.
    """
    entries = [(found.index, found.grade) for found in lenses if found.grade]
    entries += [(int(index), "C") for index in _doubtful(config, block)]
    rows = [row for index, grade in entries for row in _entries(config, block, index, grade)]
    return _lens_rows(rows)


def off_footprint_table(config: SkyConfig) -> pa.Table:
    """Listed lenses far north of the simulated footprint."""
    rng = generator(config, LISTS, config.blocks + 1)
    rows = []
    for _ in range(config.off_footprint):
        ra, dec = rng.uniform(0, 360), rng.uniform(45, 80)
        rows.append(
            (
                _name(ra, dec),
                ra,
                dec,
                str(rng.choice(["A", "B"])),
                str(rng.choice(REFERENCES)),
                rng.uniform(0.2, 0.8),
            )
        )
    return _lens_rows(rows)


def _doubtful(config: SkyConfig, block: Block) -> NDArray[np.int64]:
    """Look-alikes that somebody listed."""
    alike = np.flatnonzero(np.isin(block.galaxies.kind_n, LOOK_ALIKES) & block.central_n)
    rng = generator(config, LISTS, block.number)
    count = min(rng.binomial(len(block.scene_n), config.doubtful_fraction), len(alike))
    return np.sort(rng.choice(alike, size=count, replace=False))


def _entries(
    config: SkyConfig, block: Block, index: int, grade: str
) -> list[tuple[str, float, float, str, str, float]]:
    """One or two entries of a system, at slightly different positions."""
    rng = generator(config, LISTS, block.number, index, 1)
    scene, rows = block.scene_n[index], []
    redshift = block.galaxies.z_n[index] if block.galaxies.has_spec_n[index] or rng.random() < 0.3 else np.nan
    references = rng.permutation(REFERENCES)[: 1 + (rng.random() < config.listed_twice)]
    for reference in references:
        east, north = LISTED_JITTER_ARCSEC * rng.standard_normal(2)
        ra, dec = offset_position(
            block.scenes.ra_s[scene],
            block.scenes.dec_s[scene],
            block.east_arcsec_n[index] + east,
            block.north_arcsec_n[index] + north,
        )
        rows.append((_name(float(ra), float(dec)), float(ra), float(dec), grade, str(reference), float(redshift)))
    return rows


def _name(ra: float, dec: float) -> str:
    return f"SIM-{ra:08.4f}{dec:+08.4f}"


def _lens_rows(rows: list[tuple[str, float, float, str, str, float]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(LENSES)
    return pa.table(
        [pa.array(list(column), field.type) for column, field in zip(columns, LENSES, strict=True)],
        schema=LENSES,
    )
