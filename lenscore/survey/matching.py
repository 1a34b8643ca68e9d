"""Which objects of a catalogue lie near known lenses (paper 2.2).

An object within the radius of a lens makes a pair with it. Of the objects in pairs with a lens the nearest one is "the
lens"; the others are near it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.artifacts.tables import Table
from lenscore.survey.ids import NO_ID
from lenscore.survey.parallel import map_parts
from lenscore.survey.schema import REJECTED
from lenscore.survey.sky_geometry import TargetIndex, good_positions, position_fault

RADIUS_ARCSEC = 25.15
"""Side of a network's image, 96 px of 0.262 arcsec (paper 2.2)."""

FOUND = pa.schema(
    [
        pa.field("row", pa.int64()),
        pa.field("ls_id", pa.int64()),
        pa.field("ra", pa.float64(), metadata={"unit": "deg"}),
        pa.field("dec", pa.float64(), metadata={"unit": "deg"}),
        pa.field("target", pa.int64()),
        pa.field("separation_arcsec", pa.float64(), metadata={"unit": "arcsec"}),
    ]
)
"""Pairs as they are found: target is the lens's row in the list."""

PAIRS = pa.schema(
    [
        *(FOUND.field(name) for name in ("row", "ls_id", "ra", "dec")),
        pa.field("system_id", pa.string()),
        pa.field("names", pa.list_(pa.string())),
        pa.field("grades", pa.list_(pa.string())),
        pa.field("lens_ra", pa.float64(), metadata={"unit": "deg"}),
        pa.field("lens_dec", pa.float64(), metadata={"unit": "deg"}),
        FOUND.field("separation_arcsec"),
        pa.field("nearest", pa.bool_()),
    ]
)
"""Pairs of an object and a lens; nearest marks the object that is "the lens"."""


@dataclass(frozen=True)
class MatchSummary:
    """What a crossmatch found.

    Attributes:
        pairs: object-lens pairs within the radius.
        objects_with_lens: objects in at least one pair.
        nearest: objects that are the nearest one of at least one lens.
        near_only: objects in pairs that are the nearest of none.
        objects: objects looked at.
        lenses: lenses looked for.
        lenses_matched: lenses in at least one pair.
        rejected: rows set aside, of both tables.
    """

    pairs: int
    objects_with_lens: int
    nearest: int
    near_only: int
    objects: int
    lenses: int
    lenses_matched: int
    rejected: int


def match_table(
    table: Table,
    index: TargetIndex,
    *,
    scheduler: str | None = None,
    threads: int = 1,
    done: Callable[[int, int], None] | None = None,
) -> tuple[pa.Table, pa.Table]:
    """Match a stored catalogue, a Dask task for each of its parts.

    Time grows linearly with the rows; memory is that of one batch a thread, and of the pairs found.

    Args:
        table: columns ls_id, ra, dec.
        index: the lenses and the radius.
        scheduler: address of a Dask scheduler; threads of this process where None.
        threads: number of those.
        done: called with (parts done, parts).

    Returns:
        (pairs with columns FOUND, rejected rows with columns REJECTED), in the order of the rows.
    """
    stops = np.cumsum([rows for _, rows in table.parts]).tolist()
    ranges = list(zip([0, *stops[:-1]], stops, strict=True))
    found = map_parts(_match_range, ranges, (table, index), scheduler=scheduler, threads=threads, done=done)
    return _concat([pairs for pairs, _ in found], FOUND), _concat([bad for _, bad in found], REJECTED)


def match_batches(
    batches: Iterable[pa.RecordBatch], index: TargetIndex, first_row: int = 0, source: str = "objects"
) -> tuple[pa.Table, pa.Table]:
    """Match consecutive batches of objects.

    Args:
        batches: columns ra, dec [deg], and ls_id where there is one.
        index: the lenses and the radius.
        first_row: row number of the first one.
        source: what rejected rows are said to come from.

    Returns:
        (pairs with columns FOUND, rejected rows with columns REJECTED), in the order of the rows.
    """
    found, bad, row = [], [], first_row
    for batch in batches:
        pairs, rejected = _match_batch(batch, index, row, source)
        found.append(pairs)
        bad.append(rejected)
        row += batch.num_rows
    return _concat(found, FOUND), _concat(bad, REJECTED)


