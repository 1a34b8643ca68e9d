"""A range of images to vectors, at the network's own speed: images are read while the network works."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from lenscore.cutouts import Cutouts
from lenscore.errors import InputError
from lenscore.models.encoder import Encoder, check_images, embed_views

MAX_FLOAT16 = 65504.0


def embed_rows(
    encoder: Encoder,
    cutouts: Cutouts,
    rows: range,
    batch: int,
    average_views: bool,
    device: torch.device,
    threads: int = 2,
    done: Callable[[int], None] | None = None,
) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    """Embed rows.

    Args:
        encoder: which.
        cutouts: where the images are.
        rows: which, in order.
        batch: images at once.
        average_views: mean over flips and quarter turns.
        device: where the encoder is.
        threads: that read.
        done: called with the number of rows that are done.

    Returns:
        vectors (N, D) float16, zero where not valid; valid (N,).

    Raises:
        InputError: the encoder does not fit the images, or a vector is not finite.
    """
    if cutouts.bands != encoder.bands:
        raise InputError(
            f"the model sees bands {', '.join(encoder.bands)}, the images have {', '.join(cutouts.bands)}",
            "use a model that was trained on these bands",
        )
    check_images(torch.empty(0, len(cutouts.bands), cutouts.size_px, cutouts.size_px), encoder.bands, encoder.input_px)
    vectors, valid = np.zeros((len(rows), encoder.dimension), np.float16), np.zeros(len(rows), bool)
    for found in cutouts.stream(rows.start, rows.stop, batch, encoder.input_px, threads):
        images = torch.from_numpy(found.images_bchw).to(device, non_blocking=True)
        with torch.inference_mode():
            embedded = embed_views(encoder, images) if average_views else encoder.embed(images)
        place = slice(found.start - rows.start, found.start - rows.start + len(images))
        vectors[place] = _as_float16(embedded, found.valid_b)
        valid[place] = found.valid_b
        if done:
            done(place.stop)
    return vectors, valid


def _as_float16(embedded: torch.Tensor, valid_b: NDArray[np.bool_]) -> NDArray[np.float16]:
    values = embedded.float().cpu().numpy()
    values[~valid_b] = 0
    if not np.isfinite(values).all() or np.abs(values).max(initial=0) > MAX_FLOAT16:
        worst = float(np.abs(values).max())
        raise InputError(
            f"a vector has the value {worst}", "look at the model: float16 holds finite values up to 65504"
        )
    return values.astype(np.float16)
