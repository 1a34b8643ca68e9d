"""What each kind of object looks like: its layers of light."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenscore.survey.sky.optics import Layer, painted_profile, point_profile, sersic_profile
from lenscore.survey.sky.population import colours, fluxes, redden
from lenscore.survey.sky.structures import OVERSAMPLE, ring, spiral_arms, tail

Floats = NDArray[np.float64]

MAIN_PX = 256
"""Stamp of a catalogue object: 67 arcsec, half as wide again as a cutout; painted structures have the same size."""
MEDIUM_PX = 128
SMALL_PX = 48
BLUE_ARMS = np.array([1.25, 1.0, 0.85])
"""Arms and tails relative to the disc's colour."""


@dataclass(frozen=True)
class Source:
    """An object to draw.

    Attributes:
        kind: one of population.KINDS.
        flux_c: its flux in the catalogue (C) [nmgy].
        z, ebv: redshift, dust in front [mag].
        re_arcsec, sersic, q, angle: shape.
        red: an early type.
    """

    kind: str
    flux_c: Floats
    z: float
    ebv: float
    re_arcsec: float
    sersic: float
    q: float
    angle: float
    red: bool


@dataclass(frozen=True)
class Piece:
    """Layers with a common centre, offset from the object's [arcsec]."""

    x_arcsec: float
    y_arcsec: float
    layers: list[Layer]


def draw_pieces(rng: np.random.Generator, source: Source) -> list[Piece]:
    """Everything that belongs to an object but lensed arcs.

    Args:
        rng: source of randomness.
        source: the object.

    Returns:
        Its pieces.
    """
    if source.kind == "star":
        return [Piece(0.0, 0.0, [Layer(point_profile(MAIN_PX), source.flux_c)])]
    if source.kind == "spiral":
        return _spiral(rng, source)
    if source.kind == "ring":
        return _ring(rng, source)
    if source.kind == "merger":
        return [*_plain(rng, source), *_second_nucleus(rng, source)]
    if source.kind == "satellite":
        return [*_plain(rng, source), *_satellites(rng, source)]
    return _plain(rng, source)


def small_galaxy(flux_c: Floats, re_arcsec: float, q: float, angle: float, size: int = SMALL_PX) -> Layer:
    """A faint exponential galaxy on a small stamp."""
    return Layer(sersic_profile(size, 1.0, re_arcsec, q, angle), flux_c)


def _plain(rng: np.random.Generator, source: Source) -> list[Piece]:
    size = _stamp_px(source)
    if source.red:
        profile = sersic_profile(size, source.sersic, source.re_arcsec, source.q, source.angle)
        return [Piece(0.0, 0.0, [Layer(profile, source.flux_c)])]
    bulge, disc = _bulge_and_disc(rng, source, rng.uniform(0, 0.4))
    layers = [
        _bulge_layer(source, bulge, max(0.15, 0.25 * source.re_arcsec), size),
        _disc_layer(source, disc, source.re_arcsec, size),
    ]
    return [Piece(0.0, 0.0, layers)]


def _stamp_px(source: Source) -> int:
    """Small and faint galaxies end far inside a smaller stamp: at 17 arcsec below 1e-3 of the noise."""
    return MEDIUM_PX if source.re_arcsec < 1.5 and source.flux_c.max() < 25 else MAIN_PX


def _spiral(rng: np.random.Generator, source: Source) -> list[Piece]:
    bulge, disc = _bulge_and_disc(rng, source, rng.uniform(0.1, 0.45))
    radius = max(source.re_arcsec, 1.2)
    in_arms = rng.uniform(0.4, 0.8)
    arms_flux = in_arms * disc * BLUE_ARMS
    smooth_flux = np.maximum(disc - arms_flux, 0.05 * disc)
    arms = painted_profile(spiral_arms(rng, radius, source.q, source.angle), OVERSAMPLE)
    centre = [
        _bulge_layer(source, bulge, max(0.25, 0.2 * source.re_arcsec)),
        _disc_layer(source, smooth_flux, 1.1 * radius),
    ]
    return [Piece(0.0, 0.0, [*centre, Layer(arms, arms_flux)])]


