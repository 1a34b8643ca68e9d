"""drift: whether a release looks like what the models were trained on.

The embeddings, the PSF, the depth and E(B-V) of a spread of rows are held against those of the training release; each
quantity's population stability index and its limit stand in the table `quantities`. Time and memory depend on `rows`,
not on the size of the releases: with 65,536 rows of 2048 values about 1.5 GB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lenscore.config import Config, field

if TYPE_CHECKING:
    from lenscore.artifacts import Artifact, Checkpoints, Inputs, Runtime, Sink
    from lenscore.similarity.drift import Values

VERSION = 1
BLOCK_ROWS = 256


class DriftConfig(Config):
    """What is compared, and what counts as far."""

    rows: int = field(65536, unit="", source="assumed: resolves an index of 0.01", description="rows looked at", ge=256)
    bins: int = field(10, unit="", source="Siddiqi 2006", description="bins of equal shares of training", ge=2, le=100)
    components: int = field(
        16, unit="", source="assumed: most of the variance", description="principal components of the embeddings", ge=1
    )
    far: float = field(
        0.25, unit="", source="Siddiqi 2006: a large shift", description="stability index that is too far", gt=0
    )
    alpha: float = field(
        1e-3,
        unit="",
        source="Yurdakul 2018, for the form; assumed, for the value",
        description="chance that samples of one distribution are called far",
        gt=0,
        lt=1,
    )


def run(config: DriftConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Write table quantities and drift.json.

    Raises:
        InputError: a release has no usable row, or they share no quantity.
    """
    import pyarrow as pa

    from lenscore.similarity.drift import Directions, Limits, compare

    training, vectors = _sample(inputs.one("training_cutouts"), inputs.one("training_embeddings"), config.rows)
    directions = Directions.of(vectors, min(config.components, vectors.shape[1]))
    training |= dict(directions.measure(vectors))
    found, vectors = _sample(inputs.one("cutouts"), inputs.one("embeddings"), config.rows)
    found |= dict(directions.measure(vectors))
    shifts = compare(training, found, Limits(config.bins, config.far, config.alpha))
    sink.write_table("quantities", pa.Table.from_pylist([shift.row() for shift in shifts]))
    far = [shift.says for shift in shifts if shift.far]
    sink.write_json("drift.json", {"far": far, "largest": shifts[0].says, "quantities": len(shifts)})
    sink.metrics(far=len(far), largest_index=shifts[0].index)


def _sample(cutouts: Artifact, embeddings: Artifact, rows: int) -> tuple[dict[tuple[str, str], Values], Values]:
    """Catalogue values by (quantity, band), and (n, D) vectors, of usable rows among those looked at."""
    import numpy as np

    from lenscore.errors import InputError
    from lenscore.similarity.drift import spread_blocks
    from lenscore.similarity.embeddings import Embeddings

    reader, catalogue = Embeddings.open(embeddings), cutouts.table("catalogue")
    bands: list[str] = cutouts.read_json("release.json")["bands"]
    names = ["ebv", *(f"{stem}_{band}" for stem in ("psfsize", "psfdepth") for band in bands)]
    columns: dict[str, list[Any]] = {name: [] for name in names}
    vectors = []
    for block in spread_blocks(reader.rows, rows, BLOCK_ROWS):
        valid = reader.valid(block.start, block.stop)
        vectors.append(reader.read(block.start, block.stop)[valid])
        table = catalogue.read(names, block.start, block.stop)
        for name in names:
            columns[name].append(table[name].to_numpy()[valid])
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    good = {name: v[np.isfinite(v) & ((v > 0) | (name == "ebv"))] for name, v in joined.items()}
    empty = [name for name, values in good.items() if not len(values)]
    if empty:
        raise InputError(f"no usable {empty[0]} in cutouts {cutouts.id[:12]}", "check the catalogue")
    return {_key(name): values for name, values in good.items()}, np.concatenate(vectors)


def _key(name: str) -> tuple[str, str]:
    quantity, _, band = name.partition("_")
    return quantity, band or "all"
