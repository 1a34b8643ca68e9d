"""Sky map and distributions of any catalogue with positions (Figures 9 and 10)."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.errors import InputError
from lenscore.figures.plots import plot_distributions
from lenscore.figures.sky_maps import SkyGrid, draw_sky
from lenscore.survey.columns import find_position_columns


def summary_figures(table: pa.Table) -> Iterator[tuple[str, bytes]]:
    """Draw what a catalogue's columns allow.

    Args:
        table: with positions; mag_z, z_phot or z_phot_mean, type, region and grade where they are known.

    Yields:
        (name, PNG).

    Raises:
        InputError: there are no positions.
    """
    ra, dec = find_position_columns(table.column_names)
    named = table.rename_columns(
        [
            {ra: "ra", dec: "dec", "z_phot_mean": "z_phot", "source_type": "type"}.get(name, name)
            for name in table.column_names
        ]
    )
    grid = SkyGrid()
    grid.add(_floats(named, "ra"), _floats(named, "dec"))
    yield "sky.png", draw_sky(grid.density(), "objects a square degree", positions_by_grade(named), "Catalogue")
    yield from distributions(named)


def distributions(table: pa.Table) -> Iterator[tuple[str, bytes]]:
    """Figure 10, if the catalogue has magnitudes, redshifts and types."""
    if not {"mag_z", "z_phot", "type"} <= set(table.column_names):
        return
    regions = _texts(table, "region", "south")
    parts = {region: table.filter(pa.array([item == region for item in regions])) for region in sorted(set(regions))}
    yield (
        "figure10-distributions.png",
        plot_distributions(
            {region: _floats(part, "mag_z") for region, part in parts.items()},
            {region: _floats(part, "z_phot") for region, part in parts.items()},
            {region: part["type"].to_pylist() for region, part in parts.items()},
        ),
    )


def positions_by_grade(table: pa.Table) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """(ra, dec) in degrees of the objects of each grade."""
    grades = _texts(table, "grade", "")
    found = {}
    for grade in sorted(set(grades)):
        rows = table.filter(pa.array([item == grade for item in grades]))
        found[f"grade {grade}" if grade else "not graded"] = (_floats(rows, "ra"), _floats(rows, "dec"))
    return found


def _texts(table: pa.Table, name: str, default: str) -> list[str]:
    if name not in table.column_names:
        return [default] * table.num_rows
    return [default if value is None else str(value) for value in table[name].to_pylist()]


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    try:
        return np.asarray(table[name].cast(pa.float64()).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid as error:
        raise InputError(f"column {name!r} holds no numbers", "correct the table") from error
