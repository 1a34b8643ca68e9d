"""Images embedded from the store, against bare forward passes of the same network on images that lie in memory."""

import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import Figure, alternate
from lenscore.artifacts import Store
from lenscore.cutouts import Cutouts
from lenscore.models.config import EncoderConfig, Precision
from lenscore.models.embedding import embed_rows
from lenscore.models.encoder import NetworkEncoder, arithmetic, embed_views
from lenscore.models.pretraining import untrained
from lenscore.survey.release import find_release
from tests.support.cutouts import small_cutouts

ROUNDS = 5
REACH = 0.95
BATCH = 64
BANDS = ("g", "r", "z")


def main(size: float = 1.0) -> list[Figure]:
    """Measure the default network, and the demo's with its mean over 8 views, on one core.

    Args:
        size: 1 for 128 images a round of the default network and 512 of the demo's.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return [
                _measure(Path(folder), EncoderConfig(), max(int(128 * size), 64), False, "float32"),
                _measure(
                    Path(folder),
                    EncoderConfig(arch="narrow18", input_px=48, transform="rgb"),
                    max(int(512 * size), 64),
                    True,
                    "bf16",
                ),
            ]
    finally:
        torch.set_num_threads(threads)


def _measure(folder: Path, config: EncoderConfig, rows: int, views: bool, precision: Precision) -> Figure:
    artifact = small_cutouts(Store.open(str(folder / config.arch)), rows=rows, seed=1, release=find_release("demo-dr1"))
    cutouts, device = Cutouts.open(artifact), torch.device("cpu")
    encoder = untrained(config, BANDS, 0, precision).for_speed()
    images, valid = cutouts.read(0, rows, config.input_px)
    held = encoder.prepare(torch.from_numpy(images))

    def ours() -> np.ndarray:
        return embed_rows(encoder, cutouts, range(rows), BATCH, views, device, threads=1)[0]

    def bare() -> None:
        with torch.inference_mode(), arithmetic(device, precision):
            for batch in held.split(BATCH):
                for _ in range(8 if views else 1):
                    encoder.backbone(batch)

    found = ours()
    right = _agrees(found[valid], untrained(config, BANDS, 0, precision), images[valid], views)
    # CPU time: what else runs on the machine counts less than in wall time.
    seconds = {name: found.cpu for name, found in alternate({"ours": ours, "bare": bare}, ROUNDS).items()}
    ratio = seconds["bare"] / seconds["ours"]
    return Figure(
        what=f"embed: {config.arch}, {config.input_px} px{', mean of 8 views' if views else ''}",
        ours=rows / seconds["ours"],
        theirs=rows / seconds["bare"],
        unit="images / s",
        against="bare forward passes of the same network on images in memory",
        reach=f"{REACH}",
        ratio=ratio,
        passed=right and ratio >= REACH,
        note=f"CPU time of one core, {precision}; vectors {'agree' if right else 'DIFFER'} with the plain network's",
    )


def _agrees(found: np.ndarray, encoder: NetworkEncoder, images: np.ndarray, views: bool) -> bool:
    """Whether some vectors are those of the network as it was, without folded norms, to the arithmetic's rounding."""
    some = torch.from_numpy(images[:16])
    expected = (embed_views(encoder, some) if views else encoder.embed(some)).numpy()
    tolerance = 2e-2 if encoder.precision == "bf16" else 2e-3
    return bool(np.linalg.norm(found[:16] - expected) <= tolerance * np.linalg.norm(expected))
