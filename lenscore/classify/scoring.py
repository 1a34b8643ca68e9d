"""Scores of a stretch of a release's rows, by either type of model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.artifacts import Artifact
from lenscore.classify.calibrate import Calibration
from lenscore.classify.features import HeldRows, SideBySide
from lenscore.classify.labelled import read_trained
from lenscore.classify.linear import LinearModel
from lenscore.errors import InputError
from lenscore.similarity import Embeddings

SCORES = pa.schema(
    [
        pa.field("row", pa.int64()),
        pa.field("ls_id", pa.int64()),
        pa.field("score", pa.float32()),
        pa.field("probability", pa.float32()),
        pa.field("trained", pa.bool_()),
    ]
)
"""trained: the model's weights were fitted to this very object, as a lens or as a nonlens."""


@dataclass(frozen=True)
class Scored:
    """Scores (n,) float32, NaN where a row is not valid, and how to make probabilities of them."""

    scores: NDArray[np.float32]
    calibration: Calibration


def check_inputs(model: Artifact, embeddings: Sequence[Artifact], rows: int) -> None:
    """Refuse inputs that do not belong together.

    Raises:
        InputError: no classifier, embeddings of other encoders, or another number of rows.
    """
    kind = model.read_json("model.json").get("type")
    if kind not in ("linear", "finetuned"):
        raise InputError(f"model {model.id[:12]} is of type {kind!r}", "name a model made by fit_linear or finetune")
    if kind == "linear":
        features = SideBySide([Embeddings.open(artifact) for artifact in embeddings])
        LinearModel.load(model).check_encoders(features.encoders)
        if features.rows != rows:
            raise InputError(f"embeddings of {features.rows} rows for cutouts of {rows}", "give those of these cutouts")


def linear_scores(model: Artifact, embeddings: Sequence[Artifact], start: int, stop: int) -> Scored:
    """Score rows start to stop by a linear model."""
    linear = LinearModel.load(model)
    features = SideBySide([Embeddings.open(artifact) for artifact in embeddings])
    rows = HeldRows(features.read(start, stop))
    scores = np.concatenate([np.zeros(0, np.float32), *(block for _, block in linear.scores(rows))])
    return Scored(np.where(features.valid(start, stop), scores, np.nan).astype(np.float32), linear.calibration)


def finetuned_scores(
    model: Artifact, cutouts: Artifact, start: int, stop: int, batch_rows: int, device: str, threads: int
) -> Scored:
    """Score rows start to stop by a fine-tuned model."""
    from lenscore.classify.network import load_classifier, score_cutouts
    from lenscore.cutouts import Cutouts

    network, calibration = load_classifier(model, device)
    images = Cutouts.open(cutouts)
    return Scored(score_cutouts(network, images, start, stop, batch_rows, threads), calibration)


def scores_table(scored: Scored, model: Artifact, cutouts: Artifact, start: int, stop: int) -> pa.Table:
    """Rows start to stop of table scores."""
    ls_id = cutouts.table("catalogue").read(["ls_id"], start, stop)["ls_id"]
    probability = scored.calibration.probability(scored.scores)
    trained = read_trained(model, cutouts.id, start, stop)
    return pa.table([np.arange(start, stop), ls_id, scored.scores, probability, trained], schema=SCORES)
