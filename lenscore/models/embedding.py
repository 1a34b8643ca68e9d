"""A range of images to vectors, at the network's own speed: images are read while the network works."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from lenscore.cutouts import Batch, Cutouts
from lenscore.errors import InputError
from lenscore.models.encoder import Encoder, arithmetic, check_images, embed_views

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
    # Vectors stay on the device until all are made: nothing waits for a GPU before.
    vectors = torch.zeros(len(rows), encoder.dimension, dtype=torch.float16, device=device)
    valid = np.zeros(len(rows), bool)
    stream = cutouts.stream(rows.start, rows.stop, batch, encoder.input_px, threads, raw=device.type == "cuda")
    # Around all batches, so that weights are rounded once and not for each of them.
    with torch.inference_mode(), arithmetic(device, encoder.precision):
        for found in stream:
            place = slice(found.start - rows.start, found.stop - rows.start)
            images = _images(found, device)
            vectors[place] = embed_views(encoder, images) if average_views else encoder.embed(images)
            valid[place] = found.valid_b
            if done:
                done(place.stop)
    return _checked(vectors, valid, rows.start), valid


def _images(batch: Batch, device: torch.device) -> torch.Tensor:
    """Nanomaggies on the device; a GPU gets the small stored pixels and multiplies."""
    images = torch.from_numpy(batch.images_bchw)
    if not batch.raw:
        return images
    step = torch.from_numpy(batch.step_bc).to(device, non_blocking=True)
    return images.pin_memory().to(device, non_blocking=True).float().mul_(step[:, :, None, None])


def _checked(vectors: torch.Tensor, valid: NDArray[np.bool_], first: int) -> NDArray[np.float16]:
    found: NDArray[np.float16] = vectors.cpu().numpy()
    found[~valid] = 0
    bad = ~np.isfinite(found).all(axis=1)
    if bad.any():
        raise InputError(
            f"{bad.sum()} vectors, the first of row {first + int(bad.argmax())}, hold values beyond {MAX_FLOAT16:g}",
            "look at the model: vectors are stored as float16",
        )
    return found