def _ring(rng: np.random.Generator, source: Source) -> list[Piece]:
    share, radius = rng.uniform(0.12, 0.4), rng.uniform(1.5, 4.0)
    blue = _with_flux_z(rng.uniform(0.2, 0.7), rng.uniform(0.1, 0.5), source, share)
    bulge = sersic_profile(
        MAIN_PX, 3.0, float(np.clip(0.4 * source.re_arcsec, 0.4, 1.5)), np.sqrt(source.q), source.angle
    )
    light = painted_profile(ring(rng, radius, rng.uniform(0.25, 0.6), source.q, source.angle), OVERSAMPLE)
    return [Piece(0.0, 0.0, [Layer(bulge, source.flux_c - blue), Layer(light, blue)])]


def _second_nucleus(rng: np.random.Generator, source: Source) -> list[Piece]:
    """A companion in the act of merging, and a tail."""
    distance, angle = rng.uniform(1.2, 4.5), rng.uniform(0, 2 * np.pi)
    flux = source.flux_c * rng.uniform(0.25, 1.0) * np.exp(0.1 * rng.standard_normal(3))
    other = sersic_profile(
        MAIN_PX, 2.0, source.re_arcsec * rng.uniform(0.5, 1.0), rng.uniform(0.4, 1.0), rng.uniform(0, np.pi)
    )
    light = tail(rng, rng.uniform(2, 5), rng.uniform(0.3, 0.7), angle + 0.5 * rng.standard_normal())
    tail_flux = source.flux_c * rng.uniform(0.08, 0.3) * np.array([1.2, 1.0, 0.95])
    return [
        Piece(distance * np.cos(angle), distance * np.sin(angle), [Layer(other, flux)]),
        Piece(0.0, 0.0, [Layer(painted_profile(light, OVERSAMPLE), tail_flux)]),
    ]


def _satellites(rng: np.random.Generator, source: Source) -> list[Piece]:
    """One to four blue galaxies where arcs would lie."""
    pieces = []
    for _ in range(1 + rng.binomial(3, 0.4)):
        distance, angle = rng.uniform(1.4, 4.5), rng.uniform(0, 2 * np.pi)
        g_r, r_z = redden(np.array(source.ebv), np.array(rng.uniform(0.0, 1.0)), np.array(rng.uniform(0.0, 0.6)))
        flux = fluxes(rng.uniform(21.3, 23.6) - g_r - r_z, g_r, r_z)
        layer = small_galaxy(flux, rng.uniform(0.15, 0.5), rng.uniform(0.3, 1.0), rng.uniform(0, np.pi))
        pieces.append(Piece(distance * np.cos(angle), distance * np.sin(angle), [layer]))
    return pieces


def _bulge_and_disc(rng: np.random.Generator, source: Source, share: float) -> tuple[Floats, Floats]:
    """Split a galaxy's flux: a red bulge, the rest in the disc, which keeps some light in each band."""
    z, red = np.array([source.z]), np.array([True])
    g_r, r_z = (float(colour[0]) for colour in redden(np.array([source.ebv]), *colours(rng, z, red)))
    bulge = _with_flux_z(g_r, r_z, source, share)
    return bulge, source.flux_c - bulge


def _with_flux_z(g_r: float, r_z: float, source: Source, share: float) -> Floats:
    """Flux of given colours that is a share of the galaxy's in z, or less, so that no band has more than 0.8 of it."""
    flux = fluxes(np.array(22.5 - 2.5 * np.log10(share * source.flux_c[-1] + 1e-9)), np.array(g_r), np.array(r_z))
    return np.asarray(flux * min(1.0, float((0.8 * source.flux_c / flux).min())))


def _bulge_layer(source: Source, flux_c: Floats, re_arcsec: float, size: int = MAIN_PX) -> Layer:
    return Layer(sersic_profile(size, 2.0, re_arcsec, float(np.sqrt(source.q)), source.angle), flux_c)


def _disc_layer(source: Source, flux_c: Floats, re_arcsec: float, size: int = MAIN_PX) -> Layer:
    return Layer(sersic_profile(size, 1.0, re_arcsec, source.q, source.angle), flux_c)
