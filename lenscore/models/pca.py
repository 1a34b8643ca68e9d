"""Principal components of pixels."""

import numpy as np
import torch

from lenscore.cutouts import Cutouts
from lenscore.errors import InputError
from lenscore.models.config import EncoderConfig
from lenscore.models.encoder import PcaEncoder
from lenscore.models.transform import transform_images


def fit_components(config: EncoderConfig, cutouts: Cutouts, components: int, objects: int) -> PcaEncoder:
    """Fit components to the first valid objects of a pre-shuffled sample.

    The eigenvectors come from the products between objects, which are fewer than the pixels.

    Args:
        config: field and transform.
        cutouts: the sample.
        components: how many.
        objects: to fit to.

    Raises:
        InputError: there are fewer objects than components.
    """
    rows = np.flatnonzero(cutouts.valid())[:objects]
    if len(rows) <= components:
        raise InputError(f"{len(rows)} objects are too few for {components} components", "lower components")
    images = torch.from_numpy(cutouts.take(rows, config.input_px)[0])
    pixels = transform_images(images, config.transform, cutouts.bands).flatten(1)
    mean = pixels.mean(0)
    pixels = pixels - mean
    values, vectors = torch.linalg.eigh((pixels @ pixels.T).double())
    values, vectors = values[-components:].flip(0), vectors[:, -components:].flip(1)
    found = (vectors.T.float() @ pixels) / values.clamp_min(1e-12).sqrt().float()[:, None]
    # An eigenvector's sign is arbitrary; the largest weight is made positive, so that runs agree.
    signs = found.gather(1, found.abs().argmax(1, keepdim=True)).sign()
    return PcaEncoder(config, cutouts.bands, mean, found * signs)
