"""Pictures of candidates, from whichever release each one is in."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.artifacts import Artifact
from lenscore.cutouts import Cutouts
from lenscore.errors import InputError
from lenscore.figures.rgb import centre, rgb
from lenscore.figures.sheets import Picture

BATCH = 500


def candidate_pictures(
    candidates: Artifact,
    cutouts: Sequence[Artifact],
    limit: int,
    size_px: int,
    done: Callable[[int, int], None] | None = None,
) -> list[Picture]:
    """Pictures of the best candidates, in their order.

    Args:
        candidates: the ranked list.
        cutouts: images of all releases that it draws from.
        limit: how many.
        size_px: side in pixels.
        done: called with (done, total).

    Returns:
        Pictures numbered by rank.

    Raises:
        InputError: a candidate's release is not among the cutouts.
    """
    table = candidates.table("candidates").read(stop=limit)
    pixels = pictures_of(table, cutouts, size_px, done)
    captions = [_caption(row) for row in table.to_pylist()]
    numbers = zip(table["rank"].to_pylist(), table["ls_id"].to_pylist(), captions, pixels, strict=True)
    return [Picture(rank, ls_id, caption, shown) for rank, ls_id, caption, shown in numbers]


def vetting_pictures(
    labels: Artifact,
    cutouts: Sequence[Artifact],
    limit: int,
    size_px: int,
    done: Callable[[int, int], None] | None = None,
) -> list[Picture]:
    """Pictures of listed lenses on which nobody has voted, in the order of the vetting table.

    Args:
        labels: made from the one release that is shown.
        cutouts: of that release.
        limit: how many.
        size_px: side in pixels.
        done: called with (done, total).

    Returns:
        Pictures numbered by their place in the vetting table, from 1.

    Raises:
        InputError: the cutouts are others than those that the labels belong to.
    """
    if [item.reference for item in cutouts] != list(labels.manifest.inputs.get("cutouts", ())):
        raise InputError(
            f"labels {labels.id[:12]} do not belong to these cutouts", "hand over the cutouts that they were made for"
        )
    table = labels.table("vetting").read(stop=limit)
    name = Cutouts.open(cutouts[0]).release.name
    placed = table.append_column("release_name", pa.array([name] * table.num_rows, pa.string()))
    pixels = pictures_of(placed, cutouts, size_px, done)
    return [
        Picture(number, row["ls_id"], _vetting_caption(row), shown)
        for number, (row, shown) in enumerate(zip(table.to_pylist(), pixels, strict=True), start=1)
    ]


def pictures_of(
    table: pa.Table, cutouts: Sequence[Artifact], size_px: int, done: Callable[[int, int], None] | None = None
) -> NDArray[np.uint8]:
    """Pictures of the objects in a table with columns release_name and row.

    Returns:
        (N, size_px, size_px, 3) uint8.
    """
    opened = {item.release.name: item for item in map(Cutouts.open, cutouts)}
    names, rows = table["release_name"].to_pylist(), table["row"].to_numpy()
    pixels = np.zeros((len(rows), size_px, size_px, 3), np.uint8)
    shown = 0
    for name in dict.fromkeys(names):
        if name not in opened:
            raise InputError(
                f"candidates of release {name!r} have no cutouts", f"hand over those of {', '.join(opened)} and it"
            )
        mine = np.flatnonzero([other == name for other in names])
        for start in range(0, len(mine), BATCH):
            chosen = mine[start : start + BATCH]
            images, _ = opened[name].take(rows[chosen])
            pixels[chosen] = rgb(centre(images, size_px), opened[name].bands)
            shown += len(chosen)
            if done:
                done(shown, len(rows))
    return pixels


def _caption(row: dict[str, object]) -> str:
    parts = [f"{row['ra']:.5f} {row['dec']:+.5f}"]
    if row.get("mag_z") is not None:
        parts.append(f"z {row['mag_z']:.1f}")
    parts += [
        f"{name.removeprefix('rank_')} {row[name]}"
        for name in row
        if name.startswith("rank_") and row[name] is not None
    ]
    return " · ".join(parts)


def _vetting_caption(row: dict[str, Any]) -> str:
    return " · ".join(
        [f"{row['ra']:.5f} {row['dec']:+.5f}", *row["names"], *(f"listed {grade}" for grade in row["grades"])]
    )
