"""Images for people, in the stretch of the survey's own viewer (FACTS: RGB for people)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SCALES = {"g": 6.0, "r": 3.4, "i": 3.0, "z": 2.2}
"""Factor of each band, per nanomaggy."""
MINIMUM = 0.03
SOFTENING = 20.0
CHANNELS = 3


def rgb(images_bchw: NDArray[np.float32], bands: Sequence[str]) -> NDArray[np.uint8]:
    """Colour pictures: the bluest band is blue, the reddest red.

    Args:
        images_bchw: (B, C, H, W) in nanomaggies.
        bands: the C bands, from blue to red; with two the green is their mean, with more than three the first,
            middle and last are shown.

    Returns:
        (B, H, W, 3) uint8.
    """
    chosen = _three(len(bands))
    scales = np.array([SCALES.get(bands[i], SCALES["r"]) for i in chosen], dtype=np.float32)
    scaled = images_bchw[:, chosen] * scales[:, None, None] + MINIMUM
    mean = np.maximum(scaled, 0).mean(axis=1, keepdims=True)
    bright = np.maximum(mean, 1e-12)
    stretched = scaled * (np.arcsinh(SOFTENING * bright) / np.sqrt(SOFTENING) / bright)
    picture = np.clip(np.nan_to_num(stretched), 0, 1)[:, ::-1]
    return np.ascontiguousarray((picture * 255).astype(np.uint8).transpose(0, 2, 3, 1))


def centre(images: NDArray[np.float32], size_px: int) -> NDArray[np.float32]:
    """The central size_px x size_px pixels of images (..., H, W); smaller ones get a border of zeros."""
    border = -(-max(size_px - min(images.shape[-2:]), 0) // 2)
    if border:
        images = np.pad(images, [(0, 0)] * (images.ndim - 2) + [(border, border)] * 2)
    top, left = ((side - size_px) // 2 for side in images.shape[-2:])
    return images[..., top : top + size_px, left : left + size_px]


def _three(count: int) -> list[int]:
    if count == 1:
        return [0, 0, 0]
    if count == 2:
        return [0, 1, 1]
    return [0, (count - 1) // 2 if count > CHANNELS else 1, count - 1]
