"""What stands before and after fine-tuning: the network that is opened, and the artifact that is written."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import save

from lenscore.artifacts import Artifact, Sink
from lenscore.classify.calibrate import platt
from lenscore.classify.curves import curve, figures, histogram
from lenscore.classify.finetuning import Progress, new_head
from lenscore.classify.fitting import trained_rows
from lenscore.classify.labelled import cutout_objects, write_splits, write_trained
from lenscore.classify.network import Classifier, score_rows
from lenscore.classify.ranking import rank
from lenscore.classify.settings import BudgetConfig, TrainingConfig
from lenscore.classify.splits import Part, Splits, ratios_that_fit
from lenscore.cutouts import Cutouts
from lenscore.errors import InputError
from lenscore.models.encoder import NetworkEncoder, load_encoder


def open_network(model: Artifact, config: TrainingConfig, seed: int, device: str, bands: tuple[str, ...]) -> Classifier:
    """A pretrained network with a new last layer.

    Args:
        model: an encoder.
        config: of the training.
        seed: of the new layer.
        device: cpu or cuda.
        bands: of the cutouts.

    Returns:
        The classifier to train.

    Raises:
        InputError: the model is no network, or has other bands.
    """
    encoder = load_encoder(model, device, config.precision)
    if not isinstance(encoder, NetworkEncoder):
        raise InputError(f"model {model.id[:12]} is no network", "fine-tune a model made by pretrain")
    if encoder.bands != bands:
        raise InputError(
            f"the network takes bands {encoder.bands}, the cutouts have {bands}", "give cutouts of its bands"
        )
    return Classifier(encoder, new_head(encoder.dimension, seed).to(device))


def set_to_fit(train: Part, ratio: int, ratios: Sequence[int]) -> tuple[Part, int]:
    """The training set of a ratio, or of the largest one that fits.

    Args:
        train: the training part.
        ratio: wanted.
        ratios: of the nested sets.

    Returns:
        (lenses and nonlenses to train on, ratio).

    Raises:
        InputError: no ratio fits.
    """
    chosen = ratios_that_fit(train, sorted({one for one in ratios if one <= ratio} | {ratio}))[0][-1]
    return Part(train.lenses, train.nonlenses[: chosen * len(train.lenses)], train.groups), chosen


def finish(
    sink: Sink,
    classifier: Classifier,
    progress: Progress,
    cutouts: Cutouts,
    splits: Splits,
    ratio: int,
    budget: BudgetConfig,
    prior: float | None,
    batch_rows: int,
    threads: int,
) -> None:
    """Calibrate the best epoch's network and write the artifact with its tables."""
    classifier.load_tensors(progress.best_tensors)
    validation = score_rows(classifier, cutouts, splits.validation.rows, batch_rows, threads)
    calibration = platt(validation, splits.validation.is_lens, prior or splits.labelled_lenses / splits.valid_rows)
    ranking = rank(validation, splits.validation.is_lens)
    test = rank(score_rows(classifier, cutouts, splits.test.rows, batch_rows, threads), splits.test.is_lens)
    test_top = budget.top(test.size, splits.valid_rows)
    best, top = progress.rows[progress.best], budget.top(ranking.size, splits.valid_rows)
    sink.write_table("metrics", pa.Table.from_pylist([asdict(row) for row in progress.rows]))
    sink.write_table("curve", curve(ranking, budget.search_size or splits.valid_rows))
    sink.write_table("histogram", histogram(validation, splits.validation.is_lens, calibration))
    sink.write_table("test", figures(test, test_top))
    write_splits(sink, splits, cutout_objects(cutouts))
    write_trained(sink, trained_rows(splits.train, ratio), cutouts.rows)
    calibrated = {name: torch.from_numpy(value) for name, value in calibration.tensors().items()}
    sink.write_bytes("weights.safetensors", save(progress.best_tensors | calibrated))
    encoder = classifier.encoder
    sink.write_json(
        "model.json",
        {
            "type": "finetuned",
            "encoder": encoder.config.model_dump(mode="json"),
            "bands": list(encoder.bands),
            "dimension": encoder.dimension,
            "precision": encoder.precision,
            "cutouts": cutouts.artifact.id,
            "ratio": ratio,
            "share": best.share,
            "epoch": best.epoch,
            "top_n": top,
            "lenses": {name: len(part.lenses) for name, part in splits.parts.items()},
            "nonlenses": {name: len(part.nonlenses) for name, part in splits.parts.items()},
        },
    )
    sink.metrics(
        share=best.share,
        epoch=best.epoch,
        ratio=ratio,
        precision_validation=ranking.precision(top),
        average_precision_validation=ranking.average_precision(),
        precision_test=test.precision(test_top),
        average_precision_test=float(np.nan_to_num(test.average_precision())),
    )
