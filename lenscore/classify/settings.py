"""Settings of the classifiers; imports nothing heavy."""

from typing import Literal, Self

from pydantic import model_validator

from lenscore.config import Config, field


class SplitConfig(Config):
    """How lenses and nonlenses are divided into training, validation and an untouched test part."""

    train: float = field(
        0.70,
        unit="",
        source="FACTS: Classification (1130 of 1615)",
        description="share of lenses and of other objects for training",
        gt=0,
        lt=1,
    )
    validation: float = field(
        0.20,
        unit="",
        source="FACTS: Classification (485, less a third left untouched)",
        description="share for choosing settings; the rest is the test part",
        gt=0,
        lt=1,
    )
    ratios: tuple[int, ...] = field(
        (1, 10, 100, 1000, 4000, 10_000),
        unit="nonlenses / lens",
        source="paper 4.2, Figure 4",
        description="nested training sets, rising",
        min_length=1,
    )
    validation_ratio: int = field(
        10_000,
        unit="nonlenses / lens",
        source="paper 3.3",
        description="nonlenses for a lens in validation and test, or all there are",
        ge=1,
    )
    link_arcsec: float = field(
        35.57,
        unit="arcsec",
        source="FACTS: Classification; sqrt(2) x 25.15, the diagonal of a field",
        description="lenses closer than this may share an image and stay together",
        gt=0,
    )
    seed: int = field(0, unit="", source="assumed", description="seed of the draws")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.train + self.validation >= 1:
            raise ValueError(f"train + validation = {self.train + self.validation:g} leaves no test part; lower one")
        if self.ratios[0] < 1 or list(self.ratios) != sorted(set(self.ratios)):
            raise ValueError(f"ratios {self.ratios} do not rise from at least 1; sort them")
        return self


class BudgetConfig(Config):
    """How many images people will look at; it fixes the N of "precision among the top N"."""

    inspected: int = field(
        10_000, unit="images", source="paper 3.3.2", description="images that will be looked at", ge=1
    )
    search_size: int | None = field(
        None,
        unit="objects",
        source="paper 3.3.2 (42.5 million)",
        description="objects that will be searched; none: all of this release",
        ge=1,
    )
    top_n: int | None = field(
        None,
        unit="objects",
        source="FACTS: Classification (1139 in the paper)",
        description="N itself; none: inspected x validation size / search size",
        ge=1,
    )

    def top(self, part_size: int, release_size: int) -> int:
        """N for a part of the release.

        Args:
            part_size: objects in the part (validation or test).
            release_size: objects in the release.

        Returns:
            inspected x part size / search size, at least 1 (paper 3.3.2), or the N that is set.
        """
        if self.top_n is not None:
            return self.top_n
        return max(1, round(self.inspected * part_size / (self.search_size or release_size)))


class SolverConfig(Config):
    """The linear classifier's fit."""

    strengths: tuple[float, ...] = field(
        (0.3, 3.0, 30.0, 300.0, 3000.0),
        unit="",
        source="assumed: chosen on validation",
        description="L2 penalties s tried: s |v|^2 / 2 beside the summed cross-entropy, v the "
        "weights of standardised or whitened features",
        min_length=1,
    )
    components: tuple[int | None, ...] = field(
        (None,),
        unit="",
        source="assumed: chosen on validation",
        description="whitened components tried for each encoder; none: every feature, standardised",
        min_length=1,
    )
    whitening_rows: int = field(
        262_144,
        unit="objects",
        source="assumed: 128 rows a feature",
        description="training rows that mean and covariance are taken from",
        ge=2,
    )
    iterations: int = field(100, unit="", source="assumed", description="LBFGS steps at most", ge=1)
    tolerance: float = field(
        1e-6, unit="", source="assumed", description="stops where a step lowers the loss by less, relatively", gt=0
    )
    folds: int = field(
        1,
        unit="",
        source="paper 3.3: one validation part; assumed: 5 where lenses are few",
        description="1: choose on the validation part's lenses; more: by cross-validation over all lenses of "
        "both parts, in whole sky groups, and fit the final weights to all of them",
        ge=1,
    )
    kept_iterates: int = field(
        24,
        unit="",
        source="FACTS: Classification (keep the best iterate)",
        description="iterates of a fit looked at on validation, spread evenly in log(step)",
        ge=1,
    )


class PriorConfig(Config):
    """The true share of lenses, to which probabilities are calibrated."""

    lenses_per_object: float | None = field(
        1e-4,
        unit="lenses / object",
        source="paper 4.2: one lens in 10^4 galaxies",
        description="true prior; none: labelled lenses / objects of the release",
        gt=0,
        lt=1,
    )


class TrainingConfig(Config):
    """Fine-tuning."""

    batch: int = field(512, unit="objects", source="FACTS: Classification", description="objects in a batch", ge=2)
    epochs: int = field(
        40, unit="", source="FACTS: Classification", description="epochs for each share of lenses", ge=1
    )
    lens_shares: tuple[float, ...] = field(
        (0.05,),
        unit="",
        source="paper 4.2: 0.01, 0.025, 0.05, 0.1 scanned, 0.05 best",
        description="shares of lenses in a batch to try, one after the other",
        min_length=1,
    )
    head_learning_rate: float = field(
        0.01, unit="", source="FACTS: Classification", description="of the new layer", gt=0
    )
    learning_rate: float = field(
        0.001, unit="", source="FACTS: Classification", description="of all other weights", gt=0
    )
    momentum: float = field(0.9, unit="", source="assumed: MoCo v2", description="of SGD", ge=0, lt=1)
    weight_decay: float = field(0.0, unit="", source="assumed", description="of SGD", ge=0)
    freeze_norm: bool = field(
        True,
        unit="",
        source="assumed: batches are not of the true mix of classes",
        description="keep the batch norm's statistics of pretraining",
    )
    precision: Literal["float32", "tf32", "bf16"] = field(
        "float32", unit="", source="assumed", description="of the arithmetic"
    )

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if not all(0 < share < 1 for share in self.lens_shares):
            raise ValueError(f"lens_shares {self.lens_shares} are not all between 0 and 1; change them")
        return self
