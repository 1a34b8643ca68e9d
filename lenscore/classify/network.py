"""The fine-tuned classifier: an encoder's network with one fully connected layer on top (paper 3.3.4)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from torch import nn

from lenscore.artifacts import Artifact
from lenscore.classify.calibrate import Calibration
from lenscore.cutouts import Cutouts
from lenscore.errors import DamagedError, InputError
from lenscore.models.backbone import build_backbone
from lenscore.models.config import EncoderConfig, Precision
from lenscore.models.encoder import NetworkEncoder

Floats = NDArray[np.float32]
WINDOW_ROWS = 2048


@dataclass(frozen=True)
class Classifier:
    """A network that scores images.

    Args:
        encoder: the network below.
        head: (B, dimension) to (B, 1).
    """

    encoder: NetworkEncoder
    head: nn.Linear

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.head.weight.device

    def logits(self, images_bchw: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) nanomaggies to (B,) scores, with gradients."""
        scores: torch.Tensor = self.head(self.encoder.forward(images_bchw))
        return scores[:, 0]

    @torch.inference_mode()
    def scores(self, images_bchw: Floats) -> Floats:
        """(B, C, S, S) nanomaggies to (B,) scores."""
        self.encoder.backbone.eval()
        found: Floats = self.logits(torch.from_numpy(images_bchw).to(self.device)).float().cpu().numpy()
        return found

    def tensors(self) -> dict[str, torch.Tensor]:
        """Weights by name."""
        below = {f"backbone.{name}": value for name, value in self.encoder.backbone.state_dict().items()}
        return below | {f"head.{name}": value for name, value in self.head.state_dict().items()}

    def load_tensors(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take weights by name."""
        for prefix, module in (("backbone.", self.encoder.backbone), ("head.", self.head)):
            module.load_state_dict(
                {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            )


def load_classifier(model: Artifact, device: str) -> tuple[Classifier, Calibration]:
    """Open a model of type finetuned.

    Raises:
        InputError: it is another type of model.
        DamagedError: its weights do not fit its description.
    """
    description = model.read_json("model.json")
    if description.get("type") != "finetuned":
        raise InputError(
            f"model {model.id[:12]} is of type {description.get('type')!r}", "name a model made by finetune"
        )
    config, bands = EncoderConfig.model_validate(description["encoder"]), tuple(description["bands"])
    tensors = load(model.read_bytes("weights.safetensors"))
    precision: Precision = description["precision"]
    encoder = NetworkEncoder(config, bands, build_backbone(config.arch, len(bands)), precision)
    classifier = Classifier(encoder, nn.Linear(encoder.dimension, 1))
    try:
        classifier.load_tensors(tensors)
    except RuntimeError as error:
        raise DamagedError(
            f"weights of model {model.id[:12]} do not fit {config.arch}", "make the model again"
        ) from error
    encoder.backbone.to(device).eval()
    classifier.head.to(device)
    return classifier, Calibration.from_tensors({"calibration": tensors["calibration"].numpy()})


def score_cutouts(
    classifier: Classifier, cutouts: Cutouts, start: int, stop: int, batch_rows: int, threads: int
) -> Floats:
    """Score rows start to stop, (stop - start,) float32; NaN where the image is not valid."""
    crop_px = classifier.encoder.input_px
    parts = [np.zeros(0, np.float32)]
    for batch in cutouts.stream(start, stop, batch_rows, crop_px, threads):
        parts.append(np.where(batch.valid_b, classifier.scores(batch.images_bchw), np.float32(np.nan)))
    return np.concatenate(parts)


def score_rows(
    classifier: Classifier, cutouts: Cutouts, rows: NDArray[np.int64], batch_rows: int, threads: int
) -> Floats:
    """Score chosen rows, in the order asked for, (n,) float32; each stored chunk is read once."""
    order = np.argsort(rows, kind="stable")
    rising, scores = rows[order], np.empty(len(rows), np.float32)
    done = 0
    for images_bchw in _windows(cutouts, rising, classifier.encoder.input_px, threads):
        for first in range(0, len(images_bchw), batch_rows):
            part = classifier.scores(images_bchw[first : first + batch_rows])
            scores[order[done : done + len(part)]] = part
            done += len(part)
    return scores


def _windows(cutouts: Cutouts, rows: NDArray[np.int64], crop_px: int, threads: int) -> Iterator[Floats]:
    """Images of rows, WINDOW_ROWS at a time, the next ones read ahead."""
    windows = [rows[first : first + WINDOW_ROWS] for first in range(0, len(rows), WINDOW_ROWS)]
    with ThreadPoolExecutor(1) as reader:
        ahead = [reader.submit(cutouts.take, window, crop_px, threads) for window in windows[:1]]
        for number in range(len(windows)):
            images_bchw, _ = ahead.pop().result()
            ahead = [
                reader.submit(cutouts.take, window, crop_px, threads) for window in windows[number + 1 : number + 2]
            ]
            yield images_bchw
