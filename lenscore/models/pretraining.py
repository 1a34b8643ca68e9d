"""One pretraining run: steps, epochs, checkpoints (paper section 3.1; FACTS: Pretraining).

A step takes a global batch, cut into groups. Views are made group by group, from a generator that knows only the seed,
the step and the group; keys are computed in another order than queries, so that no group's batch statistics give the
pair away. Ranks share the groups out; they exchange views of the keys, keys (128 numbers each), gradients and running
statistics. Nothing waits for a GPU within an epoch.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from lenscore.augment import Augmenter
from lenscore.errors import InputError
from lenscore.models.config import EncoderConfig
from lenscore.models.encoder import NetworkEncoder, arithmetic
from lenscore.models.feed import Feed, FeedBatch, one_ahead
from lenscore.models.moco import QueryNetwork, Queue, contrast, follow, key_network, spread
from lenscore.models.norm import set_groups
from lenscore.models.ranks import agreed, average, gather, several
from lenscore.models.settings import MocoConfig

QUERY, KEY, SHUFFLE = 0, 1, 2
REFERENCE_BATCH = 256
AGREE_STEPS = 20


@dataclass
class Progress:
    """Where a run is: saved with every checkpoint.

    Args:
        step: steps done.
        next_key: row of the queue that the next key takes.
        epoch_step: step that the present epoch's sums begin with.
        sums: of loss and accuracy.
        epochs: a row of metrics each.
    """

    step: int = 0
    next_key: int = 0
    epoch_step: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0])
    epochs: list[dict[str, Any]] = field(default_factory=list)


class Views(NamedTuple):
    """Two views of each object of a rank's share of a batch, as the network takes them: (B, C, input_px, input_px)."""

    query_bchw: torch.Tensor
    key_bchw: torch.Tensor


