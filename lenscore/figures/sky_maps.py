"""Maps of the sky: positions over a shaded background (Figures 1 and 9)."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from lenscore.figures.plotting import as_png, figure, legend_if_any

SPLIT_DEC_DEG = 32.375
"""Where south and north are joined (paper Figure 1)."""
RA_CELLS, DEC_CELLS = 360, 180


class SkyGrid:
    """Sums over cells of one degree by one degree, filled in batches; memory does not grow with the objects."""

    def __init__(self) -> None:
        self.count = np.zeros((DEC_CELLS, RA_CELLS))
        self.total = np.zeros((DEC_CELLS, RA_CELLS))

    def add(
        self, ra_n: NDArray[np.float64], dec_n: NDArray[np.float64], value_n: NDArray[np.float64] | None = None
    ) -> None:
        """Add objects.

        Args:
            ra_n, dec_n: positions in degrees (N,).
            value_n: a value each (N,); one if none is given.
        """
        good = np.isfinite(ra_n) & np.isfinite(dec_n)
        cells = (np.clip((dec_n[good] + 90).astype(int), 0, DEC_CELLS - 1), (ra_n[good] % 360).astype(int) % RA_CELLS)
        np.add.at(self.count, cells, 1)
        np.add.at(self.total, cells, 1.0 if value_n is None else np.nan_to_num(value_n[good]))

    def density(self) -> NDArray[np.float64]:
        """Objects a square degree; NaN where there are none."""
        areas = np.cos(np.radians(np.arange(DEC_CELLS) - 89.5))[:, None]
        return np.where(self.count > 0, self.count / areas, np.nan)

    def mean(self) -> NDArray[np.float64]:
        """Mean value; NaN where there are no objects."""
        with np.errstate(invalid="ignore"):
            return np.where(self.count > 0, self.total / self.count, np.nan)


def draw_sky(
    background: NDArray[np.float64],
    says: str,
    points: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    title: str,
) -> bytes:
    """Draw positions over a background; the axes show what there is.

    Args:
        background: (180, 360) cells by declination and right ascension.
        says: what the background is.
        points: (ra_n, dec_n) in degrees by label.
        title: of the figure.

    Returns:
        A PNG.
    """
    with figure(8, 4.2) as (drawn, axes):
        mesh = axes.pcolormesh(
            np.arange(RA_CELLS + 1), np.arange(DEC_CELLS + 1) - 90, background, cmap="Greys", rasterized=True
        )
        drawn.colorbar(mesh, ax=axes, label=says)
        for label, (ra_n, dec_n) in points.items():
            axes.plot(ra_n, dec_n, ".", ms=4, label=f"{label} ({len(ra_n)})")
        axes.axhline(SPLIT_DEC_DEG, color="grey", lw=0.8)
        ra_low, ra_high, dec_low, dec_high = _extent(background, points.values())
        axes.set(
            xlim=(ra_high, ra_low),
            ylim=(dec_low, dec_high),
            xlabel="right ascension [deg]",
            ylabel="declination [deg]",
            title=title,
        )
        legend_if_any(axes)
        return as_png(drawn)


def _extent(
    background: NDArray[np.float64], points: Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]]
) -> tuple[float, float, float, float]:
    rows, columns = np.nonzero(np.isfinite(background))
    ra = np.concatenate([columns, columns + 1, *(ra_n for ra_n, _ in points)]) if len(columns) else np.array([0, 360])
    dec = np.concatenate([rows - 90, rows - 89, *(dec_n for _, dec_n in points)]) if len(rows) else np.array([-90, 90])
    return max(ra.min() - 1, 0), min(ra.max() + 1, 360), max(dec.min() - 1, -90), min(dec.max() + 1, 90)