def mark_nearest(found: pa.Table) -> NDArray[np.bool_]:
    """Mark for each lens its nearest object; of equally near ones that of lower ls_id, then row.

    Args:
        found: pairs with columns FOUND (P rows).

    Returns:
        One flag a pair (P,).
    """
    target = found["target"].to_numpy()
    keys = [found[name].to_numpy() for name in ("row", "ls_id", "separation_arcsec")]
    order = np.lexsort((*keys, target))
    first = np.ones(len(order), dtype=bool)
    first[1:] = target[order][1:] != target[order][:-1]
    nearest = np.zeros(len(order), dtype=bool)
    nearest[order[first]] = True
    return nearest


def name_pairs(found: pa.Table, lenses: pa.Table) -> pa.Table:
    """Add to each pair what its lens is.

    Args:
        found: pairs with columns FOUND.
        lenses: the list's columns system_id, ra, dec, names, grades.

    Returns:
        A table with columns PAIRS, in the order of the rows.
    """
    lens = lenses.take(found["target"])
    columns = {name: found[name] for name in ("row", "ls_id", "ra", "dec", "separation_arcsec")}
    columns |= {name: lens[name] for name in ("system_id", "names", "grades")}
    columns |= {"lens_ra": lens["ra"], "lens_dec": lens["dec"]}
    columns["nearest"] = pa.chunked_array([pa.array(mark_nearest(found))])
    return pa.table({name: columns[name] for name in PAIRS.names}).cast(PAIRS)


def summarise(found: pa.Table, objects: int, lenses: int, rejected: int) -> MatchSummary:
    """Count what was found.

    Args:
        found: pairs with columns FOUND.
        objects, lenses, rejected: rows of the two tables, and rows set aside.

    Returns:
        The counts.
    """
    rows = found["row"].to_numpy()
    with_lens, nearest = np.unique(rows), np.unique(rows[mark_nearest(found)])
    return MatchSummary(
        pairs=found.num_rows,
        objects_with_lens=len(with_lens),
        nearest=len(nearest),
        near_only=len(with_lens) - len(nearest),
        objects=objects,
        lenses=lenses,
        lenses_matched=len(np.unique(found["target"].to_numpy())),
        rejected=rejected,
    )


def rejected_positions(
    ra_n: NDArray[np.float64],
    dec_n: NDArray[np.float64],
    rows: NDArray[np.int64],
    ls_id: NDArray[np.int64],
    source: str,
) -> pa.Table:
    """List rows whose position cannot be used.

    Args:
        ra_n, dec_n: their positions (N,) [deg].
        rows, ls_id: row numbers and identities (N,).
        source: the table's name.

    Returns:
        A table with columns REJECTED.
    """
    reasons = [position_fault(ra, dec) for ra, dec in zip(ra_n.tolist(), dec_n.tolist(), strict=True)]
    return pa.table([rows, ls_id, ra_n, dec_n, [source] * len(rows), reasons], schema=REJECTED)


def _match_range(part: tuple[int, int], shared: tuple[Table, TargetIndex]) -> tuple[pa.Table, pa.Table]:
    table, index = shared
    start, stop = part
    return match_batches(table.batches(["ls_id", "ra", "dec"], start=start, stop=stop), index, start)


def _match_batch(batch: pa.RecordBatch, index: TargetIndex, first_row: int, source: str) -> tuple[pa.Table, pa.Table]:
    ra, dec = (floats(batch[name]) for name in ("ra", "dec"))
    good = good_positions(ra, dec)
    usable = None if good.all() else np.flatnonzero(good)
    pairs = index.pairs(ra, dec) if usable is None else index.pairs(ra[usable], dec[usable])
    rows = pairs.object_p if usable is None else usable[pairs.object_p]
    identities = _identities(batch)
    found = [first_row + rows, identities[rows], ra[rows], dec[rows], pairs.target_p, pairs.separation_arcsec_p]
    bad = np.flatnonzero(~good)
    rejected = rejected_positions(ra[bad], dec[bad], first_row + bad, identities[bad], source)
    return pa.table(found, schema=FOUND), rejected


def _identities(batch: pa.RecordBatch) -> NDArray[np.int64]:
    if "ls_id" not in batch.schema.names:
        return np.full(batch.num_rows, NO_ID, dtype=np.int64)
    return np.asarray(batch["ls_id"].to_numpy(zero_copy_only=False), dtype=np.int64)


def floats(column: pa.Array | pa.ChunkedArray) -> NDArray[np.float64]:
    """A column as float64; what is missing becomes NaN."""
    values = column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=np.float64)


def _concat(tables: list[pa.Table], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables(tables).combine_chunks() if tables else schema.empty_table()
