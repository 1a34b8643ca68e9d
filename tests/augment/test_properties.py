"""Properties of objects, from a catalogue."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from lenscore.augment import Properties
from lenscore.augment.measure import noise_sigma_nmgy, psf_sigma_px
from lenscore.errors import InputError


def table(ebv: list[float]) -> pa.Table:
    columns = {
        f"{stem}_{band}": np.full(len(ebv), value, np.float32)
        for stem, value in (("psfsize", 1.3), ("psfdepth", 900.0))
        for band in "grz"
    }
    return pa.table({"ebv": np.array(ebv, np.float32), **columns})


def test_columns_become_tensors_in_the_bands_order() -> None:
    rows = table([0.1, 0.2]).set_column(1, "psfsize_g", pa.array([1.0, 2.0], pa.float32()))
    found = Properties.from_table(rows, ("z", "g"))
    assert found.psfsize_bc is not None
    torch.testing.assert_close(found.psfsize_bc, torch.tensor([[1.3, 1.0], [1.3, 2.0]]))
    assert len(found.take(slice(1, 2))) == 1


def test_depth_and_size_may_be_absent() -> None:
    found = Properties.from_table(pa.table({"ebv": [0.1]}), ("g", "r", "z"))
    assert found.psfsize_bc is None


def test_bad_rows_and_missing_columns_are_named() -> None:
    with pytest.raises(InputError, match="1 of 2 rows, first in row 1"):
        Properties.from_table(table([0.1, np.nan]), ("g",))
    with pytest.raises(InputError, match="'ebv'"):
        Properties.from_table(pa.table({"x": [1]}), ("g",))


def test_equations_b1_and_b2() -> None:
    sigma_px = psf_sigma_px(np.array([1.3]), 0.262)
    assert sigma_px[0] == pytest.approx(1.3 / 0.262 / 2.3548)
    noise = noise_sigma_nmgy(np.array([900.0]), sigma_px)[0]
    assert 1 / noise**2 == pytest.approx(4 * np.pi * 900.0 * (1.3 / 0.262 / 2.3548) ** 2)
