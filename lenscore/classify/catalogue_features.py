"""Features from catalogue columns alone: what can be found without looking at images."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.artifacts import Artifact

TYPES = ("REX", "EXP", "DEV", "SER")


class CatalogueFeatures:
    """Magnitudes, colours, concentration, shape, dust, seeing and depth, their squares and products.

    Held in memory: for simulated skies, not for surveys.

    Args:
        cutouts: whose catalogue.
        bands: of the release.
    """

    def __init__(self, cutouts: Artifact, bands: tuple[str, ...]) -> None:
        columns = ["type", "ebv", "z_phot"]
        columns += [f"{name}_{band}" for name in ("mag", "flux", "fiberflux", "psfsize", "psfdepth") for band in bands]
        values = _standard(_first_order(cutouts.table("catalogue").read(columns), bands))
        first, second = np.triu_indices(values.shape[1])
        self.values = np.concatenate([values, _standard(values[:, first] * values[:, second])], axis=1).astype(
            np.float16
        )
        self.rows, self.dimension = self.values.shape
        self.widths: tuple[int, ...] = (self.dimension,)

    def read(self, start: int, stop: int) -> NDArray[np.float16]:
        """Rows start to stop, (stop - start, D) float16."""
        return self.values[start:stop]

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """Any rows, in the order asked for."""
        return self.values[rows]


def _first_order(table: pa.Table, bands: tuple[str, ...]) -> NDArray[np.float64]:
    column = {name: table[name].to_numpy() for name in table.schema.names}
    mags = np.stack([column[f"mag_{band}"] for band in bands], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        concentration = [column[f"fiberflux_{band}"] / column[f"flux_{band}"] for band in bands]
        depths = [np.log(column[f"psfdepth_{band}"]) for band in bands]
    types = [column["type"].astype(str) == name for name in TYPES]
    sizes = [column[f"psfsize_{band}"] for band in bands]
    parts = [mags.T, -np.diff(mags, axis=1).T, concentration, depths, sizes, types, [column["ebv"], column["z_phot"]]]
    return np.concatenate([np.asarray(part, np.float64) for part in parts]).T


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    values = np.where(np.isfinite(values), values, np.nan)
    with np.errstate(invalid="ignore"):
        centre, scale = np.nanmedian(values, axis=0), np.nanstd(values, axis=0)
    standard = (values - np.nan_to_num(centre)) / np.where(scale > 0, scale, 1)
    return np.clip(np.nan_to_num(standard), -10, 10)
