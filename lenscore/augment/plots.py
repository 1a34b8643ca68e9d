"""Picture of each fit over the histogram of what was fitted."""

import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lenscore.augment.collect import Quantity
from lenscore.augment.fits import QUANTITIES, Lognormal
from lenscore.augment.histogram import Histogram

LABELS = {"noise": r"noise sigma [nmgy / px]", "psf": "PSF sigma [px]", "ebv": "E(B-V) [mag]"}
BARS = 80


def plot_fits(histograms: Mapping[Quantity, Histogram], lognormals: Mapping[Quantity, Lognormal]) -> bytes:
    """Draw all fits: a row for each quantity, a column for each band.

    Args:
        histograms: what was counted, by (quantity, band).
        lognormals: the fits, by the same keys.

    Returns:
        A PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [[key for key in lognormals if key[0] == quantity] for quantity in QUANTITIES]
    columns = max(map(len, rows))
    figure = Figure(figsize=(4.2 * columns, 3.2 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    for y, keys in enumerate(rows):
        for x, key in enumerate(keys):
            _draw(figure.add_subplot(len(rows), columns, y * columns + x + 1), key, histograms[key], lognormals[key])
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110, metadata={"Software": None})
    return image.getvalue()


def density(lognormal: Lognormal, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability density (equation B3), zero up to loc."""
    above = np.maximum(x - lognormal.loc, 1e-300)
    deviations = np.log(above / lognormal.scale) / lognormal.shape
    values = np.exp(-0.5 * deviations**2) / (above * lognormal.shape * np.sqrt(2 * np.pi))
    return np.where(x > lognormal.loc, values, 0.0)


def _draw(axes, key: Quantity, histogram: Histogram, lognormal: Lognormal) -> None:  # type: ignore[no-untyped-def]
    quantity, band = key
    low, high = histogram.quantiles(np.array([0.0005, 0.995]))
    edges = np.linspace(low, high, BARS + 1)
    centres, counts = histogram.filled()
    bars = np.histogram(centres, edges, weights=counts)[0] / (histogram.total * np.diff(edges))
    axes.stairs(bars, edges, fill=True, color="0.8")
    fine = np.linspace(low, high, 400)
    axes.plot(fine, density(lognormal, fine), color="C3")
    axes.set_xlabel(LABELS[quantity])
    axes.set_ylabel("density")
    parameters = f"shape {lognormal.shape:.4g}  loc {lognormal.loc:.4g}  scale {lognormal.scale:.4g}"
    axes.set_title(f"{'' if quantity == 'ebv' else band + ': '}{parameters}", fontsize=9)
