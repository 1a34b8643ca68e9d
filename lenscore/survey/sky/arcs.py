"""Lensed sources: parameters of a lens, and its arcs ray-traced by lenstronomy."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel
from lenstronomy.Util.param_util import phi_q2_ellipticity, shear_polar2cartesian
from numpy.typing import NDArray

from lenscore.survey.sky.block import ARCS, Block, generator
from lenscore.survey.sky.config import SkyConfig
from lenscore.survey.sky.imaging import PIXEL_ARCSEC
from lenscore.survey.sky.population import fluxes, redden
from lenscore.survey.sky.structures import oversampled_grid

Floats = NDArray[np.float64]

ARC_PX = 80
"""Side of the field that is ray-traced [px]; 21 arcsec hold the images of the largest Einstein radius."""
OVERSAMPLE = 3
BRIGHTEST_ARC_MAG_G = 20.0
BRIGHTNESS_CORRELATION = 0.6
"""Correlation of log Einstein radius with the deflector's luminosity: assumed; heavier galaxies shine more."""
TRIES = 6


@dataclass(frozen=True)
class Clump:
    """A Sersic component of a source: flux relative to the main one, centre and radius [arcsec], shape."""

    flux: float
    x_arcsec: float
    y_arcsec: float
    re_arcsec: float
    q: float
    angle: float


@dataclass(frozen=True)
class Lens:
    """A lens as it is.

    Attributes:
        theta_e_arcsec: Einstein radius.
        q, angle: axis ratio and angle of the mass [rad].
        shear, shear_angle: external shear.
        z_source: redshift of the source.
        clumps: the source, behind the lens.
        magnification: total, as drawn on the grid.
        mag_g: total magnitude of the lensed light, dust included.
        flux_c: its flux in g, r, z [nmgy].
        light: its brightness on the oversampled grid, not normalised (ARC_PX * OVERSAMPLE squared).
    """

    theta_e_arcsec: float
    q: float
    angle: float
    shear: float
    shear_angle: float
    z_source: float
    clumps: tuple[Clump, ...]
    magnification: float
    mag_g: float
    flux_c: Floats
    light: Floats


def draw_lens(config: SkyConfig, block: Block, index: int) -> Lens:
    """Draw the lens that an object is, and trace its arcs.

    Args:
        config: settings.
        block: the block it lies in.
        index: the lens among the block's objects.

    Returns:
        The lens. The same for both releases.
    """
    rng = generator(config, ARCS, block.number, index)
    galaxies = block.galaxies
    theta_e = _einstein_radius(rng, config, float(galaxies.mag_z_n[index]), float(galaxies.z_n[index]))
    q = float(np.clip(galaxies.q_n[index] + rng.normal(0, 0.07), 0.5, 0.97))
    angle = float(galaxies.angle_n[index] + rng.normal(0, 0.15))
    shear, shear_angle = abs(rng.normal(0, 0.04)), rng.uniform(0, np.pi)
    # A source that few images show would not be seen: of several behind the lens, take one that is magnified well.
    for _ in range(TRIES):
        clumps = _draw_source(rng, theta_e)
        light, magnification = _trace(theta_e, q, angle, shear, shear_angle, clumps)
        if magnification > 3:
            break
    mag = (
        config.source_mag_g
        + config.source_mag_scatter * rng.standard_normal()
        - 2.5 * np.log10(max(magnification, 1.0))
    )
    mag = max(mag, BRIGHTEST_ARC_MAG_G + rng.exponential(0.2))
    ebv = block.scenes.imaging_s.ebv_n[block.scene_n[index]]
    g_r, r_z = redden(ebv, *_source_colours(rng))
    flux = fluxes(np.array(mag - g_r - r_z), g_r, r_z)
    z_source = float(galaxies.z_n[index] + 0.4 + rng.gamma(3.0, 0.35))
    return Lens(theta_e, q, angle, shear, shear_angle, z_source, clumps, magnification, mag, flux, light)


