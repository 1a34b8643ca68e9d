"""similar: each object's most similar objects, exactly, within a window of magnitude.

The plan sorts the embeddings by magnitude: one sequential pass over embeddings and catalogue, files of narrow ranges
of magnitude in the scratch folder (as large as the compared vectors), then one pass over those. A unit takes 16,384
consecutive objects of that order and reads the range of candidates that their windows cover.

Memory: at most 1.5 GiB for k = 999 and 2048 components, whatever the number of objects. Time: objects x objects in a
window x components; it grows with the square of the number of objects (see benchmarks/bench_neighbours.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lenscore.config import Config, field

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from lenscore.artifacts import Checkpoints, Inputs, Runtime, Sink, Table
    from lenscore.similarity import Embeddings, Whitening
    from lenscore.similarity.sort import Buckets, Keyed

VERSION = 1


class SimilarConfig(Config):
    """Settings of the job."""

    k: int = field(999, unit="", source="FACTS: Similarity", description="neighbours of each object", ge=1)
    window_mag: float = field(
        0.5, unit="mag", source="FACTS: Similarity", description="largest difference in magnitude of neighbours", gt=0
    )
    band: str = field("r", unit="", source="FACTS: Similarity", description="band of that magnitude")
    limit_mag: float | None = field(
        20.0, unit="mag", source="FACTS: Similarity", description="objects as faint as this take no part; none: all do"
    )
    limit_band: str = field("z", unit="", source="FACTS: Similarity", description="band of the limit")
    components: int | None = field(
        None,
        unit="",
        source="paper 4.1: cosine of the embeddings as they are; whitening is ours",
        description="whiten to this many components first; none: no whitening",
        ge=1,
    )
    whitening_rows: int = field(
        200_000,
        unit="rows",
        source="assumed: 100 rows a dimension",
        description="rows that the whitening is fitted on",
        ge=2,
    )
    seed: int = field(0, unit="", source="assumed", description="seed of the choice of those rows")


def plan(config: SimilarConfig, inputs: Inputs, sink: Sink, runtime: Runtime) -> int:
    """Sort the embeddings by magnitude."""
    from lenscore.cutouts import Cutouts
    from lenscore.similarity import Embeddings
    from lenscore.similarity.neighbours import INFO, WHITENING, array_specs

    embeddings, cutouts = Embeddings.open(inputs.one("embeddings")), Cutouts.open(inputs.one("cutouts"))
    whitening = _fit_whitening(config, embeddings, cutouts.catalogue)
    sink.write_bytes(WHITENING, whitening.to_bytes())
    dimension = whitening.dimension(embeddings.dimension)
    for path, spec in array_specs(embeddings.rows, dimension, config.k).items():
        sink.declare_array(path, spec)
    ranked = _write_sorted(config, embeddings, cutouts.catalogue, whitening, sink, runtime)
    sink.write_json(
        INFO,
        {
            "embeddings": embeddings.id,
            "cutouts": cutouts.artifact.id,
            "k": config.k,
            "window_mag": config.window_mag,
            "band": config.band,
            "components": config.components,
            "dimension": dimension,
            "ranked": ranked,
        },
    )
    sink.metrics(objects=embeddings.rows, without_neighbours=embeddings.rows - ranked)
    return embeddings.rows


def run(config: SimilarConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Search for the neighbours of one unit."""
    import numpy as np

    from lenscore.similarity.neighbours import GROUP, planned_sorted
    from lenscore.similarity.windows import search

    data = planned_sorted(sink)
    similarity, rows = search(
        data, sink.rows.start, sink.rows.stop, config.k, config.window_mag, runtime.threads, runtime.device
    )
    sink.write_rows(f"{GROUP}/rows", sink.rows.start, rows)
    sink.write_rows(f"{GROUP}/similarity", sink.rows.start, similarity.astype(np.float16))
    sink.progress(len(sink.rows), len(sink.rows))


