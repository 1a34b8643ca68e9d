"""pretrain: learn a representation without labels, by momentum contrast (paper section 3.1).

Memory: the sample's central fields, as stored, where they fit into half of --memory-gib, else some blocks and batches
read ahead (0.1 GB for each group of a rank); beside it the network, twice, the queue (134 MB at the paper's 262,144
keys), and 50 bytes for each object of the sample. Time: two forward passes and one backward of the network for each
image and epoch. Ranks (torchrun) share the groups of each batch; a rank reads only the images of its own.

Killed and started again it goes on from its last checkpoint and gives the same bytes (on a CPU, threads and machine being
the same). How fast it was is in the manifest's metrics, not in the table metrics, for that reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from lenscore.augment.config import AugmentConfig
from lenscore.config import Config, field
from lenscore.models.config import EncoderConfig
from lenscore.models.settings import MocoConfig

if TYPE_CHECKING:
    import torch

    from lenscore.artifacts import Checkpoints, Inputs, Runtime, Sink
    from lenscore.models.pretraining import Pretraining
    from lenscore.models.probe import Probe

VERSION = 2
DEFAULT_EPOCHS = 100


class PretrainConfig(Config):
    """What is learnt, from which views, for how long."""

    encoder: EncoderConfig = field(EncoderConfig(), unit="", source="paper 3.1", description="the network")
    moco: MocoConfig = field(MocoConfig(), unit="", source="paper 3.1", description="momentum contrast")
    augment: AugmentConfig = field(AugmentConfig(), unit="", source="paper 3.1", description="how views are made")
    epochs: float | None = field(
        None,
        unit="epochs",
        source="assumed: as many as the budget allows (paper 3.1: 8 h on 8 V100)",
        gt=0,
        description="length of the run; 100 if steps are not given either",
    )
    steps: int | None = field(
        None,
        unit="steps",
        source="assumed: as many as the budget allows",
        ge=0,
        description="length of the run; 0 leaves the network untrained, for comparison",
    )
    probe_epochs: int = field(
        5,
        unit="epochs",
        source="paper 3.1: models are judged by the linear classifier",
        ge=1,
        description="a linear probe every so many epochs, where its inputs are given",
    )
    probe_nonlenses: int = field(2000, unit="objects", source="assumed", description="nonlenses of the probe", ge=10)
    seed: int = field(0, unit="", source="assumed", description="of weights, order and views", ge=0)
    checkpoint_seconds: float = field(
        60.0, unit="s", source="assumed", description="time between checkpoints", gt=0, identity=False
    )

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs is not None and self.steps:
            raise ValueError("both epochs and steps are given; give one")
        return self


def run(config: PretrainConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Write model.json, weights.safetensors and the table metrics."""
    import torch

    from lenscore.cutouts import Cutouts
    from lenscore.models.encoder import save_encoder
    from lenscore.models.pretraining import untrained
    from lenscore.models.ranks import process_group

    torch.set_num_threads(runtime.threads)
    sample = inputs.one("cutouts")
    if config.steps == 0:
        encoder = untrained(config.encoder, Cutouts.open(sample).bands, config.seed)
        save_encoder(sink, encoder, method="untrained", steps=0)
        return
    with process_group(runtime.device, runtime.ranks) as device:
        training = _prepare(config, inputs, runtime, device)
        _train(config, inputs, sink, checkpoints, training)
    save_encoder(
        sink, training.encoder, method="moco", steps=training.progress.step, epochs=len(training.progress.epochs)
    )


def _prepare(config: PretrainConfig, inputs: Inputs, runtime: Runtime, device: torch.device) -> Pretraining:
    from lenscore.augment import Augmenter, Fits
    from lenscore.cutouts import Cutouts
    from lenscore.models.feed import Feed, field_px
    from lenscore.models.pretraining import Pretraining, steps_per_epoch

    cutouts, view_px = Cutouts.open(inputs.one("cutouts")), config.encoder.input_px
    fits = inputs.optional("augmentation_fits")
    augmenter = Augmenter(config.augment, Fits.from_artifact(fits) if fits else Fits.table2(), cutouts.release, view_px)
    feed = Feed(cutouts, field_px(config.augment, view_px), runtime.memory_gib / runtime.ranks, runtime.threads)
    epochs = DEFAULT_EPOCHS if config.epochs is None else config.epochs
    steps = config.steps if config.steps is not None else round(epochs * steps_per_epoch(len(feed), config.moco))
    return Pretraining(
        config.moco, config.encoder, feed, augmenter, steps, config.seed, device, runtime.rank, runtime.ranks
    )


def _train(config: PretrainConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, training: Pretraining) -> None:
    import time

    from lenscore.models.pretraining import Clock

    found = checkpoints.latest()
    if found is not None:
        training.restore(found[1])
    probe = _open_probe(config, inputs)
    clock, started, first = Clock(config.checkpoint_seconds), time.perf_counter(), training.progress.step

    def speed() -> float:
        return (training.progress.step - first) * training.moco.batch / (time.perf_counter() - started)

    def epoch_done() -> None:
        done, ended = len(training.progress.epochs), training.progress.step == training.total_steps
        if probe is not None and (ended or done % config.probe_epochs == 0):
            training.progress.epochs[-1]["average_precision"] = probe.average_precision(
                training.encoder, training.device
            )

    def step_done() -> None:
        sink.progress(
            training.progress.step, training.total_steps, images_per_second=round(speed(), 1), **_shown(training)
        )
        if clock.due(training.progress.step):
            checkpoints.save(training.progress.step, training.state())

    training.run(epoch_done, step_done)
    training.share_statistics()
    _write_metrics(sink, training, speed())


def _shown(training: Pretraining) -> dict[str, float]:
    rows = training.progress.epochs[-1:]
    return {name: round(row[name], 3) for row in rows for name in ("loss", "accuracy", "spread")}


def _open_probe(config: PretrainConfig, inputs: Inputs) -> Probe | None:
    from lenscore.models.probe import Probe

    cutouts, labels = inputs.optional("probe_cutouts"), inputs.optional("probe_labels")
    if cutouts is None or labels is None:
        return None
    return Probe.open(cutouts, labels, config.probe_nonlenses, config.encoder.input_px, config.seed)


def _write_metrics(sink: Sink, training: Pretraining, images_per_second: float) -> None:
    import pyarrow as pa

    kinds = {"epoch": pa.int64(), "step": pa.int64(), "collapsed": pa.bool_()}
    names = ("epoch", "step", "loss", "accuracy", "spread", "collapsed", "learning_rate", "average_precision")
    schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in names])
    rows = [{name: row.get(name) for name in names} for row in training.progress.epochs]
    sink.write_table("metrics", pa.Table.from_pylist(rows, schema=schema))
    last = {name: rows[-1][name] for name in ("loss", "accuracy", "spread", "collapsed")}
    probes = [row["average_precision"] for row in rows if row["average_precision"] is not None]
    found = {"average_precision": probes[-1]} if probes else {}
    sink.metrics(images_per_second=round(images_per_second, 1), **last, **found)
