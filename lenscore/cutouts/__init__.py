"""Images of a catalogue's objects at rest: their codec, writer and reader."""

from lenscore.cutouts.batches import Batch
from lenscore.cutouts.codec import CodecConfig, CodecError, Encoded, decode, encode, find_bad_images
from lenscore.cutouts.noise import estimate_sigma, sigma_from_depth
from lenscore.cutouts.reader import Cutouts
from lenscore.cutouts.writer import CutoutsWriter

__all__ = [
    "Batch",
    "CodecConfig",
    "CodecError",
    "Cutouts",
    "CutoutsWriter",
    "Encoded",
    "decode",
    "encode",
    "estimate_sigma",
    "find_bad_images",
    "sigma_from_depth",
]
