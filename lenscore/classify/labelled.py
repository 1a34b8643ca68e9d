"""Reading labels, and writing down who was in which part."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.artifacts import Artifact, Sink
from lenscore.classify.splits import Block, LabelRows, Splits
from lenscore.cutouts import Cutouts

SPLITS = pa.schema(
    [
        pa.field("row", pa.int64()),
        pa.field("ls_id", pa.int64()),
        pa.field("part", pa.string()),
        pa.field("is_lens", pa.bool_()),
        pa.field("place", pa.int64()),
    ]
)
"""place: how many nonlenses were drawn before it (-1 for lenses): the 1:r set has those below r x lenses."""

TRAINED = "trained.bits"


def read_labels(artifact: Artifact) -> LabelRows:
    """Read a labels artifact.

    Args:
        artifact: of kind labels.

    Returns:
        Its rows; lenses are told from near and ambiguous ones.
    """
    table = artifact.table("labels").read(["row", "ls_id", "ra", "dec", "label", "system_id"])
    systems = np.array([name or "" for name in table["system_id"].to_pylist()], dtype=object).astype(str)
    _, system = np.unique(systems, return_inverse=True)
    return LabelRows(
        row=table["row"].to_numpy(),
        ls_id=table["ls_id"].to_numpy(),
        ra=table["ra"].to_numpy(),
        dec=table["dec"].to_numpy(),
        is_lens=np.array(table["label"].to_pylist(), dtype=object) == "lens",
        system=np.where(systems == "", -1, system).astype(np.int64),
    )


def cutout_objects(cutouts: Cutouts, block_rows: int = 1 << 20) -> Iterator[Block]:
    """Walk over a release's identities, as `draw_splits` takes them.

    Args:
        cutouts: the release's.
        block_rows: objects at a time.

    Yields:
        (first row, ls_id, valid).
    """
    for start in range(0, cutouts.rows, block_rows):
        stop = min(cutouts.rows, start + block_rows)
        ls_id = cutouts.catalogue.read(["ls_id"], start, stop)["ls_id"].to_numpy()
        yield start, ls_id, cutouts.valid(start, stop)


def write_splits(sink: Sink, splits: Splits, objects: Iterable[Block]) -> None:
    """Write the table splits/, a row for each object in a part, rising by row.

    Args:
        sink: of the model artifact.
        splits: the parts.
        objects: the release's blocks (first row, ls_id, valid), in order.
    """
    rows, part, is_lens, place = [], [], [], []
    for name, one in splits.parts.items():
        rows.append(one.rows)
        part.append(np.full(len(one.rows), name))
        is_lens.append(one.is_lens)
        place.append(np.concatenate([np.full(len(one.lenses), -1), np.arange(len(one.nonlenses))]))
    all_rows = np.concatenate(rows)
    # lenses that cross-validation shares between training and validation are listed once, as training
    order = np.unique(all_rows, return_index=True)[1]
    columns = [np.concatenate(column)[order] for column in (part, is_lens, place)]
    all_rows = all_rows[order]
    with sink.table("splits", SPLITS) as writer:
        for first, last, ls_id in _identities(objects, all_rows):
            chunk = [all_rows[first:last], ls_id, *(column[first:last] for column in columns)]
            writer.write(pa.table(chunk, schema=SPLITS))


def write_trained(sink: Sink, rows: NDArray[np.int64], total: int) -> None:
    """Write one bit for each object of the release: whether weights were fitted to it."""
    flags = np.zeros(total, bool)
    flags[rows] = True
    sink.write_bytes(TRAINED, np.packbits(flags).tobytes())


def read_trained(model: Artifact, cutouts: str, start: int, stop: int) -> NDArray[np.bool_]:
    """Whether a model's weights were fitted to rows start to stop of a release.

    Args:
        model: a linear or fine-tuned model.
        cutouts: id of the cutouts that are asked about; a model knows only its own.
        start: first row.
        stop: row after the last.

    Returns:
        (stop - start,) bool.
    """
    if model.read_json("model.json").get("cutouts") != cutouts:
        return np.zeros(stop - start, bool)
    packed = np.frombuffer(model.read_bytes(TRAINED), np.uint8)[start // 8 : -(-stop // 8)]
    return np.unpackbits(packed).astype(bool)[start % 8 : start % 8 + stop - start]


def catalogue_rows(cutouts: Artifact, rows: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
    """A few rows of a catalogue, in the order asked for; one pass over these columns.

    Args:
        cutouts: whose catalogue.
        rows: row numbers, none twice (n,).
        columns: names.

    Returns:
        A table of n rows.
    """
    order = np.argsort(rows)
    rising, start, found = rows[order], 0, []
    for batch in cutouts.table("catalogue").batches(list(columns)):
        first, last = np.searchsorted(rising, [start, start + batch.num_rows])
        found.append(batch.take(pa.array(rising[first:last] - start)))
        start += batch.num_rows
    return pa.Table.from_batches(found).take(pa.array(np.argsort(order)))


def _identities(objects: Iterable[Block], rows: NDArray[np.int64]) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    for start, ls_id, _ in objects:
        first, last = np.searchsorted(rows, [start, start + len(ls_id)])
        if last > first:
            yield int(first), int(last), ls_id[rows[first:last] - start]
