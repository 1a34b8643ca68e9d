"""Tables of a release: the objects as the survey publishes them, the truth, and the published list of lenses."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.survey.ids import encode
from lenscore.survey.schema import catalogue_schema
from lenscore.survey.sky.block import FLUXES, Block, epoch, generator, release_imaging
from lenscore.survey.sky.bricks import offset_position
from lenscore.survey.sky.config import SkyConfig
from lenscore.survey.sky.imaging import Imaging
from lenscore.survey.sky.listing import RELEASE_NUMBERS, Listing, list_release
from lenscore.survey.sky.population import Galaxies

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BANDS = ("g", "r", "z")
FIBER_RADIUS_ARCSEC = 0.75
FIBER_SEEING_ARCSEC = 1.0
BRIGHT_BIT = 1 << 1
ALLMASK_BITS = (1 << 5, 1 << 6, 1 << 7)
"""MASKBITS of DR9: BRIGHT, ALLMASK_G, ALLMASK_R, ALLMASK_Z."""


def objects_table(config: SkyConfig, block: Block) -> pa.Table:
    """The catalogue of a block, faults included.

    Args:
        config: settings.
        block: the universe's block.

    Returns:
        Columns of lenscore.survey.schema.catalogue_schema; the rows that the configured release lists.
    """
    listing = list_release(config, block)
    scene = block.scene_n[listing.object_r]
    galaxies, imaging = block.galaxies.take(listing.object_r), release_imaging(config, block).take(scene)
    ra, dec = offset_position(
        block.scenes.ra_s[scene], block.scenes.dec_s[scene], listing.east_arcsec_r, listing.north_arcsec_r
    )
    release = np.full(len(scene), RELEASE_NUMBERS[epoch(config)])
    brickid = block.scenes.brickid_s[scene]
    columns: dict[str, Any] = {
        "ls_id": encode(release, brickid, listing.objid_r),
        "release": release,
        "brickid": brickid,
        "objid": listing.objid_r,
        "region": np.full(len(scene), "south"),
        "ra": ra,
        "dec": dec,
        "type": galaxies.type_n,
        "ebv": imaging.ebv_n,
        **_photometry(config, block, listing, galaxies, imaging),
        "maskbits": _maskbits(listing, block.scenes.bright_star_s[scene]),
        "z_phot": galaxies.z_phot_n,
        "z_spec": np.where(galaxies.has_spec_n, galaxies.z_n, np.nan),
    }
    _spoil(listing, columns)
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in _schema()}, schema=_schema())


def _schema() -> pa.Schema:
    return catalogue_schema(BANDS)


def _photometry(
    config: SkyConfig, block: Block, listing: Listing, galaxies: Galaxies, imaging: Imaging
) -> dict[str, Floats]:
    """Measured fluxes with their errors; a band that is missing has none, as in the survey's own tables."""
    rng = generator(config, FLUXES, block.number, epoch(config))
    true = galaxies.flux_nc
    extent = 1 + galaxies.re_arcsec_n[:, None] / imaging.fwhm_arcsec_nc
    flux = true * (1 + 0.01 * rng.standard_normal(true.shape))
    flux += extent / np.sqrt(imaging.psfdepth_nc) * rng.standard_normal(true.shape)
    depth, size, nobs = imaging.psfdepth_nc, imaging.fwhm_arcsec_nc.copy(), imaging.nobs_nc.copy()
    depth[listing.image_flaw_r == "no valid pixel"] = 0
    gone = np.flatnonzero(listing.image_flaw_r == "missing band")
    for values in (flux, depth, size, nobs):
        values[gone, listing.flawed_band_r[gone]] = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        mag = np.where(flux > 0, 22.5 - 2.5 * np.log10(flux), np.nan)
    quantities = {
        "flux": flux,
        "fiberflux": flux * _fiber_share(galaxies.re_arcsec_n)[:, None],
        "psfsize": size,
        "psfdepth": depth,
        "nobs": nobs,
        "mag": mag,
    }
    return {f"{name}_{band}": values[:, c] for name, values in quantities.items() for c, band in enumerate(BANDS)}


def _fiber_share(re_arcsec: Floats) -> Floats:
    """Share of the light within a fibre in 1 arcsec seeing: a curve of growth good to a few percent."""
    half_light = np.hypot(re_arcsec, 0.6 * FIBER_SEEING_ARCSEC)
    return np.asarray(1 - np.exp(-np.log(2) * (FIBER_RADIUS_ARCSEC / half_light) ** 1.3))


def _maskbits(listing: Listing, bright_star_r: NDArray[np.bool_]) -> Ints:
    bits = np.where(bright_star_r, BRIGHT_BIT, 0)
    bits[listing.image_flaw_r == "no valid pixel"] |= sum(ALLMASK_BITS)
    for row in np.flatnonzero(listing.image_flaw_r == "missing band"):
        bits[row] |= ALLMASK_BITS[listing.flawed_band_r[row]]
    return bits


def _spoil(listing: Listing, columns: dict[str, Any]) -> None:
    """Rows with a fault."""
    flaw = listing.row_flaw_r
    columns["ra"] = np.where(flaw == "ra is not a number", np.nan, columns["ra"] + 360 * (flaw == "ra out of range"))
    columns["dec"] = np.where(flaw == "dec out of range", 99.0, columns["dec"])
    columns["type"] = np.where(flaw == "unknown type", "XXX", columns["type"])
    for name in ("flux_z", "mag_z"):
        columns[name] = np.where(flaw == "flux is not a number", np.nan, columns[name])
    for row in np.flatnonzero(flaw == "duplicate id"):
        for name in ("ls_id", "brickid", "objid"):
            columns[name][row] = columns[name][row - 1]


TRUTH = pa.schema(
    [
        ("row", pa.int64()),
        ("ls_id", pa.int64()),
        ("sky_id", pa.int64()),
        ("scene_id", pa.int64()),
        ("kind", pa.string()),
        ("is_lens", pa.bool_()),
        ("known", pa.bool_()),
        ("listed", pa.bool_()),
        ("findable", pa.bool_()),
        ("system_id", pa.string()),
        pa.field("theta_e_arcsec", pa.float32(), metadata={"unit": "arcsec"}),
        pa.field("arc_mag_g", pa.float32(), metadata={"unit": "mag"}),
        ("arc_snr", pa.float32()),
        ("magnification", pa.float32()),
        ("z_true", pa.float32()),
        ("z_source", pa.float32()),
        ("in_both", pa.bool_()),
        ("flaw", pa.string()),
    ]
)
"""The truth, a row an object of the release. sky_id is the same in both releases; system_id is the lens's, given to
its companions too (null elsewhere); in_both says that the other release lists the object; NaN where there is no lens."""

LENSES = pa.schema(
    [
        ("name", pa.string()),
        pa.field("ra", pa.float64(), metadata={"unit": "deg"}),
        pa.field("dec", pa.float64(), metadata={"unit": "deg"}),
        ("grade", pa.string()),
        ("reference", pa.string()),
        ("z_lens", pa.float32()),
    ]
)
"""The published list of lenses and candidates."""