def _fit_whitening(config: SimilarConfig, embeddings: Embeddings, catalogue: Table) -> Whitening:
    from lenscore.errors import InputError
    from lenscore.similarity import Whitening
    from lenscore.similarity.sample import sample_batches

    if embeddings.rows != catalogue.num_rows:
        raise InputError(
            f"{embeddings.rows} embeddings for {catalogue.num_rows} objects of the catalogue",
            "hand over the cutouts that were embedded",
        )
    batches = sample_batches(embeddings, config.whitening_rows, config.seed)
    return Whitening.fit(batches, config.components)


def _write_sorted(
    config: SimilarConfig, embeddings: Embeddings, catalogue: Table, whitening: Whitening, sink: Sink, runtime: Runtime
) -> int:
    import tempfile
    from pathlib import Path

    import numpy as np

    from lenscore.similarity.neighbours import GROUP
    from lenscore.similarity.sort import BLOCK_ROWS, Buckets, count_mags

    dimension = whitening.dimension(embeddings.dimension)
    bucket_rows = max(1, int(runtime.memory_gib * 2**30 / 16) // (8 + 2 * dimension))
    histogram = count_mags(_magnitudes(config, catalogue, BLOCK_ROWS))
    with tempfile.TemporaryDirectory(prefix="sort-", dir=runtime.scratch) as folder:
        buckets = Buckets(Path(folder), histogram, embeddings.rows, dimension, bucket_rows)
        for batch in _keyed(config, embeddings, catalogue, whitening):
            buckets.add(batch)
            sink.progress(int(batch.row[-1]) + 1, embeddings.rows)
        ranked = _store_blocks(buckets, sink)
        for start in range(0, embeddings.rows, BLOCK_ROWS):
            sink.write_rows(f"{GROUP}/position", start, np.asarray(buckets.position[start : start + BLOCK_ROWS]))
    return ranked


def _store_blocks(buckets: Buckets, sink: Sink) -> int:
    import numpy as np

    from lenscore.similarity.neighbours import GROUP

    start = ranked = 0
    for block in buckets.blocks():
        for name, values in (("order", block.row), ("mag", block.mag), ("vectors", block.vector)):
            sink.write_rows(f"{GROUP}/{name}", start, values)
        start += len(block.row)
        ranked += int(np.sum(~np.isnan(block.mag)))
    return ranked


def _keyed(config: SimilarConfig, embeddings: Embeddings, catalogue: Table, whitening: Whitening) -> Iterator[Keyed]:
    import numpy as np

    from lenscore.similarity.sample import usable
    from lenscore.similarity.sort import BLOCK_ROWS, Keyed

    mags = _magnitudes(config, catalogue, BLOCK_ROWS)
    for batch, mag in zip(embeddings.batches(BLOCK_ROWS), mags, strict=True):
        good = batch.valid & usable(batch.embeddings)
        vectors = batch.embeddings
        if not whitening.is_identity:
            vectors = whitening.apply(np.where(good[:, None], vectors, 0)).astype(np.float16)
        rows = np.arange(batch.start, batch.start + len(mag), dtype=np.uint32)
        yield Keyed(np.where(good, mag, np.float32(np.nan)), rows, vectors)


def _magnitudes(config: SimilarConfig, catalogue: Table, batch_rows: int) -> Iterator[NDArray[np.float32]]:
    """Magnitudes in row order, in batches of exactly `batch_rows`; NaN for objects that take no part."""
    import numpy as np

    columns = [f"mag_{config.band}"] + ([f"mag_{config.limit_band}"] if config.limit_mag is not None else [])
    waiting = np.zeros(0, np.float32)
    for batch in catalogue.batches(columns):
        mag = batch.column(0).to_numpy(zero_copy_only=False).astype(np.float32)
        limit = batch.column(batch.num_columns - 1).to_numpy(zero_copy_only=False)
        bright = True if config.limit_mag is None else limit < config.limit_mag
        waiting = np.concatenate([waiting, np.where(np.isfinite(mag) & bright, mag, np.float32(np.nan))])
        while len(waiting) >= batch_rows:
            yield waiting[:batch_rows]
            waiting = waiting[batch_rows:]
    if len(waiting):
        yield waiting
