"""Galaxies: magnitudes, colours, redshifts, types, sizes and shapes by kind."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from lenscore.survey.sky.config import SkyConfig
from lenscore.survey.sky.deflectors import draw_deflectors
from lenscore.survey.sky.imaging import EXTINCTION

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Strings = NDArray[np.str_]

KINDS = ("early", "late", "spiral", "ring", "satellite", "merger", "star", "lens")

REDSHIFTS = np.array([0, 0.1, 0.2, 0.35, 0.45, 0.55, 0.7, 0.85, 1.0])
RED_G_R = np.array([0.72, 0.95, 1.25, 1.60, 1.72, 1.76, 1.78, 1.70, 1.6])
RED_R_Z = np.array([0.60, 0.65, 0.75, 0.88, 1.0, 1.2, 1.5, 1.75, 2.0])
BLUE_G_R = np.array([0.42, 0.51, 0.6, 0.79, 0.86, 0.89, 0.83, 0.72, 0.6])
BLUE_R_Z = np.array([0.32, 0.37, 0.42, 0.52, 0.60, 0.70, 0.83, 0.94, 1.0])
"""Colours of early and late types with redshift: assumed, from the red sequence of the deflectors' table and from
stellar population models, to about 0.1 mag."""


@dataclass(frozen=True)
class Galaxies:
    """Objects (N), stars among them.

    Attributes:
        kind_n: one of KINDS.
        like_n: drawn from the deflectors' table. early_n: looks like an early type.
        mag_z_n, g_r_n, r_z_n: magnitude and colours as observed, dust included [mag, AB].
        z_n, z_phot_n: true and photometric redshift (0 and NaN for stars).
        has_spec_n: a spectroscopic redshift is known.
        type_n: the survey's type.
        re_arcsec_n: half-light radius. sersic_n: Sersic index. q_n: axis ratio. angle_n: of the major axis, from +x [rad].
    """

    kind_n: Strings
    like_n: Bools
    early_n: Bools
    mag_z_n: Floats
    g_r_n: Floats
    r_z_n: Floats
    z_n: Floats
    z_phot_n: Floats
    has_spec_n: Bools
    type_n: Strings
    re_arcsec_n: Floats
    sersic_n: Floats
    q_n: Floats
    angle_n: Floats

    @property
    def flux_nc(self) -> Floats:
        """Flux in g, r, z [nmgy]."""
        return fluxes(self.mag_z_n, self.g_r_n, self.r_z_n)

    def take(self, rows: Ints) -> "Galaxies":
        """Some of the objects."""
        return Galaxies(*(getattr(self, column.name)[rows] for column in fields(self)))


def fluxes(mag_z: Floats, g_r: Floats, r_z: Floats) -> Floats:
    """Flux in g, r, z (N, 3) [nmgy] from mag_z and colours (N,) [mag]."""
    mags = np.stack([mag_z + r_z + g_r, mag_z + r_z, mag_z], axis=-1)
    return np.asarray(10 ** (-0.4 * (mags - 22.5)))


def redden(ebv: Floats, g_r: Floats, r_z: Floats) -> tuple[Floats, Floats]:
    """Colours (N,) behind dust of E(B-V) (N,) [mag]."""
    return g_r + (EXTINCTION[0] - EXTINCTION[1]) * ebv, r_z + (EXTINCTION[1] - EXTINCTION[2]) * ebv


def colours(rng: np.random.Generator, z: Floats, red: Bools) -> tuple[Floats, Floats]:
    """Colours of galaxies without dust.

    Args:
        rng: source of randomness.
        z: redshifts (N,).
        red: early types (N,).

    Returns:
        g - r (N,), r - z (N,) [mag].
    """
    scatter = np.where(red, 0.07, 0.16)
    g_r = np.where(red, np.interp(z, REDSHIFTS, RED_G_R), np.interp(z, REDSHIFTS, BLUE_G_R))
    r_z = np.where(red, np.interp(z, REDSHIFTS, RED_R_Z), np.interp(z, REDSHIFTS, BLUE_R_Z))
    return g_r + scatter * rng.standard_normal(len(z)), r_z + 0.8 * scatter * rng.standard_normal(len(z))


def steep_magnitudes(rng: np.random.Generator, bright: Floats, faint: float, slope: float) -> Floats:
    """Draw magnitudes whose counts grow as 10^(slope m).

    Args:
        rng: source of randomness.
        bright: brightest magnitude of each (N,).
        faint: faintest.
        slope: d log10 N / d mag.

    Returns:
        Magnitudes (N,).
    """
    rate = max(slope, 1e-6) * np.log(10)
    start = np.exp(rate * (bright - faint))
    return np.asarray(faint + np.log(start + rng.random(len(bright)) * (1 - start)) / rate)


def draw_galaxies(
    rng: np.random.Generator,
    config: SkyConfig,
    kind_n: Strings,
    ebv_n: Floats,
    bright_n: Floats,
    group_z_n: Floats,
) -> Galaxies:
    """Draw objects of given kinds.

    Args:
        rng: source of randomness.
        config: settings.
        kind_n: kinds (N,), of KINDS.
        ebv_n: E(B-V) of each place (N,) [mag].
        bright_n: brightest mag_z allowed (N,) [mag].
        group_z_n: redshift of the group that it belongs to (N,), NaN for none.

    Returns:
        Galaxies (N).
    """
    count = len(kind_n)
    mag_z = steep_magnitudes(rng, bright_n, config.mag_z_limit, config.count_slope)
    resolved = np.isin(kind_n, ["spiral", "ring"])
    mag_z[resolved] = np.minimum(mag_z[resolved], rng.uniform(16.0, 19.6, resolved.sum()))
    z = np.where(
        np.isnan(group_z_n),
        _field_redshift(rng, mag_z, resolved),
        group_z_n + 0.003 * rng.standard_normal(count),
    )
    red = np.isin(kind_n, ["early", "satellite", "lens"]) | ((kind_n == "merger") & (rng.random(count) < 0.4))
    g_r, r_z = redden(ebv_n, *colours(rng, z, red))
    z_phot = z + 0.02 * (1 + z) * rng.standard_normal(count)
    has_spec = rng.random(count) < np.interp(mag_z, [15.5, 17, 18, 20], [0.5, 0.35, 0.15, 0.03])
    types = _field_types(rng, mag_z, red, resolved)

    # Deflectors, and those galaxies that look just like them in the catalogue (why: docs/sky.md).
    like = (rng.random(count) < _like_share(config, kind_n)) & np.isnan(group_z_n)
    table = draw_deflectors(rng, count)
    mag_z, g_r, r_z = (
        np.where(like, new, old) for new, old in ((table.mag_z_n, mag_z), (table.g_r_n, g_r), (table.r_z_n, r_z))
    )
    z_phot, types = np.where(like, table.z_phot_n, z_phot), np.where(like, table.type_n, types)
    z = np.where(like, np.maximum(table.z_phot_n + 0.02 * rng.standard_normal(count), 0.05), z)
    has_spec = np.where(like, table.has_spec_n, has_spec)

    galaxies = Galaxies(
        kind_n,
        like,
        red | like,
        mag_z,
        g_r,
        r_z,
        z,
        z_phot,
        has_spec,
        types,
        *_shapes(rng, mag_z, types, red | like, resolved & ~like, like),
        rng.uniform(0, np.pi, count),
    )
    return _with_stars(rng, galaxies)


def _field_redshift(rng: np.random.Generator, mag_z: Floats, resolved: Bools) -> Floats:
    slope = np.where(resolved, 0.17, 0.21)
    z = 0.08 * 10 ** (slope * (mag_z - 16)) * np.exp(0.3 * rng.standard_normal(len(mag_z)))
    return np.asarray(np.clip(z, 0.02, np.where(resolved, 0.6, 1.0)))


def _like_share(config: SkyConfig, kind_n: Strings) -> Floats:
    shares = {
        "lens": 1.0,
        "early": config.like_early,
        "satellite": config.like_satellite,
        "merger": config.like_merger,
        "ring": config.like_ring,
    }
    return np.array([shares.get(str(kind), 0.0) for kind in kind_n])


def _field_types(rng: np.random.Generator, mag_z: Floats, red: Bools, resolved: Bools) -> Strings:
    """Types by magnitude: assumed, after the deflectors' table for early types."""
    faint = np.clip((mag_z - 16) / 4, 0, 1)
    ser = np.where(red, 0.88 - 0.50 * faint, 0.75 - 0.60 * faint)
    ser = np.where(resolved, 0.75, ser)
    dev = np.where(red, 0.10 + 0.24 * faint, 0.03)
    rex = np.where(red, 0.01 + 0.22 * faint, 0.02 + 0.38 * faint)
    rex = np.where(resolved, 0.0, rex)
    u = rng.random(len(mag_z))
    return np.select([u < ser, u < ser + dev, u < ser + dev + rex], ["SER", "DEV", "REX"], "EXP")


