"""Finding rows of a catalogue: by ls_id, by position, by number. Each is one pass in constant memory, at the most."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.artifacts import Table
from lenscore.errors import InputError, NotFoundError
from lenscore.survey.sky_geometry import position_fault, separation_arcsec

BLOCK_ROWS = 65536


def find_ls_id(catalogue: Table, ls_id: int) -> int:
    """Row of an object.

    Raises:
        NotFoundError: it is not in the catalogue.
    """
    start = 0
    for batch in catalogue.batches(["ls_id"]):
        here = np.flatnonzero(batch.column(0).to_numpy() == ls_id)
        if len(here):
            return start + int(here[0])
        start += batch.num_rows
    raise NotFoundError(
        f"ls_id {ls_id} is not among the {start} objects of this release",
        "ls_ids of another release are others: ask by position",
    )


def find_nearest(catalogue: Table, ra: float, dec: float, radius_arcsec: float) -> tuple[int, float]:
    """The object nearest to a position.

    Args:
        catalogue: with ra and dec.
        ra, dec: position, ICRS, deg.
        radius_arcsec: how far it may be away.

    Returns:
        Its row, and how far it is away, arcsec.

    Raises:
        InputError: this is no position.
        NotFoundError: none is as near; the message says where the nearest is.
    """
    fault = position_fault(ra, dec)
    if fault:
        raise InputError(fault, "give ra within 0..360 and dec within -90..90 degrees")
    row, best, start = -1, np.inf, 0
    for batch in catalogue.batches(["ra", "dec"]):
        apart = separation_arcsec(batch.column(0).to_numpy(), batch.column(1).to_numpy(), ra, dec)
        apart = np.where(np.isnan(apart), np.inf, apart)
        here = int(apart.argmin()) if len(apart) else -1
        if here >= 0 and apart[here] < best:
            row, best = start + here, float(apart[here])
        start += batch.num_rows
    if row < 0:
        raise NotFoundError("the catalogue holds no object with a position", "ask by ls_id or image")
    if best > radius_arcsec:
        nearest = read_rows(catalogue, np.array([row]), ["ls_id", "ra", "dec"]).to_pylist()[0]
        raise NotFoundError(
            f"no object within {radius_arcsec:g} arcsec of {ra}, {dec}: the nearest is {nearest['ls_id']} at "
            f"{nearest['ra']:.5f}, {nearest['dec']:.5f}, {best:.1f} arcsec away",
            "ask for that one, or a larger radius",
        )
    return row, best


def read_rows(catalogue: Table, rows: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
    """Any rows of the catalogue, in the order asked for. Memory: those rows and one block of 65,536."""
    parts: list[pa.Table] = []
    where: list[NDArray[np.int64]] = []
    for block in np.unique(rows // BLOCK_ROWS):
        here = np.flatnonzero(rows // BLOCK_ROWS == block)
        start = int(rows[here].min())
        table = catalogue.read(columns, start, int(rows[here].max()) + 1)
        parts.append(table.take(pa.array(rows[here] - start)))
        where.append(here)
    if not parts:
        return catalogue.read(columns, 0, 0)
    order = np.argsort(np.concatenate(where), kind="stable")
    return pa.concat_tables(parts).take(pa.array(order)).combine_chunks()
