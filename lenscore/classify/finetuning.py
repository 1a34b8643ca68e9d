"""Fine-tuning: a pretrained network and a new last layer, trained on labels with few lenses (paper 3.3.4, 4.2)."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from safetensors.torch import load, save
from torch import nn

from lenscore.artifacts import Checkpoints
from lenscore.augment import Augmenter
from lenscore.classify.finetune_feed import TrainingFeed
from lenscore.classify.network import Classifier
from lenscore.classify.ranking import Ranking
from lenscore.classify.settings import TrainingConfig

Tensors = dict[str, torch.Tensor]
Validate = Callable[[Classifier], Ranking]


@dataclass(frozen=True)
class EpochRow:
    """What an epoch gave."""

    share: float
    epoch: int
    loss: float
    found: int
    average_precision: float


@dataclass
class Progress:
    """How far a run is.

    Args:
        done: epochs finished, of all shares one after the other.
        rows: one for each.
        best: number of the best one, -1 before the first.
        best_tensors: its weights.
    """

    done: int = 0
    rows: list[EpochRow] = field(default_factory=list)
    best: int = -1
    best_tensors: Tensors = field(default_factory=dict)

    def add(self, row: EpochRow, classifier: Classifier) -> None:
        """Take an epoch's result; the weights are kept if it is the best so far."""
        self.rows.append(row)
        self.done += 1
        if self.best < 0 or _merit(row) > _merit(self.rows[self.best]):
            self.best = len(self.rows) - 1
            self.best_tensors = {
                name: value.detach().cpu().contiguous().clone() for name, value in classifier.tensors().items()
            }


def train(
    classifier: Classifier,
    start: Tensors,
    feed: TrainingFeed,
    augmenter: Augmenter,
    config: TrainingConfig,
    seed: int,
    top: int,
    validate: Validate,
    checkpoints: Checkpoints,
    report: Callable[[int, int, float], None],
) -> Progress:
    """Train once for each share of lenses, and keep the best epoch of all.

    Every random number comes from (seed, share, epoch, batch), so that a run killed at any moment ends, when it is run
    again, with the weights it would have had.

    Args:
        classifier: the network; its weights are changed.
        start: weights to start each share from.
        feed: the training part.
        augmenter: makes the views.
        config: of the training.
        seed: of order, augmentation and batches.
        top: N on validation.
        validate: ranks the validation part.
        checkpoints: where progress is saved, each epoch.
        report: called with (epochs done, epochs in all, loss).

    Returns:
        All epochs, and the weights of the best.
    """
    optimiser = _optimiser(classifier, config)
    progress = _resume(classifier, optimiser, checkpoints)
    total = len(config.lens_shares) * config.epochs
    while progress.done < total:
        number, epoch = divmod(progress.done, config.epochs)
        share = config.lens_shares[number]
        if epoch == 0:
            classifier.load_tensors(start)
            # so that the first steps do not go into learning the share of lenses
            torch.nn.init.constant_(classifier.head.bias, float(np.log(share / (1 - share))))
            optimiser = _optimiser(classifier, config)
        loss = _epoch(classifier, optimiser, feed, augmenter, config, share, (seed, number, epoch))
        ranking = validate(classifier)
        progress.add(EpochRow(share, epoch + 1, loss, ranking.found(top), ranking.average_precision()), classifier)
        _save(classifier, optimiser, progress, checkpoints)
        report(progress.done, total, loss)
    return progress


def new_head(dimension: int, seed: int) -> nn.Linear:
    """A last layer with small random weights and no bias yet."""
    head = nn.Linear(dimension, 1)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        head.weight.copy_(torch.randn(1, dimension, generator=generator) * 0.01)
        head.bias.zero_()
    return head


def _epoch(
    classifier: Classifier,
    optimiser: torch.optim.SGD,
    feed: TrainingFeed,
    augmenter: Augmenter,
    config: TrainingConfig,
    share: float,
    key: tuple[int, int, int],
) -> float:
    seed, number, epoch = key
    classifier.encoder.backbone.train(not config.freeze_norm)
    losses: list[torch.Tensor] = []
    for step, batch in enumerate(feed.batches(config.batch, share, seed, epoch)):
        generator = torch.Generator().manual_seed(_mixed(seed, number, epoch, step))
        device = classifier.device
        views = augmenter(batch.images_bchw.to(device), batch.properties.to(device), generator)
        loss = nn.functional.binary_cross_entropy_with_logits(classifier.logits(views), batch.classes_b.to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
    return float(torch.stack(losses).mean())


def _mixed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _optimiser(classifier: Classifier, config: TrainingConfig) -> torch.optim.SGD:
    groups = [
        {"params": list(classifier.encoder.backbone.parameters()), "lr": config.learning_rate},
        {"params": list(classifier.head.parameters()), "lr": config.head_learning_rate},
    ]
    return torch.optim.SGD(groups, momentum=config.momentum, weight_decay=config.weight_decay)


def _merit(row: EpochRow) -> tuple[int, float]:
    return row.found, row.average_precision


def _parameters(optimiser: torch.optim.SGD) -> list[torch.Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _save(classifier: Classifier, optimiser: torch.optim.SGD, progress: Progress, checkpoints: Checkpoints) -> None:
    tensors = {f"now.{name}": value for name, value in classifier.tensors().items()}
    tensors |= {f"best.{name}": value for name, value in progress.best_tensors.items()}
    for place, parameter in enumerate(_parameters(optimiser)):
        momentum = optimiser.state[parameter].get("momentum_buffer")
        if momentum is not None:
            tensors[f"momentum.{place}"] = momentum
    facts = {"done": progress.done, "best": progress.best, "rows": [asdict(row) for row in progress.rows]}
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    checkpoints.save(progress.done, {"state.safetensors": save(stored), "state.json": json.dumps(facts).encode()})


def _resume(classifier: Classifier, optimiser: torch.optim.SGD, checkpoints: Checkpoints) -> Progress:
    found = checkpoints.latest()
    if found is None:
        return Progress()
    facts, tensors = json.loads(found[1]["state.json"]), load(found[1]["state.safetensors"])
    classifier.load_tensors(_under(tensors, "now."))
    for place, parameter in enumerate(_parameters(optimiser)):
        if f"momentum.{place}" in tensors:
            optimiser.state[parameter]["momentum_buffer"] = tensors[f"momentum.{place}"].to(parameter.device)
    rows = [EpochRow(**row) for row in facts["rows"]]
    return Progress(facts["done"], rows, facts["best"], _under(tensors, "best."))


def _under(tensors: Tensors, prefix: str) -> Tensors:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
