"""What deflectors look like: draws from the table of known lenses, smoothed."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BANDWIDTH = 0.15
"""Smoothing, in units of the table's own covariance: new galaxies between the table's, with the same mean and spread."""


@dataclass(frozen=True)
class Deflectors:
    """Galaxies that act as lenses (N).

    Attributes:
        mag_z_n, g_r_n, r_z_n: magnitude and colours as observed [mag, AB].
        z_phot_n: photometric redshift.
        ebv_n: E(B-V) [mag].
        type_n: DEV, EXP, REX or SER.
        has_spec_n: a spectroscopic redshift is known.
    """

    mag_z_n: Floats
    g_r_n: Floats
    r_z_n: Floats
    z_phot_n: Floats
    ebv_n: Floats
    type_n: NDArray[np.str_]
    has_spec_n: NDArray[np.bool_]


def draw_deflectors(rng: np.random.Generator, count: int) -> Deflectors:
    """Draw galaxies from the joint distribution (data/deflectors.csv: Stein et al. 2022).

    Args:
        rng: source of randomness.
        count: how many.

    Returns:
        Deflectors (count).
    """
    values, mean, root, types, has_spec = _table()
    row = rng.integers(0, len(values), count)
    noise = rng.standard_normal((count, values.shape[1])) @ root.T
    drawn = mean + (values[row] - mean + BANDWIDTH * noise) / np.sqrt(1 + BANDWIDTH**2)
    return Deflectors(
        drawn[:, 0],
        drawn[:, 1],
        drawn[:, 2],
        np.clip(drawn[:, 3], 0.06, 1.3),
        np.exp(drawn[:, 4]),
        types[row],
        has_spec[row],
    )


@cache
def _table() -> tuple[Floats, Floats, Floats, NDArray[np.str_], NDArray[np.bool_]]:
    text = files("lenscore.survey.sky").joinpath("data/deflectors.csv").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    rows: Any = np.genfromtxt(lines, delimiter=",", names=True, dtype=None, encoding="utf-8")
    values = np.stack([rows["mag_z"], rows["g_r"], rows["r_z"], rows["z_phot"], np.log(rows["ebv"])], axis=1)
    root = np.linalg.cholesky(np.cov(values.T))
    return values, values.mean(axis=0), root, rows["type"], rows["has_spec"].astype(bool)
