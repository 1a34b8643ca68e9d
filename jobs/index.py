"""index: an approximate index for queries, with its recall measured against exact search.

Memory: the index itself (see lenscore/similarity/index.py: 10.3 GB for 76 million objects of 128 components in sq8),
the training sample (4 bytes a component) and one batch. Time grows linearly with the objects: one pass to add, one pass
of exact search for the recall report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from lenscore.config import Config, field

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from lenscore.artifacts import Checkpoints, Inputs, Runtime, Sink
    from lenscore.similarity import Embeddings, Whitening
    from lenscore.similarity.index import Shape

VERSION = 1


class IndexConfig(Config):
    """Settings of the job."""

    kind: Literal["ivf", "hnsw"] = field(
        "ivf", unit="", source="assumed: its lists can stay on disk", description="lists of near vectors, or a graph"
    )
    coding: Literal["flat", "sq8", "sq4", "pq"] = field(
        "sq8", unit="", source="assumed: a quarter of the memory, little loss", description="how vectors are stored"
    )
    components: int | None = field(
        None,
        unit="",
        source="paper 4.1: cosine of the embeddings as they are; whitening is ours",
        description="whiten to this many components first; none: no whitening",
        ge=1,
    )
    train_rows: int = field(
        500_000, unit="rows", source="assumed: 39 vectors for each of 13,000 lists", description="rows trained on", ge=2
    )
    lists: int | None = field(
        None, unit="", source="assumed: 4 sqrt(N)", description="number of lists; none: by number of objects", ge=1
    )
    links: int = field(32, unit="", source="assumed: faiss", description="links of an object in the graph", ge=4)
    pq_bytes: int = field(32, unit="byte", source="assumed", description="bytes an object with coding pq", ge=1)
    effort: int = field(
        32,
        unit="",
        source="assumed; see the recall table",
        description="lists (ivf) or candidates (hnsw) looked at in a query",
        ge=1,
    )
    efforts: tuple[int, ...] = field(
        (1, 8, 32, 128), unit="", source="assumed", description="efforts in the recall report"
    )
    recall_k: tuple[int, ...] = field(
        (1, 10, 100), unit="", source="assumed", description="k in the recall report", min_length=1
    )
    queries: int = field(
        50, unit="", source="assumed", description="queries a bin of magnitude in the recall report", ge=1
    )
    band: str = field("r", unit="", source="FACTS: Similarity", description="band of the bins")
    bin_mag: float = field(1.0, unit="mag", source="assumed", description="width of the bins", gt=0)
    seed: int = field(0, unit="", source="assumed", description="seed of samples and k-means")


def run(config: IndexConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Train, add, check, report."""
    from lenscore.similarity import Embeddings
    from lenscore.similarity.index import INDEX, INFO, WHITENING, add_vectors, check_memory, train_index
    from lenscore.similarity.recall import choose_queries, measure_recall

    embeddings, catalogue = Embeddings.open(inputs.one("embeddings")), inputs.one("cutouts").table("catalogue")
    queries = choose_queries(embeddings, catalogue, config.band, config.bin_mag, config.queries, config.seed)
    sample, whitening = _sample(config, embeddings, set(queries.rows.tolist()))
    shape = _shape(config, embeddings.rows, sample.shape)
    check_memory(shape, embeddings.rows, runtime.memory_gib)
    index = train_index(shape, sample, config.seed, runtime.threads)
    objects = add_vectors(index, _batches(embeddings, whitening, sink))
    _store(index, sample[:16], sink, INDEX)
    sink.write_bytes(WHITENING, whitening.to_bytes())
    sink.write_json(
        INFO,
        {
            "embeddings": embeddings.id,
            "cutouts": inputs.one("cutouts").id,
            "objects": objects,
            "kind": shape.kind,
            "coding": shape.coding,
            "lists": shape.lists,
            "effort": config.effort,
            "components": config.components,
            "factory": shape.factory,
            "bytes_per_object": shape.bytes_per_object,
        },
    )
    efforts = tuple(sorted({*config.efforts, config.effort}))
    report = measure_recall(index, embeddings, whitening, queries, config.recall_k, efforts, runtime.device)
    sink.write_table("recall", report)
    sink.metrics(objects=objects, recall=_overall(report, config.effort, max(config.recall_k)))


def _sample(config: IndexConfig, embeddings: Embeddings, held_out: set[int]) -> tuple[NDArray[np.float32], Whitening]:
    """Training vectors, without the queries that the recall is measured with."""
    import numpy as np

    from lenscore.errors import InputError
    from lenscore.similarity import Whitening
    from lenscore.similarity.exact import prepare
    from lenscore.similarity.sample import sample_rows

    parts = [
        vectors[~np.isin(rows, list(held_out))]
        for rows, vectors in sample_rows(embeddings, config.train_rows, config.seed)
    ]
    if not sum(map(len, parts)):
        raise InputError(
            f"none of {embeddings.rows} embeddings is valid and outside the recall report's queries",
            "embed more images, or lower `queries`",
        )
    whitening = Whitening.fit(parts, config.components)
    return np.concatenate([prepare(part, whitening) for part in parts]), whitening


def _shape(config: IndexConfig, rows: int, sample: tuple[int, ...]) -> Shape:
    from lenscore.similarity.index import Shape, choose_lists

    lists = config.lists or choose_lists(rows, sample[0])
    return Shape(config.kind, config.coding, sample[1], min(lists, sample[0]), config.links, config.pq_bytes)


def _batches(
    embeddings: Embeddings, whitening: Whitening, sink: Sink
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    import numpy as np

    from lenscore.similarity.exact import BATCH_ROWS, prepare
    from lenscore.similarity.sample import usable

    for batch in embeddings.batches(BATCH_ROWS):
        good = batch.valid & usable(batch.embeddings)
        yield prepare(batch.embeddings[good], whitening), batch.start + np.flatnonzero(good)
        sink.progress(batch.start + len(good), embeddings.rows)


def _store(index: Any, probe: NDArray[np.float32], sink: Sink, name: str) -> None:
    """Write the index, and check that the file gives the answers that the index gives."""
    import numpy as np

    from lenscore.errors import StoreError
    from lenscore.similarity.blas import import_faiss

    faiss = import_faiss()
    with sink.file(name) as path:
        faiss.write_index(index, str(path))
        again = faiss.read_index(str(path))
        same = all(np.array_equal(a, b) for a, b in zip(index.search(probe, 1), again.search(probe, 1), strict=True))
        if again.ntotal != index.ntotal or not same:
            raise StoreError(
                f"the index read back from {path} gives other answers", "check the scratch disk, run again"
            )


def _overall(report: pa.Table, effort: int, k: int) -> float:
    rows = [row for row in report.to_pylist() if row["effort"] == effort and row["k"] == k]
    queries = sum(row["queries"] for row in rows)
    return round(sum(row["recall"] * row["queries"] for row in rows) / queries, 4) if queries else 0.0
