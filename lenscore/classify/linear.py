"""The linear classifier: weights on raw embeddings, with the calibration of its scores."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load, save

from lenscore.artifacts import Artifact, Sink
from lenscore.classify.calibrate import Calibration
from lenscore.classify.features import Rows, read_blocks
from lenscore.classify.ranking import Ranking
from lenscore.errors import InputError

Floats = NDArray[np.float32]

TILE_ROWS = 4096


@dataclass(frozen=True)
class LinearModel:
    """score = x @ weights + bias, on raw embeddings; whitening is folded in.

    Args:
        weights: (D,) float32.
        bias: a number.
        calibration: from score to probability.
        encoders: ids of the models whose embeddings stand side by side in x.
        description: how it was chosen, for model.json.
    """

    weights: Floats
    bias: float
    calibration: Calibration
    encoders: tuple[str, ...]
    description: dict[str, Any] = field(default_factory=dict)

    def scores(self, features: Rows, stop: int | None = None) -> Iterator[tuple[int, Floats]]:
        """Score rows 0 to stop: (first row, (n,) float32)."""
        for start, scores in score_blocks(features, self.weights[None], np.array([self.bias], np.float32), stop):
            yield start, scores[0]

    def save(self, sink: Sink) -> None:
        """Write model.json and weights.safetensors."""
        tensors: dict[str, NDArray[Any]] = {
            "weights": self.weights,
            "bias": np.array([self.bias], np.float32),
            **self.calibration.tensors(),
        }
        sink.write_bytes("weights.safetensors", save(tensors))
        sink.write_json(
            "model.json",
            {
                "type": "linear",
                "dimension": len(self.weights),
                "encoders": list(self.encoders),
                **self.description,
            },
        )

    @staticmethod
    def load(artifact: Artifact) -> "LinearModel":
        """Read a model artifact of type linear.

        Raises:
            InputError: it is another type of model.
        """
        description = artifact.read_json("model.json")
        if description.get("type") != "linear":
            raise InputError(f"model {artifact.id[:12]} is of type {description.get('type')!r}", "name a linear model")
        tensors = load(artifact.read_bytes("weights.safetensors"))
        return LinearModel(
            tensors["weights"],
            float(tensors["bias"][0]),
            Calibration.from_tensors(tensors),
            tuple(description["encoders"]),
            description,
        )

    def check_encoders(self, encoders: tuple[str, ...]) -> None:
        """Refuse embeddings of other encoders than it was fitted on.

        Raises:
            InputError: they differ, or stand in another order.
        """
        if encoders != self.encoders:
            short = [[name[:12] for name in names] for names in (encoders, self.encoders)]
            raise InputError(
                f"the embeddings come from encoders {short[0]}, the classifier was fitted on {short[1]}",
                "embed this release with the same models, and give the embeddings in the same order",
            )


def score_blocks(
    features: Rows, weights_md: Floats, biases_m: Floats, stop: int | None = None
) -> Iterator[tuple[int, Floats]]:
    """Scores of M linear models in one pass.

    Args:
        features: (N, D).
        weights_md: (M, D).
        biases_m: (M,).
        stop: row after the last; all if none.

    Yields:
        (first row, (M, n) float32).
    """
    weights, biases = torch.from_numpy(weights_md), torch.from_numpy(biases_m)[:, None]
    for start, block in read_blocks(features, stop):
        for first in range(0, len(block), TILE_ROWS):
            tile = torch.from_numpy(block[first : first + TILE_ROWS]).float()
            yield start + first, torch.addmm(biases, weights, tile.T).numpy()


def rank_all(
    features: Rows, lenses: int, weights_md: Floats, biases_m: Floats, stop: int | None = None
) -> list[Ranking]:
    """Rank one set by M linear models in one pass, keeping no scores of nonlenses; see `count_above`.

    Returns:
        A Ranking for each model.
    """
    counted = count_above(features, lenses, weights_md, biases_m, stop)
    return [Ranking(np.sort(row), counted.nonlenses) for row in counted.above_ml]


@dataclass(frozen=True)
class Counted:
    """What M models say of L lenses: nonlenses that score at least as high (M, L), the lenses' scores, all nonlenses."""

    above_ml: NDArray[np.int64]
    scores_ml: Floats
    nonlenses: int


def count_above(features: Rows, lenses: int, weights_md: Floats, biases_m: Floats, stop: int | None = None) -> Counted:
    """Count the nonlenses above each lens, by M linear models in one pass.

    Args:
        features: (N, D), lenses first.
        lenses: number of lenses.
        weights_md: (M, D).
        biases_m: (M,).
        stop: row after the last; all if none.

    Returns:
        The counts, by model and lens.
    """
    lens_tile = torch.from_numpy(np.array(features.read(0, lenses))).float()
    lens_scores = torch.addmm(torch.from_numpy(biases_m)[:, None], torch.from_numpy(weights_md), lens_tile.T)
    rising, order = lens_scores.sort(dim=1)
    models = len(weights_md)
    beaten = np.zeros((models, lenses + 1), np.int64)
    offset = torch.arange(models)[:, None] * (lenses + 1)
    nonlenses = 0
    for start, scores in score_blocks(features, weights_md, biases_m, stop):
        others = torch.from_numpy(scores[:, max(0, lenses - start) :]).contiguous()
        nonlenses += others.shape[1]
        # the number of lenses that a nonlens stands above: those that score no higher
        places = torch.searchsorted(rising.contiguous(), others, right=True) + offset
        beaten += np.bincount(places.numpy().ravel(), minlength=beaten.size).reshape(beaten.shape)
    above = np.empty((models, lenses), np.int64)
    np.put_along_axis(above, order.numpy(), beaten[:, :0:-1].cumsum(axis=1)[:, ::-1], axis=1)
    return Counted(above, lens_scores.numpy(), nonlenses)
