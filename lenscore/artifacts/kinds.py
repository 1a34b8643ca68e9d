"""The kinds of artifact, and what each one holds."""

from dataclasses import dataclass

from lenscore.errors import InputError


@dataclass(frozen=True)
class Kind:
    """A kind of artifact.

    Args:
        name: as it stands in the store.
        holds: one line for people.
        tables: tables that it must hold.
        files: files that it must hold.
    """

    name: str
    holds: str
    tables: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "sky",
            "a simulated survey: images, tables, a published lens list, and the truth",
            ("objects", "lenses", "truth"),
            ("release.json", "images.zarr/zarr.json"),
        ),
        Kind(
            "cutouts",
            "images of a catalogue's objects, and the catalogue, row for row",
            ("catalogue",),
            ("release.json", "images.zarr/zarr.json"),
        ),
        Kind("lens_list", "known lenses and candidates, one entry a system", ("lenses",)),
        Kind("matches", "objects within the matching radius of a known lens", ("pairs",), ("summary.json",)),
        Kind("labels", "the objects that are a lens, near one, or ambiguous; all others are nonlenses", ("labels",)),
        Kind("augmentation_fits", "lognormal fits of noise, seeing and dust", ("histograms",), ("fits.json",)),
        Kind("model", "weights and the configuration that made them", (), ("model.json", "weights.safetensors")),
        Kind("embeddings", "one float16 vector an object", (), ("embeddings.json", "embeddings.zarr/zarr.json")),
        Kind("neighbours", "the most similar objects of each object", (), ("neighbours.zarr/zarr.json",)),
        Kind(
            "index",
            "an approximate index for queries, with its measured recall",
            ("recall",),
            ("index.json", "index.faiss"),
        ),
        Kind("scores", "a score and a calibrated probability for each object", ("scores",)),
        Kind("candidates", "ranked candidates with their evidence", ("candidates",)),
        Kind("sheets", "numbered sheets of images for inspection", ("sheets",), ("index.html",)),
        Kind("grades", "people's votes, and the grades merged from them", ("votes", "grades")),
        Kind("catalogue_release", "a published catalogue with figures and provenance", ("catalogue",), ("README.md",)),
        Kind("comparison", "differences between two versions of the candidates", ("differences",), ("summary.json",)),
        Kind("drift", "how far a release is from what the models were trained on", ("quantities",), ("drift.json",)),
        Kind("evaluation", "what was found, held against the truth of a simulated sky", (), ("evaluation.json",)),
    )
}


def find_kind(name: str) -> Kind:
    """Look a kind up.

    Raises:
        InputError: there is no such kind.
    """
    if name not in KINDS:
        raise InputError(f"unknown kind of artifact {name!r}", f"use one of {', '.join(KINDS)}")
    return KINDS[name]