class Pretraining:
    """A run.

    Args:
        moco: settings.
        encoder: settings of the network.
        feed: the sample.
        augmenter: makes views.
        total_steps: of the whole run; the learning rate falls to zero along them.
        seed: of everything random.
        device: of this rank.
        rank, ranks: of this process.
    """

    def __init__(
        self,
        moco: MocoConfig,
        encoder: EncoderConfig,
        feed: Feed,
        augmenter: Augmenter,
        total_steps: int,
        seed: int,
        device: torch.device,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if moco.groups % ranks:
            raise InputError(
                f"{moco.groups} groups cannot be shared by {ranks} ranks", "use as many groups, or a multiple"
            )
        if steps_per_epoch(len(feed), moco) < 1:
            raise InputError(
                f"the sample has {len(feed)} images, less than a batch of {moco.batch}", "lower moco.batch"
            )
        if encoder.input_px > feed.cutouts.size_px:
            raise InputError(
                f"the encoder sees {encoder.input_px} px, the images have {feed.cutouts.size_px}",
                "lower encoder.input_px",
            )
        self.moco, self.feed, self.augmenter, self.seed = moco, feed, augmenter, seed
        self.total_steps, self.device, self.rank, self.ranks = total_steps, device, rank, ranks
        self.steps_per_epoch = steps_per_epoch(len(feed), moco)
        self.progress = Progress()
        self.sums = torch.zeros(2, dtype=torch.float64, device=device)
        self.encoder = untrained(encoder, feed.cutouts.bands, seed, moco.precision)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            query = QueryNetwork(self.encoder.backbone, encoder.arch, moco.projection)
        self.query = query.to(device)
        self.key = key_network(self.query)
        self.queue = Queue.random(moco.queue, moco.projection, _generator(seed, -1, 0, 0))
        self.queue.keys_kp = self.queue.keys_kp.to(device)
        for network in (self.query, self.key):
            set_groups(network, moco.groups // ranks)
        self.optimiser = torch.optim.SGD(
            self.query.parameters(), lr=0.0, momentum=moco.momentum, weight_decay=moco.weight_decay, fused=True
        )
        self.trained: torch.nn.Module = self.query
        if ranks > 1:
            self.trained = torch.nn.parallel.DistributedDataParallel(self.query, broadcast_buffers=False)

    def run(self, epoch_done: Callable[[], None], step_done: Callable[[], None]) -> None:
        """Train to the end from wherever the run is.

        Args:
            epoch_done: called after each epoch, its row of metrics the last in progress.epochs.
            step_done: called after each step.

        Raises:
            InputError: the representation has collapsed, and the settings say to stop then.
        """
        for views in self.batches():
            self.step(views)
            if self.progress.step % self.steps_per_epoch == 0 or self.progress.step == self.total_steps:
                self._end_epoch()
                epoch_done()
            step_done()

    def step(self, views: Views) -> None:
        """One step.

        Args:
            views: of this rank's share of the global batch.
        """
        self.query.train()
        self.key.train()
        keys = self._keys(views.key_bchw)
        with arithmetic(self.device, self.moco.precision):
            queries = self.trained(views.query_bchw)
        mine = slice(self.rank * len(queries), (self.rank + 1) * len(queries))
        loss, right = contrast(queries, keys[mine], self.queue.keys_kp, self.moco.temperature)
        self.optimiser.param_groups[0]["lr"] = learning_rate(self.moco, self.progress.step, self.total_steps)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.queue.push(keys)
        self.sums += torch.stack([loss.detach(), right]).double()
        self.progress.step += 1

    def state(self) -> dict[str, bytes]:
        """Everything that the rest of the run depends on; all ranks call this together."""
        self.share_statistics()
        tensors = {f"query.{name}": value for name, value in self.query.state_dict().items()}
        tensors |= {f"key.{name}": value for name, value in self.key.state_dict().items()}
        tensors["queue"] = self.queue.keys_kp
        for number, parameter in enumerate(self.query.parameters()):
            if parameter in self.optimiser.state:
                tensors[f"momentum.{number}"] = self.optimiser.state[parameter]["momentum_buffer"]
        self.progress.next_key, self.progress.sums = self.queue.next, self._mean_over_ranks(self.sums)
        kept = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        return {"tensors": save_tensors(kept), "progress.json": json.dumps(asdict(self.progress)).encode()}

    def restore(self, files: dict[str, bytes]) -> None:
        """Go back to a checkpoint."""
        tensors = load_tensors(files["tensors"])
        for prefix, network in (("query.", self.query), ("key.", self.key)):
            network.load_state_dict(
                {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            )
        known: dict[str, Any] = json.loads(files["progress.json"])
        self.progress = Progress(**known)
        self.sums = torch.tensor(self.progress.sums, dtype=torch.float64, device=self.device)
        self.queue = Queue(tensors["queue"].to(self.device), self.progress.next_key)
        for number, parameter in enumerate(self.query.parameters()):
            if f"momentum.{number}" in tensors:
                buffer = torch.empty_like(parameter).copy_(tensors[f"momentum.{number}"])
                self.optimiser.state[parameter]["momentum_buffer"] = buffer

    def batches(self) -> Iterator[Views]:
        """This rank's shares of the batches from the present step on; the short rest of an epoch is left out.

        On a CPU the next views are made while these are learnt from, in a thread of its own: a GPU does not wait anyhow.
        """
        made = (self._two_views(step, batch) for step, batch in self._shares())
        return one_ahead(made) if self.device.type == "cpu" else made

    def _shares(self) -> Iterator[tuple[int, FeedBatch]]:
        groups, per_group = self.moco.groups, self.moco.batch // self.moco.groups
        mine = slice(self.rank * groups // self.ranks, (self.rank + 1) * groups // self.ranks)
        step = self.progress.step
        while step < self.total_steps:
            epoch, done = divmod(step, self.steps_per_epoch)
            stop = min(self.steps_per_epoch, self.total_steps - epoch * self.steps_per_epoch)
            lanes = self.feed.order(epoch, self.seed, groups)[mine, done * per_group : stop * per_group]
            for batch in self.feed.batches(list(lanes), per_group, pinned=self.device.type == "cuda"):
                yield step, batch
                step += 1

    @torch.no_grad()
    def _keys(self, views_bchw: torch.Tensor) -> torch.Tensor:
        """Keys of the whole batch in its order, computed in another one."""
        follow(self.key, self.query, self.moco.key_momentum)
        batch, share = self.moco.batch, len(views_bchw)
        if self.moco.groups == 1:
            with arithmetic(self.device, self.moco.precision):
                return torch.as_tensor(self.key(views_bchw))
        shuffled = torch.randperm(batch, generator=_generator(self.seed, self.progress.step, SHUFFLE, 0))
        mine = shuffled[self.rank * share : (self.rank + 1) * share].to(self.device)
        with arithmetic(self.device, self.moco.precision):
            keys = gather(self.key(gather(views_bchw)[mine].contiguous(memory_format=torch.channels_last)))
        return keys[shuffled.argsort().to(self.device)]

    def _two_views(self, step: int, batch: FeedBatch) -> Views:
        return Views(self._views(step, batch, QUERY), self._views(step, batch, KEY))

    def _views(self, step: int, batch: FeedBatch, view: int) -> torch.Tensor:
        """Views of this rank's groups, transformed as the network takes them."""
        size = self.moco.batch // self.moco.groups
        first = self.rank * self.moco.groups // self.ranks
        parts = []
        for start in range(0, len(batch.step_bc), size):
            rows = slice(start, start + size)
            generator = _generator(self.seed, step, view, first + start // size)
            parts.append(self.augmenter(batch.images(rows, self.device), batch.properties.take(rows), generator))
        return self.encoder.prepare(torch.cat(parts) if len(parts) > 1 else parts[0])

    def _mean_over_ranks(self, values: torch.Tensor) -> list[float]:
        shared = values.clone()
        average([shared])
        return [float(value) for value in shared]

    def _end_epoch(self) -> None:
        steps = self.progress.step - self.progress.epoch_step
        loss, accuracy = (value / steps for value in self._mean_over_ranks(self.sums))
        # Before the queue has been filled once, its rest holds the random directions that it began with.
        keys = self.queue.keys_kp[: min(self.progress.step * self.moco.batch, self.moco.queue)]
        spread_now = spread(keys)
        collapsed = self.progress.step >= self.moco.collapse_steps and spread_now < self.moco.min_spread
        self.progress.epochs.append(
            {
                "epoch": len(self.progress.epochs) + 1,
                "step": self.progress.step,
                "loss": loss,
                "accuracy": accuracy,
                "spread": spread_now,
                "collapsed": collapsed,
                "learning_rate": learning_rate(self.moco, self.progress.step - 1, self.total_steps),
            }
        )
        self.sums.zero_()
        self.progress.epoch_step = self.progress.step
        self.share_statistics()
        if collapsed and self.moco.stop_on_collapse:
            raise InputError(
                f"the representation has collapsed: embedding spread {spread_now:.3g} after {self.progress.step} steps",
                "lower moco.learning_rate, raise moco.temperature, or set moco.stop_on_collapse to false to go on",
            )

    def share_statistics(self) -> None:
        """Running statistics move linearly, so that their mean over the ranks is what one rank would have."""
        for network in (self.query, self.key):
            average([buffer for buffer in network.buffers() if buffer.is_floating_point()])


def untrained(config: EncoderConfig, bands: tuple[str, ...], seed: int, precision: Any = "float32") -> NetworkEncoder:
    """A network with the random weights that a run of this seed begins with."""
    from lenscore.models.backbone import build_backbone

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NetworkEncoder(config, bands, build_backbone(config.arch, len(bands)), precision)


def steps_per_epoch(objects: int, moco: MocoConfig) -> int:
    """Whole batches of an epoch: as many as the groups' lanes have."""
    return objects // moco.groups // (moco.batch // moco.groups)


def learning_rate(moco: MocoConfig, step: int, total_steps: int) -> float:
    """Falls to zero along half a cosine."""
    return 0.5 * moco.learning_rate * moco.batch / REFERENCE_BATCH * (1 + math.cos(math.pi * step / total_steps))


class Clock:
    """Says when a checkpoint is due; the first rank's watch counts for all.

    Args:
        seconds: between two.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.last = seconds, time.monotonic()

    def due(self, step: int) -> bool:
        """Whether the time has passed since it was last due; several ranks ask each other every 20 steps."""
        if several() and step % AGREE_STEPS:
            return False
        if not agreed(time.monotonic() - self.last >= self.seconds):
            return False
        self.last = time.monotonic()
        return True


def _generator(seed: int, step: int, use: int, group: int) -> torch.Generator:
    """A generator that depends on nothing but its place in the run."""
    words = np.random.SeedSequence([seed, step + 1, use, group]).generate_state(2)
    return torch.Generator().manual_seed(int(words[0]) << 31 ^ int(words[1]))
