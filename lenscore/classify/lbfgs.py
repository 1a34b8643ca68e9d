"""Limited-memory BFGS that asks for function values instead of computing them.

Each minimisation is a generator: it yields a point and is sent (value, gradient). So many of them, with different
penalties and features, can share one pass over the data, whose reading costs more than their arithmetic.
Two-loop recursion and strong Wolfe line search: Nocedal & Wright, Numerical Optimization (2006), 7.2 and 3.5.
"""

from collections import deque
from collections.abc import Generator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Answer = tuple[float, Vector]
Steps = Generator[Vector, Answer, None]

DECREASE, CURVATURE = 1e-4, 0.9
MEMORY = 10
LINE_SEARCH = 20


def minimise(start: Vector, iterates: list[Vector], iterations: int = 100, tolerance: float = 1e-6) -> Steps:
    """Minimise a smooth function.

    Args:
        start: first point (P,).
        iterates: each accepted point is appended.
        iterations: steps at most.
        tolerance: stop when a step lowers, or promises to lower, the value by less than this, relatively.

    Yields:
        Points (P,) to be answered with (value, gradient (P,)).
    """
    point = start
    value, gradient = yield point
    pairs: deque[tuple[Vector, Vector]] = deque(maxlen=MEMORY)
    for _ in range(iterations):
        direction = _direction(gradient, pairs)
        slope = float(direction @ gradient)
        if -slope <= tolerance * abs(value):
            return
        first = 1.0 if pairs else min(1.0, 1 / float(np.abs(gradient).sum()))
        found = yield from _line_search(point, value, slope, direction, first)
        if found is None:
            return
        step, new_value, new_gradient = found
        moved, change = step * direction, new_gradient - gradient
        if moved @ change > 1e-10 * (change @ change):
            pairs.append((moved, change))
        gained = value - new_value
        point, value, gradient = point + moved, new_value, new_gradient
        iterates.append(point)
        if gained <= tolerance * max(abs(value), 1e-12):
            return


def _direction(gradient: Vector, pairs: deque[tuple[Vector, Vector]]) -> Vector:
    direction, weights = -gradient, []
    for moved, change in reversed(pairs):
        weight = (moved @ direction) / (moved @ change)
        weights.append(weight)
        direction = direction - weight * change
    if pairs:
        moved, change = pairs[-1]
        direction = direction * (moved @ change) / (change @ change)
    for (moved, change), weight in zip(pairs, reversed(weights), strict=True):
        direction = direction + moved * (weight - (change @ direction) / (moved @ change))
    return direction


def _line_search(
    point: Vector, value: float, slope: float, direction: Vector, step: float
) -> Generator[Vector, Answer, tuple[float, float, Vector] | None]:
    """Find a step that meets the strong Wolfe conditions; None where rounding leaves none that goes down."""
    low, high = Probe(0.0, value, slope), None
    best: tuple[float, float, Vector] | None = None
    for _ in range(LINE_SEARCH):
        new_value, new_gradient = yield point + step * direction
        here = Probe(step, new_value, float(new_gradient @ direction))
        enough = new_value <= value + DECREASE * step * slope
        if enough and (best is None or new_value < best[1]):
            best = (step, new_value, new_gradient)
        if enough and abs(here.slope) <= -CURVATURE * slope:
            return step, new_value, new_gradient
        if not enough or new_value >= low.value:
            high = here
        else:
            if here.slope * (1.0 if high is None else high.step - low.step) >= 0:
                high = low
            low = here
        if high is None:
            step *= 4
        elif abs(high.step - low.step) <= 1e-9 * max(high.step, low.step):
            break
        else:
            step = _between(low, high)
    return best


class Probe(NamedTuple):
    """A step along the line, the value there, and the slope."""

    step: float
    value: float
    slope: float


def _between(low: Probe, high: Probe) -> float:
    """Minimum of the cubic through two ends, kept off the ends."""
    width = high.step - low.step
    first = low.slope + high.slope - 3 * (high.value - low.value) / width
    square = first * first - low.slope * high.slope
    if not np.isfinite(square) or square < 0:
        return low.step + width / 2
    root = float(np.sign(width) * np.sqrt(square))
    bottom = high.slope - low.slope + 2 * root
    step = high.step - width * (high.slope + root - first) / bottom if bottom else np.nan
    if not np.isfinite(step):
        return low.step + width / 2
    nearest, farthest = sorted((low.step + 0.1 * width, high.step - 0.1 * width))
    return min(max(step, nearest), farthest)
