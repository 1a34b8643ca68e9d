"""How all figures look, and how they become bytes."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 130
REGION_COLOURS = {"south": "tab:blue", "north": "tab:orange"}


@contextmanager
def figure(width: float = 7, height: float = 4.5, **grid: Any) -> Iterator[tuple["Figure", Any]]:
    """A figure with axes, without pyplot's global state.

    Args:
        width, height: in inches.
        grid: rows and columns, as for Figure.subplots.

    Yields:
        (figure, axes).
    """
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    yield drawn, drawn.subplots(**grid)


def as_png(drawn: "Figure") -> bytes:
    """A figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def legend_if_any(axes: "Axes") -> None:
    """A legend, where something has a label."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False)
