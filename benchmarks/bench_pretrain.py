"""Steps of pretraining, against bare passes of the plain network: both views forward, one of them backward.

Ours is everything that a step is: images read and turned into two views each, keys, queue, loss, gradients, optimiser and
momentum update. Both have all cores and are measured by the clock: views are made in a core that the network's own threads
leave idle, which a sum of CPU time, given beside it, does not show.
"""

import os
import tempfile
from pathlib import Path

import torch
from torchvision.models import resnet50

from benchmarks.harness import Figure, alternate
from lenscore.artifacts import Store
from lenscore.augment import AugmentConfig, Augmenter, Fits
from lenscore.cutouts import Cutouts
from lenscore.models.backbone import build_backbone
from lenscore.models.config import EncoderConfig, Precision
from lenscore.models.encoder import arithmetic
from lenscore.models.feed import Feed, field_px
from lenscore.models.pretraining import Pretraining
from lenscore.models.settings import MocoConfig
from lenscore.survey.release import find_release
from tests.support.cutouts import small_cutouts

RELEASE = find_release("demo-dr1")
ROUNDS = 4
REACH = 0.9


def main(size: float = 1.0) -> list[Figure]:
    """Measure the default network, and the demo's, on all cores.

    Args:
        size: 1 for 1 step of 64 images a round of the default network and 8 of 64 of the demo's.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    try:
        with tempfile.TemporaryDirectory() as folder:
            paper = MocoConfig(batch=64, groups=4, queue=4096, min_spread=0)
            demo = MocoConfig(batch=64, groups=1, queue=4096, precision="bf16", min_spread=0)
            narrow = EncoderConfig(arch="narrow18", input_px=48, transform="rgb")
            return [
                _measure(Path(folder) / "paper", EncoderConfig(), paper, AugmentConfig(), max(round(size), 1)),
                _measure(Path(folder) / "demo", narrow, demo, AugmentConfig(noise_pool=True), max(round(8 * size), 1)),
            ]
    finally:
        torch.set_num_threads(threads)


def _measure(folder: Path, config: EncoderConfig, moco: MocoConfig, augment: AugmentConfig, steps: int) -> Figure:
    sample = Cutouts.open(small_cutouts(Store.open(str(folder)), rows=4 * moco.batch, seed=1, release=RELEASE))
    feed = Feed(sample, field_px(augment, config.input_px), 8.0, 1)
    augmenter = Augmenter(augment, Fits.table2(), sample.release, config.input_px)
    run = Pretraining(moco, config, feed, augmenter, 10_000, 0, torch.device("cpu"))
    batches = run.batches()
    plain = resnet50() if config.arch == "resnet50" else build_backbone(config.arch, 3)
    plain.to(memory_format=torch.channels_last)
    views = torch.randn(moco.batch, 3, config.input_px, config.input_px).to(memory_format=torch.channels_last)

    def ours() -> None:
        for _ in range(steps):
            run.step(next(batches))

    def bare() -> None:
        for _ in range(steps):
            _forward_and_back(plain, views, moco.precision)

    work = {"ours": ours, "bare": bare}
    alternate(work, 1)
    seconds = alternate(work, ROUNDS)
    right = _agrees(config)
    ratio, in_cpu = (seconds["bare"].wall / seconds["ours"].wall, seconds["bare"].cpu / seconds["ours"].cpu)
    images = steps * moco.batch
    return Figure(
        what=f"pretrain step: {config.arch}, {config.input_px} px, batch {moco.batch}, {moco.groups} groups",
        ours=images / seconds["ours"].wall,
        theirs=images / seconds["bare"].wall,
        unit="images / s",
        against="bare passes of the plain network: two forward, one backward",
        reach=f"{REACH}",
        ratio=ratio,
        passed=right and ratio >= REACH,
        note=f"{torch.get_num_threads()} threads, {moco.precision}; {in_cpu:.2f} in CPU time; outputs {'agree' if right else 'DIFFER'} with the plain network's",
    )


def _forward_and_back(network: torch.nn.Module, views: torch.Tensor, precision: Precision) -> None:
    with arithmetic(views.device, precision):
        with torch.no_grad():
            network(views)
        out = network(views)
    network.zero_grad(set_to_none=True)
    out.float().square().mean().backward()


def _agrees(config: EncoderConfig) -> bool:
    """Whether our network, in training with one group, gives what torchvision's batch norm gives."""
    ours = build_backbone(config.arch, 3).train()
    images = torch.randn(8, 3, config.input_px, config.input_px)
    theirs = build_backbone(config.arch, 3).train()
    theirs.load_state_dict(ours.state_dict())
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.__class__ = torch.nn.BatchNorm2d
    with torch.no_grad():
        return torch.allclose(ours(images), theirs(images), rtol=1e-3, atol=1e-3)
