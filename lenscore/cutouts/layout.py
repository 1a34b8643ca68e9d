"""Where the images of an artifact lie, and how they are cut into chunks and shards."""

from lenscore.artifacts import ArraySpec

GROUP = "images.zarr"
IMAGES = f"{GROUP}/images"
STEP = f"{GROUP}/step"
VALID = f"{GROUP}/valid"
CHUNK_ROWS = 16
SHARD_ROWS = 1024


def array_specs(rows: int, bands: int, side_px: int, kind: str, level: int) -> dict[str, ArraySpec]:
    """The three arrays of a set of cutouts, all cut at the same rows so that one writer fills one shard of each.

    Args:
        rows: number of images.
        bands: number of bands.
        side_px: side of an image, px.
        kind: type of the stored pixels.
        level: zstd level.

    Returns:
        Specifications by path: images (N, C, S, S), step (N, C) in nmgy per stored unit, valid (N,).
    """
    return {
        IMAGES: ArraySpec(rows, (bands, side_px, side_px), kind, CHUNK_ROWS, SHARD_ROWS, level),
        STEP: ArraySpec(rows, (bands,), "float32", SHARD_ROWS, SHARD_ROWS, level),
        VALID: ArraySpec(rows, (), "bool", SHARD_ROWS, SHARD_ROWS, level),
    }
