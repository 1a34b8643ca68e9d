"""fit_pca: the plain baseline, principal components of the pixels that a network would see.

Memory: `objects` central fields as float32 (170 MB for 4096 fields of 3 x 48 x 48 px, as large again for their
products); time: of a symmetric eigenproblem of that order, some seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lenscore.config import Config, field
from lenscore.models.config import EncoderConfig

if TYPE_CHECKING:
    from lenscore.artifacts import Checkpoints, Inputs, Runtime, Sink

VERSION = 1


class FitPcaConfig(Config):
    """Which pixels, how many components."""

    encoder: EncoderConfig = field(
        EncoderConfig(), unit="", source="SCIENCE", description="field and transform; arch is not used"
    )
    components: int = field(64, unit="", source="SCIENCE: PCA of pixels", description="dimension of the vectors", ge=1)
    objects: int = field(
        4096, unit="objects", source="assumed: enough for 64 components", description="objects to fit to", ge=2
    )


def run(config: FitPcaConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Write model.json and weights.safetensors."""
    import torch

    from lenscore.cutouts import Cutouts
    from lenscore.models.encoder import save_encoder
    from lenscore.models.pca import fit_components

    torch.set_num_threads(runtime.threads)
    encoder = fit_components(config.encoder, Cutouts.open(inputs.one("cutouts")), config.components, config.objects)
    save_encoder(sink, encoder, method="pca", objects=config.objects)
