"""A small labelled release with embeddings in which lenses stand out in one direction."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.artifacts import Artifact, Store
from tests.support.candidates import catalogue_rows, put_artifact, put_cutouts

DIMENSION = 12


@dataclass(frozen=True)
class LabelledRelease:
    """Artifacts of one release, and the truth behind them."""

    cutouts: Artifact
    labels: Artifact
    embeddings: Artifact
    is_lens: NDArray[np.bool_]
    listed: NDArray[np.int64]


def labelled_release(
    store: Store, rows: int = 2000, lenses: int = 60, seed: int = 0, signal: float = 2.5, dimension: int = DIMENSION
) -> LabelledRelease:
    """Make one: half of the lenses are listed as known, some listed rows are near or ambiguous, two rows are invalid."""
    rng = np.random.default_rng(seed)
    catalogue = catalogue_rows(
        list(rng.uniform(0, 2, rows)),
        list(rng.uniform(-1, 1, rows)),
        release="demo-dr1",
        mag_g=rng.uniform(18, 22, rows),
    )
    is_lens = np.zeros(rows, bool)
    is_lens[rng.choice(rows, lenses, replace=False)] = True
    cutouts = put_cutouts(store, catalogue, release="demo-dr1")
    listed = np.flatnonzero(is_lens)[::2]
    others = rng.choice(np.flatnonzero(~is_lens), 10, replace=False)
    labels = put_labels(
        store, catalogue, np.concatenate([listed, others]), ["lens"] * len(listed) + ["near", "ambiguous"] * 5
    )
    embeddings = put_embeddings(
        store, lens_vectors(is_lens, rng, signal, dimension), catalogue, cutouts, invalid=(3, 77)
    )
    return LabelledRelease(cutouts, labels, embeddings, is_lens, listed)


def lens_vectors(
    is_lens: NDArray[np.bool_], rng: np.random.Generator, signal: float, dimension: int = DIMENSION
) -> NDArray[np.float16]:
    """Correlated vectors of unlike scales, with the lenses moved along one direction."""
    mixing = np.linalg.qr(rng.normal(size=(dimension, dimension)))[0] * np.geomspace(1, 0.1, dimension)
    latent = rng.normal(size=(len(is_lens), dimension))
    latent[:, -1] += signal * is_lens
    return (latent @ mixing.T + 1).astype(np.float16)


def put_labels(store: Store, catalogue: pa.Table, rows: NDArray[np.int64], labels: list[str]) -> Artifact:
    """A labels artifact; every lens is a system of its own."""
    taken = catalogue.take(pa.array(rows))
    systems = [f"L{row}" if label == "lens" else None for row, label in zip(rows, labels, strict=True)]
    table = pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            "ls_id": taken["ls_id"],
            "ra": taken["ra"],
            "dec": taken["dec"],
            "label": labels,
            "system_id": pa.array(systems, pa.string()),
            "separation_arcsec": np.zeros(len(rows)),
        }
    )
    return put_artifact(store, "labels", tables={"labels": table})


def put_embeddings(
    store: Store,
    vectors: NDArray[np.float16],
    catalogue: pa.Table,
    cutouts: Artifact,
    invalid: tuple[int, ...] = (),
    model: str = "m" * 64,
) -> Artifact:
    """An embeddings artifact of given vectors; invalid rows are zero."""
    valid = np.ones(len(vectors), bool)
    valid[list(invalid)] = False
    arrays = {
        "embeddings.zarr/embeddings": np.where(valid[:, None], vectors, 0).astype(np.float16),
        "embeddings.zarr/valid": valid,
        "embeddings.zarr/ls_id": catalogue["ls_id"].to_numpy(),
    }
    info = {"dimension": vectors.shape[1], "model": model, "cutouts": cutouts.id}
    return put_artifact(store, "embeddings", arrays=arrays, jsons={"embeddings.json": info})
