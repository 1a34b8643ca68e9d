"""What the augmentations need to know of each object besides its image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from lenscore.errors import InputError


@dataclass(frozen=True)
class Properties:
    """Catalogue values of a batch of objects.

    Args:
        ebv_b: (B,) float32, E(B-V) in mag.
        psfsize_bc: (B, C) float32, full width of the PSF in arcsec; needed where `initial` is "measured".
        psfdepth_bc: (B, C) float32, point-source depth in 1 / nmgy^2; needed where `initial` is "measured".
    """

    ebv_b: torch.Tensor
    psfsize_bc: torch.Tensor | None = None
    psfdepth_bc: torch.Tensor | None = None

    @classmethod
    def from_table(cls, table: pa.Table, bands: tuple[str, ...]) -> Properties:
        """Take the columns of a catalogue, checked, so that a bad row is met before training and not in it.

        Args:
            table: catalogue with ebv and, if measured values are wanted, psfsize_b and psfdepth_b of each band.
            bands: the release's bands.

        Returns:
            Properties of all rows. A PSF or depth that is not positive stays: such a band is not blurred or
            made noisier where `initial` is "measured".

        Raises:
            InputError: ebv is missing or not finite.
        """
        if "ebv" not in table.column_names:
            raise InputError(f"the catalogue has no column 'ebv', only {', '.join(table.column_names)}", "add it")
        ebv = _column(table, "ebv")
        bad = ~np.isfinite(ebv)
        if bad.any():
            raise InputError(
                f"ebv is not finite in {bad.sum()} of {len(ebv)} rows, first in row {bad.argmax()}",
                "leave those rows out of the training sample",
            )
        return cls(torch.from_numpy(ebv), _columns(table, "psfsize", bands), _columns(table, "psfdepth", bands))

    def __len__(self) -> int:
        return len(self.ebv_b)

    def take(self, rows: torch.Tensor | slice) -> Properties:
        """Properties of some of the rows."""
        return self._map(lambda values: values[rows])

    def to(self, device: torch.device | str) -> Properties:
        """The same on another device."""
        return self._map(lambda values: values.to(device))

    def _map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Properties:
        size_bc, depth_bc = self.psfsize_bc, self.psfdepth_bc
        return Properties(
            change(self.ebv_b),
            None if size_bc is None else change(size_bc),
            None if depth_bc is None else change(depth_bc),
        )


def _columns(table: pa.Table, stem: str, bands: tuple[str, ...]) -> torch.Tensor | None:
    names = [f"{stem}_{band}" for band in bands]
    if any(name not in table.column_names for name in names):
        return None
    return torch.from_numpy(np.stack([_column(table, name) for name in names], axis=1))


def _column(table: pa.Table, name: str) -> np.ndarray:
    return np.array(table[name].to_numpy(), dtype=np.float32)
