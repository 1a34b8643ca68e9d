"""sample: the training set, drawn and shuffled once, so that training reads it in order.

Why: 3.5 M images scattered over 61,000 shards, read at random in every epoch, would decode 16 images for one and starve
the GPUs. Here each stored chunk that holds a wanted image is read and decoded once.

Cost: plan reads magnitudes and validity of all rows twice, and the whole catalogue once for every million rows drawn.
Its memory is 60 bytes for each row drawn (0.2 GB for 3.5 M) and one million rows of the catalogue (0.5 GB), whatever
the size of the survey. A unit takes 0.5 GB, reads one chunk (0.8 MB) for each of its distinct chunks and decodes it in
3 ms. For 3.5 M of 42 M southern rows, three chunks in four hold a wanted row, 1.8 wanted rows each: 2.0 M reads, 1.5 TB
(row by row it would be 3.5 M reads, 2.7 TB), 1.7 core-hours to decode, 1.2 to compress. The result is 0.22 TB.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from lenscore.config import Config, field
from lenscore.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from lenscore.artifacts import Checkpoints, Inputs, Runtime, Sink
    from lenscore.cutouts import CodecConfig, Cutouts
    from lenscore.cutouts.sampling import Candidates

VERSION = 1
BLOCK_ROWS = 1_000_000


class SampleConfig(Config):
    """What is drawn."""

    rows: int = field(
        3_500_000, unit="", source="paper 3.1", description="images to draw; all of them where there are fewer", ge=1
    )
    region: Literal["south", "north", "any"] = field(
        "south", unit="", source="paper 3.1", description="part of the survey"
    )
    band: str = field("z", unit="", source="paper 3.1", description="band whose magnitude is cut and made uniform")
    mag_max: float = field(20.0, unit="mag", source="paper 3.1", description="only objects brighter than this")
    bin_mag: float = field(
        0.1, unit="mag", source="assumed: finer than any feature of Figure 15", description="width of a bin", gt=0
    )
    extinction_corrected: bool = field(
        False, unit="", source="FACTS: Survey (the paper does not say)", description="correct magnitudes for dust first"
    )
    seed: int = field(0, unit="", source="assumed", description="of draw and shuffle", ge=0, lt=2**31)


def plan(config: SampleConfig, inputs: "Inputs", sink: "Sink", runtime: "Runtime") -> int:
    """Draw the rows, fix their order and write the catalogue.

    Raises:
        InputError: no object fits, or the catalogue lacks a column.
    """
    from lenscore.cutouts import Cutouts, CutoutsWriter
    from lenscore.cutouts.layout import SHARD_ROWS
    from lenscore.cutouts.sampling import Bins, count_candidates, draw_rows, flat_quotas, shuffle_by_chunk

    cutouts = Cutouts.open(inputs.one("cutouts"))
    bins = Bins(config.mag_max, config.bin_mag)
    counts = count_candidates(_candidates(config, cutouts), bins)
    if not counts.sum():
        raise InputError(
            f"none of {cutouts.rows} objects is valid, in region {config.region!r} and has mag_{config.band} < {config.mag_max:g}",
            "change region or mag_max",
        )
    quotas = flat_quotas(counts, config.rows)
    drawn = draw_rows(_candidates(config, cutouts), bins, counts, quotas, config.seed)
    rows = shuffle_by_chunk(drawn, cutouts.chunk_rows, SHARD_ROWS, config.seed)
    _write_catalogue(cutouts, rows, sink)
    CutoutsWriter(sink, len(rows), cutouts.release, _codec(cutouts)).declare()
    sink.metrics(
        candidates=int(counts.sum()), rows_asked=config.rows, rows_drawn=len(rows), max_rows_in_bin=int(quotas.max())
    )
    return len(rows)


def run(config: SampleConfig, inputs: "Inputs", sink: "Sink", checkpoints: "Checkpoints", runtime: "Runtime") -> None:
    """Copy one shard's images, as they are stored."""
    from lenscore.cutouts import CodecError, Cutouts, CutoutsWriter, Encoded

    cutouts = Cutouts.open(inputs.one("cutouts"))
    rows = _planned_rows(sink)
    batch = cutouts.take_stored(rows, threads=runtime.threads)
    writer = CutoutsWriter(sink, sink.rows.stop, cutouts.release, _codec(cutouts))
    writer.write_encoded(sink.rows.start, Encoded(batch.images_bchw, batch.step_bc, batch.valid_b, CodecError()))


def _candidates(config: SampleConfig, cutouts: "Cutouts") -> "Iterator[Candidates]":
    import numpy as np

    from lenscore.cutouts.sampling import Candidates

    columns = ["region", f"mag_{config.band}", "ebv"]
    start = 0
    for batch in cutouts.catalogue.batches(columns):
        rows = np.arange(start, start + batch.num_rows)
        start += batch.num_rows
        mag = batch[columns[1]].to_numpy(zero_copy_only=False).astype(np.float64)
        if config.extinction_corrected:
            mag = mag - _extinction(config, cutouts) * batch["ebv"].to_numpy(zero_copy_only=False)
        chosen = (mag < config.mag_max) & cutouts.valid(int(rows[0]), start)
        if config.region != "any":
            chosen &= np.asarray(batch["region"].to_numpy(zero_copy_only=False) == config.region)
        yield Candidates(rows[chosen], mag[chosen])


def _extinction(config: SampleConfig, cutouts: "Cutouts") -> float:
    return cutouts.release.extinction[cutouts.bands.index(config.band)]


def _codec(cutouts: "Cutouts") -> "CodecConfig":
    from lenscore.cutouts import CodecConfig

    return CodecConfig.model_validate({"kind": cutouts.kind})


def _write_catalogue(cutouts: "Cutouts", rows: "NDArray[np.int64]", sink: "Sink") -> None:
    """Write the catalogue in the sample's order, a block of rows for each pass over the source."""
    import pyarrow as pa

    schema = cutouts.catalogue.schema.append(pa.field("source_row", pa.int64()))
    with sink.table("catalogue", schema) as table:
        for first in range(0, len(rows), BLOCK_ROWS):
            block = rows[first : first + BLOCK_ROWS]
            table.write(_pick(cutouts, block).append_column(schema.field("source_row"), pa.array(block)).cast(schema))
            sink.progress(first + len(block), len(rows))


def _pick(cutouts: "Cutouts", rows: "NDArray[np.int64]") -> "pa.Table":
    import numpy as np
    import pyarrow as pa

    order = np.argsort(rows)
    ascending, start, parts = rows[order], 0, []
    for batch in cutouts.catalogue.batches():
        low, high = np.searchsorted(ascending, (start, start + batch.num_rows))
        parts.append(batch.take(pa.array(ascending[low:high] - start)))
        start += batch.num_rows
    back = np.empty(len(rows), dtype=np.int64)
    back[order] = np.arange(len(rows))
    return pa.Table.from_batches(parts).take(pa.array(back))


def _planned_rows(sink: "Sink") -> "NDArray[np.int64]":
    """Source rows of this unit, from the catalogue that the plan wrote."""
    import numpy as np

    rows = sink.planned_table("catalogue").read(["source_row"], sink.rows.start, sink.rows.stop)
    return np.asarray(rows["source_row"])
