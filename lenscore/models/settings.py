"""Settings of pretraining. What the paper does not say is marked `assumed`, with where it is from."""

from typing import Self

from pydantic import model_validator

from lenscore.config import Config, field
from lenscore.models.config import Precision


class MocoConfig(Config):
    """Momentum contrast."""

    batch: int = field(256, unit="objects", source="assumed: MoCo v2, 256-512", description="global batch", ge=2)
    groups: int = field(
        8,
        unit="",
        source="paper 3.1: 8 V100",
        ge=1,
        description="parts of a batch with batch statistics of their own (shuffled batch norm)",
    )
    queue: int = field(262_144, unit="keys", source="paper 3.1", description="negatives", ge=2)
    projection: int = field(128, unit="", source="assumed: MoCo v2", description="dimension of the head's output", ge=2)
    temperature: float = field(0.2, unit="", source="assumed: MoCo v2", description="of the softmax", gt=0)
    key_momentum: float = field(0.999, unit="", source="assumed: MoCo v2", description="of the key network", ge=0, lt=1)
    learning_rate: float = field(
        0.03,
        unit="at batch 256",
        source="assumed: MoCo v2",
        gt=0,
        description="scaled by batch / 256, falling to zero along a cosine",
    )
    momentum: float = field(0.9, unit="", source="assumed: MoCo v2", description="of SGD", ge=0, lt=1)
    weight_decay: float = field(1e-4, unit="", source="assumed: MoCo v2", description="of SGD", ge=0)
    precision: Precision = field("float32", unit="", source="assumed", description="of the network's arithmetic")
    min_spread: float = field(
        0.05,
        unit="",
        source="assumed: untrained networks have some 0.1, trained ones near 1",
        ge=0,
        description="embeddings of a smaller spread count as collapsed; 0: never",
    )
    collapse_steps: int = field(
        500, unit="steps", source="assumed", ge=0, description="collapse is looked for after so many steps"
    )
    stop_on_collapse: bool = field(
        True, unit="", source="assumed", description="end the run with an error; else only the metrics say so"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.batch % self.groups:
            raise ValueError(f"batch = {self.batch} is no multiple of groups = {self.groups}; change one")
        if self.batch // self.groups < 2:
            raise ValueError(f"groups of {self.batch // self.groups} objects have no statistics; use fewer groups")
        if self.queue < self.batch:
            raise ValueError(f"queue = {self.queue} is shorter than batch = {self.batch}; lengthen it")
        return self