def _shapes(
    rng: np.random.Generator, mag_z: Floats, types: Strings, early: Bools, resolved: Bools, like: Bools
) -> tuple[Floats, Floats, Floats]:
    """Half-light radius, Sersic index, axis ratio. Lenses and their likes share one relation: size must not tell."""
    count = len(mag_z)
    log_re = np.where(early, 0.62 - 0.185 * (mag_z - 16), 0.68 - 0.15 * (mag_z - 16)) + 0.17 * rng.standard_normal(
        count
    )
    re = np.clip(10**log_re, np.where(like, 0.6, 0.3), np.where(like, 4.0, 9.0))
    early_index = np.where(
        types == "DEV",
        4.0,
        np.where(np.isin(types, ["REX", "EXP"]), 2.0, rng.choice([3.0, 3.5, 4.0, 4.5], count)),
    )
    index = np.where(early, early_index, 1.0)
    q = np.where(early, rng.uniform(0.5, 1.0, count), rng.uniform(0.2, 1.0, count))
    q = np.where(resolved, rng.uniform(0.5, 1.0, count), q)
    q = np.where(like, rng.uniform(0.6, 0.97, count), q)
    return re, index, np.where((types == "REX") & early, np.maximum(q, 0.88), q)


def _with_stars(rng: np.random.Generator, galaxies: Galaxies) -> Galaxies:
    star = galaxies.kind_n == "star"
    g_r = rng.uniform(0.2, 1.5, len(star))
    return Galaxies(
        galaxies.kind_n,
        galaxies.like_n & ~star,
        galaxies.early_n & ~star,
        galaxies.mag_z_n,
        np.where(star, g_r, galaxies.g_r_n),
        np.where(star, 0.6 * g_r - 0.05, galaxies.r_z_n),
        np.where(star, 0.0, galaxies.z_n),
        np.where(star, np.nan, galaxies.z_phot_n),
        galaxies.has_spec_n & ~star,
        np.where(star, "PSF", galaxies.type_n),
        np.where(star, 0.0, galaxies.re_arcsec_n),
        galaxies.sersic_n,
        np.where(star, 1.0, galaxies.q_n),
        galaxies.angle_n,
    )