def _einstein_radius(rng: np.random.Generator, config: SkyConfig, mag_z: float, z: float) -> float:
    brightness = np.clip((5 * np.log10(z * (1 + z)) - mag_z + 18.6) / 0.8, -2, 2)
    for _ in range(20):
        own = np.sqrt(1 - BRIGHTNESS_CORRELATION**2) * rng.standard_normal()
        drawn = config.theta_e_median_arcsec * np.exp(
            config.theta_e_scatter * (BRIGHTNESS_CORRELATION * brightness + own)
        )
        if config.theta_e_min_arcsec <= drawn <= config.theta_e_max_arcsec:
            return float(drawn)
    return float(np.clip(drawn, config.theta_e_min_arcsec, config.theta_e_max_arcsec))


def _draw_source(rng: np.random.Generator, theta_e: float) -> tuple[Clump, ...]:
    """A disc with a few star-forming clumps; one in ten is compact and gives separate images."""
    offset, direction = theta_e * 0.35 * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
    x, y = offset * np.cos(direction), offset * np.sin(direction)
    compact = rng.random() < 0.1
    re = 0.06 if compact else float(np.clip(rng.lognormal(np.log(0.22), 0.35), 0.1, 0.5))
    main = Clump(1.0, x, y, re, rng.uniform(0.4, 1.0), rng.uniform(0, np.pi))
    clumps = (
        Clump(
            rng.uniform(0.05, 0.25),
            x + 0.8 * re * rng.standard_normal(),
            y + 0.8 * re * rng.standard_normal(),
            0.3 * re,
            1.0,
            0.0,
        )
        for _ in range(0 if compact else rng.integers(0, 4))
    )
    return (main, *clumps)


def _source_colours(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Most sources are blue; one in eight is dusty or old."""
    red = rng.random() < 0.125
    g_r = rng.uniform(0.5, 1.1) if red else rng.uniform(-0.05, 0.5)
    r_z = rng.uniform(0.4, 0.9) if red else rng.uniform(-0.05, 0.45)
    return np.array(g_r), np.array(r_z)


def _trace(
    theta_e: float, q: float, angle: float, shear: float, shear_angle: float, clumps: tuple[Clump, ...]
) -> tuple[Floats, float]:
    """Brightness on the oversampled grid, and lensed over unlensed flux."""
    x, y = _flat_grid()
    e1, e2 = phi_q2_ellipticity(angle, q)
    gamma1, gamma2 = shear_polar2cartesian(shear_angle, shear)
    mass = [
        {"theta_E": theta_e, "e1": e1, "e2": e2, "center_x": 0.0, "center_y": 0.0},
        {"gamma1": gamma1, "gamma2": gamma2, "ra_0": 0.0, "dec_0": 0.0},
    ]
    source_x, source_y = _mass_model().ray_shooting(x, y, mass)
    model = LightModel(["SERSIC_ELLIPSE"] * len(clumps))
    light = model.surface_brightness(source_x, source_y, [_sersic(clump) for clump in clumps])
    size = ARC_PX * OVERSAMPLE
    area = (PIXEL_ARCSEC / OVERSAMPLE) ** 2
    return light.reshape(size, size), float(light.sum() * area / sum(clump.flux for clump in clumps))


def _sersic(clump: Clump) -> dict[str, float]:
    """lenstronomy's parameters of an exponential disc of the clump's flux."""
    e1, e2 = phi_q2_ellipticity(clump.angle, clump.q)
    shape = {"R_sersic": clump.re_arcsec, "n_sersic": 1.0, "e1": e1, "e2": e2}
    # Total flux of an exponential of unit brightness at its half-light radius.
    total = 11.948 * clump.re_arcsec**2
    return {"amp": clump.flux / total, **shape, "center_x": clump.x_arcsec, "center_y": clump.y_arcsec}


@cache
def _mass_model() -> LensModel:
    return LensModel(["SIE", "SHEAR"])


@cache
def _flat_grid() -> tuple[Floats, Floats]:
    x, y = oversampled_grid(ARC_PX, OVERSAMPLE)
    return x.ravel(), y.ravel()
