"""Galleries of pictures (Figures 3, 6-8 and 11-14)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenscore.cutouts import Cutouts
from lenscore.figures.rgb import centre, rgb
from lenscore.figures.sheets import png

GAP_PX = 2
FRAME_PX = 2
NEW = (220, 50, 50)
WHITE = (255, 255, 255)


def draw_gallery(pixels: NDArray[np.uint8], columns: int) -> bytes:
    """Pictures in rows, best first.

    Args:
        pixels: (N, H, W, 3).
        columns: side by side.

    Returns:
        A PNG.
    """
    count, side = pixels.shape[:2]
    columns = min(columns, max(count, 1))
    rows = max(-(-count // columns), 1)
    sheet = Image.new("RGB", (columns * (side + GAP_PX), rows * (side + GAP_PX)))
    for i, picture in enumerate(pixels):
        sheet.paste(Image.fromarray(picture), (i % columns * (side + GAP_PX), i // columns * (side + GAP_PX)))
    return png(sheet)


def draw_queries(
    cutouts: Cutouts, queries: Sequence[int], similar: Sequence[Sequence[int]], known: set[int], size_px: int
) -> bytes:
    """Figure 3: each query at the left, its most similar objects beside it; those not known have a red frame.

    Args:
        cutouts: where the images are.
        queries: row of each query.
        similar: rows of its most similar objects, best first.
        known: rows of listed lenses and objects near them.
        size_px: side of a picture.

    Returns:
        A PNG.
    """
    columns = 1 + max(len(rows) for rows in similar)
    cell = size_px + 2 * FRAME_PX + GAP_PX
    sheet = Image.new("RGB", (columns * cell + size_px // 4, len(queries) * cell), WHITE)
    for i, (query, rows) in enumerate(zip(queries, similar, strict=True)):
        images, _ = cutouts.take(np.array([query, *rows]))
        for j, picture in enumerate(rgb(centre(images, size_px), cutouts.bands)):
            frame = NEW if j and rows[j - 1] not in known else WHITE
            left = j * cell + (size_px // 4 if j else 0)
            sheet.paste(frame, (left, i * cell, left + size_px + 2 * FRAME_PX, i * cell + size_px + 2 * FRAME_PX))
            sheet.paste(Image.fromarray(picture), (left + FRAME_PX, i * cell + FRAME_PX))
    return png(sheet)
