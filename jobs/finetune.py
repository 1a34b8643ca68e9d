"""Fine-tune a pretrained network on the labels (paper 3.3.4, 4.2).

An epoch reads every nonlens of the training set once and scores the validation part; time grows with both (the paper:
1 h an epoch of 4.5 million on eight V100). Memory: the images of the training lenses, two windows of 2048 nonlenses (all
of them where they fit), and twice the network. Progress is saved each epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lenscore.augment.config import AugmentConfig
from lenscore.classify.settings import BudgetConfig, PriorConfig, SplitConfig, TrainingConfig
from lenscore.config import Config, field

if TYPE_CHECKING:
    from lenscore.artifacts import Checkpoints, Inputs, Runtime, Sink

VERSION = 1


class FinetuneConfig(Config):
    """Settings of finetune."""

    split: SplitConfig = field(SplitConfig(), unit="", source="FACTS: Classification", description="as in fit_linear")
    ratio: int = field(
        4000,
        unit="nonlenses / lens",
        source="paper 4.2",
        description="training set; the largest of the split's ratios that fits, where this one does not",
        ge=1,
    )
    training: TrainingConfig = field(
        TrainingConfig(), unit="", source="FACTS: Classification", description="the training"
    )
    augment: AugmentConfig = field(
        AugmentConfig(extinction=False, flip=False, rescale=False),
        unit="",
        source="FACTS: Classification (jitter-crop, rotation, noise, blur)",
        description="augmentations",
    )
    budget: BudgetConfig = field(BudgetConfig(), unit="", source="paper 3.3.2", description="images to be inspected")
    prior: PriorConfig = field(PriorConfig(), unit="", source="paper 4.2", description="true share of lenses")
    seed: int = field(0, unit="", source="assumed", description="seed of head, order and augmentation")
    score_rows: int = field(
        256,
        unit="objects",
        source="assumed",
        description="images in a forward pass without gradients",
        ge=1,
        identity=False,
    )


def run(config: FinetuneConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Write a model of type finetuned with its tables metrics, curve, histogram, test and splits."""
    from lenscore.augment import Augmenter, Fits
    from lenscore.classify.finetune_artifact import finish, open_network, set_to_fit
    from lenscore.classify.finetune_feed import TrainingFeed
    from lenscore.classify.finetuning import train
    from lenscore.classify.labelled import cutout_objects, read_labels
    from lenscore.classify.network import score_rows
    from lenscore.classify.ranking import rank
    from lenscore.classify.splits import draw_splits
    from lenscore.cutouts import Cutouts

    cutouts = Cutouts.open(inputs.one("cutouts"))
    splits = draw_splits(read_labels(inputs.one("labels")), cutout_objects(cutouts), config.split)
    part, ratio = set_to_fit(splits.train, config.ratio, config.split.ratios)
    classifier = open_network(inputs.one("model"), config.training, config.seed, runtime.device, cutouts.bands)
    fits = inputs.optional("augmentation_fits")
    augmenter = Augmenter(
        config.augment,
        Fits.from_artifact(fits) if fits else Fits.table2(),
        cutouts.release,
        classifier.encoder.input_px,
    )
    feed = TrainingFeed(cutouts, part, cutouts.size_px, runtime.memory_gib, runtime.threads)
    validation, top = splits.validation, config.budget.top(len(splits.validation.rows), splits.valid_rows)
    progress = train(
        classifier,
        {name: value.clone() for name, value in classifier.tensors().items()},
        feed,
        augmenter,
        config.training,
        config.seed,
        top,
        lambda network: rank(
            score_rows(network, cutouts, validation.rows, config.score_rows, runtime.threads), validation.is_lens
        ),
        checkpoints,
        lambda done, total, loss: sink.progress(done, total, loss=loss),
    )
    finish(
        sink,
        classifier,
        progress,
        cutouts,
        splits,
        ratio,
        config.budget,
        config.prior.lenses_per_object,
        config.score_rows,
        runtime.threads,
    )
