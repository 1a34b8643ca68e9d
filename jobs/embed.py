"""embed: every image of a release to a float16 vector, in the catalogue's order (paper section 3.2).

Memory: the network, a few batches of images, and one unit of vectors (64 MB at 2048 dimensions), whatever the number
of objects. Time grows linearly with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lenscore.config import Config, field

if TYPE_CHECKING:
    from lenscore.artifacts import Checkpoints, Inputs, Runtime, Sink

VERSION = 2
SHARD_ROWS = 16384
CHUNK_ROWS = 1024
GROUP = "embeddings.zarr"


class EmbedConfig(Config):
    """How images become vectors."""

    precision: Literal["float32", "tf32", "bf16"] = field(
        "float32", unit="", source="assumed", description="of the network's arithmetic"
    )
    average_views: bool = field(
        False, unit="", source="assumed: eight times the work", description="mean over the 8 flips and quarter turns"
    )
    batch: int = field(
        64,
        unit="objects",
        source="assumed: fits a CPU's cache; 512 fill a GPU",
        ge=1,
        description="images at once; sums are rounded differently in other batches",
    )


def plan(config: EmbedConfig, inputs: Inputs, sink: Sink, runtime: Runtime) -> int:
    """Declare the arrays; the rows are those of the cutouts."""
    from lenscore.artifacts import ArraySpec
    from lenscore.cutouts import Cutouts
    from lenscore.models.encoder import load_encoder

    cutouts, model = inputs.one("cutouts"), inputs.one("model")
    rows, dimension = Cutouts.open(cutouts).rows, load_encoder(model).dimension
    sink.declare_array(f"{GROUP}/embeddings", ArraySpec(rows, (dimension,), "float16", CHUNK_ROWS, SHARD_ROWS))
    sink.declare_array(f"{GROUP}/valid", ArraySpec(rows, (), "bool", CHUNK_ROWS, SHARD_ROWS))
    sink.declare_array(f"{GROUP}/ls_id", ArraySpec(rows, (), "int64", CHUNK_ROWS, SHARD_ROWS))
    sink.write_json("embeddings.json", {"dimension": dimension, "model": model.id, "cutouts": cutouts.id})
    return rows


def run(config: EmbedConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Embed one unit."""
    import time

    import torch

    from lenscore.cutouts import Cutouts
    from lenscore.models.embedding import embed_rows
    from lenscore.models.encoder import NetworkEncoder, load_encoder

    torch.set_num_threads(runtime.threads)
    loaded = load_encoder(inputs.one("model"), runtime.device, config.precision)
    encoder = loaded.for_speed() if isinstance(loaded, NetworkEncoder) else loaded
    cutouts, rows, started = Cutouts.open(inputs.one("cutouts")), sink.rows, time.perf_counter()

    def done(count: int) -> None:
        sink.progress(count, len(rows), images_per_second=round(count / (time.perf_counter() - started), 1))

    vectors, valid = embed_rows(
        encoder, cutouts, rows, config.batch, config.average_views, torch.device(runtime.device), runtime.threads, done
    )
    sink.write_rows(f"{GROUP}/embeddings", rows.start, vectors)
    sink.write_rows(f"{GROUP}/valid", rows.start, valid)
    sink.write_rows(
        f"{GROUP}/ls_id", rows.start, cutouts.catalogue.read(["ls_id"], rows.start, rows.stop)["ls_id"].to_numpy()
    )
    sink.metrics(embedded=int(valid.sum()))
