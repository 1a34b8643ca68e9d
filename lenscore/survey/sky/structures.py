"""Painted structures that no Sersic profile gives: spiral arms, rings, tidal tails."""

import numpy as np
from numpy.typing import NDArray

from lenscore.survey.sky.imaging import PIXEL_ARCSEC

Floats = NDArray[np.float64]

STRUCTURE_PX = 256
OVERSAMPLE = 1
"""Nothing painted here is finer than a pixel, and the seeing smooths it further."""
CORE_ARCSEC = 0.5
"""Arms do not wind on inside this radius."""


def oversampled_grid(pixels: int, oversample: int) -> tuple[Floats, Floats]:
    """Coordinates of an oversampled stamp whose middle is the sample with index size // 2.

    Args:
        pixels: side [px].
        oversample: samples per pixel and axis.

    Returns:
        x, y (size, size) [arcsec], x along columns.
    """
    size = pixels * oversample
    axis = (np.arange(size) - size // 2) * PIXEL_ARCSEC / oversample
    x, y = np.meshgrid(axis, axis)
    return x, y


def spiral_arms(rng: np.random.Generator, re_arcsec: float, q: float, angle: float) -> Floats:
    """Logarithmic arms on an exponential disc, patchy with star formation.

    Args:
        rng: source of randomness.
        re_arcsec: half-light radius of the disc.
        q: axis ratio.
        angle: of the major axis from +x [rad].

    Returns:
        Brightness on the oversampled grid, any unit.
    """
    radius, phase = _disc(q, angle)
    arms, pitch = rng.choice([2, 2, 2, 3, 4]), np.tan(np.radians(rng.uniform(12, 30))) * rng.choice([-1, 1])
    turn = arms * (phase - np.log(radius + CORE_ARCSEC) / pitch) + rng.uniform(0, 2 * np.pi)
    patches = 1 + 0.3 * np.cos(rng.integers(3, 7) * phase + rng.uniform(4, 9) * radius / re_arcsec)
    disc = np.exp(np.maximum(-1.68 * radius / re_arcsec, -60))
    hole = 1 - 0.7 * np.exp(np.maximum(-((radius / (0.4 * re_arcsec)) ** 2), -60))
    return np.asarray(disc * np.exp(rng.uniform(1.0, 2.2) * np.cos(turn)) * patches * hole)


def ring(rng: np.random.Generator, radius_arcsec: float, width_arcsec: float, q: float, angle: float) -> Floats:
    """A ring, brighter on some sides; arguments as for spiral_arms."""
    radius, phase = _disc(q, angle)
    bright = 1 + rng.uniform(0, 0.5) * np.cos(rng.integers(1, 4) * phase + rng.uniform(0, 2 * np.pi))
    return np.asarray(_gauss((radius - radius_arcsec) / width_arcsec) * bright)


def tail(rng: np.random.Generator, radius_arcsec: float, width_arcsec: float, angle: float) -> Floats:
    """A tidal tail: it leaves the centre along a circle and fades; arguments as for ring."""
    x, y = oversampled_grid(STRUCTURE_PX, OVERSAMPLE)
    x, y = x - 0.9 * radius_arcsec * np.cos(angle), y - 0.9 * radius_arcsec * np.sin(angle)
    radius, phase = np.hypot(x, y), np.arctan2(y, x)
    along = (phase - angle - np.pi) % (2 * np.pi)
    return np.asarray(_gauss((radius - radius_arcsec) / width_arcsec) * np.exp(-along / rng.uniform(0.5, 1.1)))


def _disc(q: float, angle: float) -> tuple[Floats, Floats]:
    """Polar coordinates in the plane of an inclined disc: radius [arcsec], phase [rad]."""
    x, y = oversampled_grid(STRUCTURE_PX, OVERSAMPLE)
    along = (x * np.cos(angle) + y * np.sin(angle)) * np.sqrt(q)
    across = (-x * np.sin(angle) + y * np.cos(angle)) / np.sqrt(q)
    return np.hypot(along, across) + 1e-3, np.arctan2(across, along)


def _gauss(deviation: Floats) -> Floats:
    return np.asarray(np.exp(np.maximum(-0.5 * deviation**2, -60)))
