"""Augmented views for each second of one core, against a plain chain of scikit-image and scipy, one image at a time."""

import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.harness import Figure
from lenscore.augment import AugmentConfig, Augmenter, Fits, Properties
from lenscore.augment.draws import draw
from lenscore.survey.release import find_release
from tests.augment.reference import augment_one, draw_one

ROUNDS = 5
REACH = 20.0


def main(size: float = 1.0) -> list[Figure]:
    """Measure views of 96 of 152 px in 3 bands, with all augmentations on.

    Args:
        size: 1 for 256 views a round of ours and 64 of the plain chain's.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measure(max(int(256 * size), 32), max(int(64 * size), 8))
    finally:
        torch.set_num_threads(threads)


def _measure(rows: int, plain_rows: int) -> list[Figure]:
    release, fits = find_release("dr9-south"), Fits.table2()
    images = torch.randn(rows, 3, 152, 152, generator=torch.Generator().manual_seed(0)) * 0.01
    properties = Properties(torch.full((rows,), 0.05))
    generator, random = torch.Generator().manual_seed(1), np.random.default_rng(1)
    makers = {pool: Augmenter(AugmentConfig(noise_pool=pool), fits, release, 96) for pool in (False, True)}

    def plain() -> None:
        for image in images[:plain_rows].numpy():
            augment_one(image, draw_one(fits, 0.05, random), 96, random)

    seconds: dict[str, float] = {"plain": np.inf, "False": np.inf, "True": np.inf}
    for _ in range(ROUNDS):
        seconds["plain"] = min(seconds["plain"], _cpu_seconds(plain) / plain_rows)
        for pool, maker in makers.items():
            for _ in range(4):
                spent = _cpu_seconds(lambda maker=maker: maker(images, properties, generator)) / rows  # type: ignore[misc]
                seconds[str(pool)] = min(seconds[str(pool)], spent)
    right = _agrees(makers[False], properties)
    return [_figure(seconds, pool, right) for pool in (False, True)]


def _figure(seconds: dict[str, float], pool: bool, right: bool) -> Figure:
    ours, theirs = 1 / seconds[str(pool)], 1 / seconds["plain"]
    ratio = ours / theirs
    return Figure(
        what=f"augmented views a second and core{', noise from a pool' if pool else ''}",
        ours=ours,
        theirs=theirs,
        unit="views / s",
        against="a plain chain of scikit-image and scipy, an image at a time",
        reach=f"{REACH:.0f}x",
        ratio=ratio,
        passed=right and ratio >= REACH,
        note=f"CPU time; moments of the views {'agree' if right else 'DIFFER'}",
    )


def _cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of this process: what else runs on the machine counts less than in wall time."""
    started = time.process_time()
    work()
    return time.process_time() - started


def _agrees(maker: Augmenter, properties: Properties) -> bool:
    """Whether flux of smooth images after the same draws is that of the plain chain, to 2 %."""
    from dataclasses import fields

    from tests.augment.helpers import blobs
    from tests.augment.reference import Parameters

    images, generator = blobs(8), torch.Generator().manual_seed(2)
    draws = draw(AugmentConfig(noise=False), maker.fits, maker.release, properties.take(slice(8)), generator)
    views = maker.apply(images, draws, generator)
    parts = [getattr(draws, part.name).numpy() for part in fields(draws)]
    plain = [
        augment_one(image, Parameters(*(part[row] for part in parts)), 96, np.random.default_rng(0))
        for row, image in enumerate(images.numpy())
    ]
    return bool(np.allclose(views.sum(dim=(2, 3)).numpy(), np.stack(plain).sum(axis=(2, 3)), rtol=0.02))
