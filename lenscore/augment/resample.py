"""Flip, rotation, scale and shift as one bilinear resampling of just the pixels that are needed."""

from typing import Literal

import torch
import torch.nn.functional as F

from lenscore.augment.draws import Draws

CACHED_IMAGES = 2
"""Images sampled at a time on a CPU: 0.5 MB of 152 px and 3 bands, within the second-level cache."""


def resample(
    images_bchw: torch.Tensor, rows: torch.Tensor, draws: Draws, out_px: int, margin_px: int, fill: str
) -> torch.Tensor:
    """Sample the transformed images in a window around the crop.

    The content is flipped, rotated and scaled about the image's centre, then shifted. One interpolation instead
    of one a step smooths the image once instead of twice. Surface brightness is kept: a larger galaxy has more flux.

    Args:
        images_bchw: (B, C, H, W) square images.
        rows: (R,) images to sample, in this order; on a GPU all are.
        draws: flips, angles, scales and shifts of the R images.
        out_px: side of the crop.
        margin_px: more pixels on each side of the crop, for the blur.
        fill: "zero" or "reflect", what lies beyond the image.

    Returns:
        (R, C, n, n) with n = out_px + 2 margin_px.
    """
    size_px = images_bchw.shape[-1]
    side_px = out_px + 2 * margin_px
    # The crop is the one that slicing from (size - out) // 2 gives, also where size - out is odd.
    first = (size_px - out_px) // 2 - margin_px - (size_px - 1) / 2
    axis = torch.arange(side_px, device=images_bchw.device) + first
    grid_bhw2 = _source_grid(axis, draws).mul_(2 / size_px)
    mode: Literal["zeros", "reflection"] = "reflection" if fill == "reflect" else "zeros"
    if images_bchw.is_cuda:
        return F.grid_sample(images_bchw, grid_bhw2, mode="bilinear", padding_mode=mode, align_corners=False)
    # Reading a turned image jumps through memory: a copy of a few images at a time is read from the cache.
    parts = [
        F.grid_sample(
            images_bchw.index_select(0, some),
            grid_bhw2[start : start + len(some)],
            mode="bilinear",
            padding_mode=mode,
            align_corners=False,
        )
        for start, some in zip(range(0, len(rows), CACHED_IMAGES), rows.split(CACHED_IMAGES), strict=False)
    ]
    return torch.cat(parts)


def _source_grid(axis: torch.Tensor, draws: Draws) -> torch.Tensor:
    """(B, n, n, 2) position in the stored image, from its centre, that each output pixel is read at, pixels."""
    cos_b, sin_b = draws.angle_b.cos() / draws.scale_b, draws.angle_b.sin() / draws.scale_b
    flip_x, flip_y = draws.flip_b2.unbind(dim=1)
    # Positions as x + iy: one sum of a row and a column makes both coordinates, interleaved as they are needed.
    along_x = torch.complex(cos_b * flip_x, -sin_b * flip_y)
    along_y = torch.complex(sin_b * flip_x, cos_b * flip_y)
    x_bw = (axis - draws.shift_b2[:, :1]) * along_x[:, None]
    y_bh = (axis - draws.shift_b2[:, 1:]) * along_y[:, None]
    return torch.view_as_real(x_bw[:, None, :] + y_bh[:, :, None])
