"""The paper's plots: Figures 4, 5, 10 and 15."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.figures.plotting import REGION_COLOURS, as_png, figure, legend_if_any


def plot_ratio_scan(
    ratios: Sequence[float], precision: Mapping[str, Sequence[float]], chosen: float | None = None
) -> bytes:
    """Figure 4: precision against the lens:nonlens ratio of training.

    Args:
        ratios: nonlenses a lens.
        precision: values by label (training, validation), one a ratio.
        chosen: the ratio that was kept.

    Returns:
        A PNG.
    """
    with figure() as (drawn, axes):
        for label, values in precision.items():
            axes.plot(ratios, values, "o-", label=label)
        if chosen is not None:
            axes.axvline(chosen, color="grey", ls=":", label="chosen")
        axes.set(
            xscale="log", ylim=(0, None), xlabel="nonlenses a lens in training", ylabel="precision among the top N"
        )
        legend_if_any(axes)
        return as_png(drawn)


def plot_curves(histograms: Mapping[str, pa.Table], curves: Mapping[str, pa.Table]) -> bytes:
    """Figure 5: predicted probabilities by class, and lenses found against images inspected.

    Args:
        histograms: by method, columns probability_low, probability_high, lenses, nonlenses.
        curves: by method, columns inspected, found_share.

    Returns:
        A PNG.
    """
    with figure(11, 4.2, ncols=2) as (drawn, (left, right)):
        for i, (method, table) in enumerate(histograms.items()):
            edges = np.append(table["probability_low"].to_numpy(), table["probability_high"].to_numpy()[-1:])
            for name, style in (("lenses", "-"), ("nonlenses", ":")):
                left.stairs(table[name].to_numpy(), edges, color=f"C{i}", ls=style, label=f"{method}, {name}")
        left.set(xscale="log", yscale="log", xlabel="probability of a lens", ylabel="validation images")
        for i, (method, table) in enumerate(curves.items()):
            right.plot(table["inspected"].to_numpy(), table["found_share"].to_numpy(), color=f"C{i}", label=method)
        right.set(xscale="log", ylim=(0, 1.02), xlabel="images inspected", ylabel="share of validation lenses found")
        legend_if_any(left)
        legend_if_any(right)
        return as_png(drawn)


def plot_distributions(
    mag_z: Mapping[str, NDArray[np.float64]],
    z_phot: Mapping[str, NDArray[np.float64]],
    types: Mapping[str, Sequence[str]],
) -> bytes:
    """Figure 10: magnitudes, photometric redshifts and morphologies, by region.

    Args:
        mag_z: z-band magnitudes by region.
        z_phot: photometric redshifts by region.
        types: Tractor types by region.

    Returns:
        A PNG.
    """
    names = sorted({name for values in types.values() for name in values})
    with figure(11, 3.6, ncols=3) as (drawn, axes):
        for panel, values, label in ((axes[0], mag_z, "mag_z"), (axes[1], z_phot, "photometric redshift")):
            for region, numbers in values.items():
                panel.hist(
                    numbers[np.isfinite(numbers)], 30, histtype="step", color=REGION_COLOURS.get(region), label=region
                )
            panel.set(xlabel=label, ylabel="candidates")
        width = 0.8 / max(len(types), 1)
        for i, (region, found) in enumerate(types.items()):
            counts = [sum(name == other for other in found) for name in names]
            axes[2].bar(
                np.arange(len(names)) + i * width, counts, width, color=REGION_COLOURS.get(region), label=region
            )
        axes[2].set_xticks(np.arange(len(names)), names)
        for panel in axes:
            legend_if_any(panel)
        return as_png(drawn)


def plot_magnitudes(edges: NDArray[np.float64], full: NDArray[np.float64], sample: NDArray[np.float64]) -> bytes:
    """Figure 15: z magnitudes of the training sample and of all objects.

    Args:
        edges: of the bins (K + 1,).
        full, sample: counts (K,).

    Returns:
        A PNG.
    """
    with figure() as (drawn, axes):
        axes.stairs(full, edges, label=f"all ({int(full.sum())})", color="black")
        axes.stairs(
            sample, edges, label=f"training sample ({int(sample.sum())})", color="tab:blue", fill=True, alpha=0.5
        )
        axes.set(yscale="log", xlabel="mag_z", ylabel="objects")
        legend_if_any(axes)
        return as_png(drawn)
