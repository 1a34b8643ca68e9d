"""The similar job through the real runner."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jobs.runner import make_task, plan_task, run_task, run_units
from jobs.similar import SimilarConfig
from lenscore.artifacts import Artifact, Runtime, Store
from lenscore.errors import InputError
from lenscore.similarity import Embeddings, Neighbours, sort
from tests.similarity.brute import agree, brute_neighbours
from tests.support.artifacts import run_job
from tests.support.cutouts import SMALL_RELEASE, make_cutouts, small_catalogue, small_cutouts
from tests.support.embeddings import small_embeddings

ROWS = 500


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(str(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def cutouts(store: Store) -> Artifact:
    """Cutouts of which some rows have no magnitude in r, some no image, some are too faint."""
    catalogue = small_catalogue(ROWS, 0, SMALL_RELEASE)
    mag_r = catalogue["mag_r"].to_numpy().copy()
    mag_r[::31] = np.nan
    column = catalogue.schema.get_field_index("mag_r")
    catalogue = catalogue.set_column(column, catalogue.schema.field(column), pa.array(mag_r))
    images = np.random.default_rng(2).standard_normal((ROWS, 3, 64, 64)).astype(np.float32)
    images[7, 0, 0, 0] = np.nan
    return make_cutouts(store, images, catalogue, SMALL_RELEASE)


def taking_part(cutouts: Artifact, limit: float | None) -> np.ndarray:
    table = cutouts.table("catalogue").read()
    mag = table["mag_r"].to_numpy().copy()
    mag[~cutouts.array("images.zarr/valid")[:]] = np.nan
    if limit is not None:
        mag[table["mag_z"].to_numpy() >= limit] = np.nan
    return mag


@pytest.mark.parametrize("limit", [20.0, None])
def test_neighbours_are_those_of_brute_force(store: Store, cutouts: Artifact, limit: float | None) -> None:
    embeddings = small_embeddings(store, cutouts, dimension=12)
    inputs = {"embeddings": [embeddings], "cutouts": [cutouts]}
    made = run_job(store, "similar", SimilarConfig(k=40, limit_mag=limit), inputs)
    found = Neighbours.open(made)
    mag = taking_part(cutouts, limit)
    rows, similarity = found.of(np.arange(ROWS))
    expected = brute_neighbours(Embeddings.open(embeddings).read(0, ROWS), mag, 40, 0.5)
    agree((similarity.astype(np.float64), rows), expected, 5e-4)
    assert made.manifest.metrics["without_neighbours"] == np.isnan(mag).sum()
    assert found.embeddings_id == embeddings.id
    one_rows, one_similarity = found.of(3)
    np.testing.assert_array_equal(one_rows, rows[3])
    np.testing.assert_array_equal(one_similarity, similarity[3])
    assert np.isnan(similarity[7]).all()


def test_whitened_neighbours(store: Store, cutouts: Artifact) -> None:
    embeddings = small_embeddings(store, cutouts, dimension=12, seed=5)
    inputs = {"embeddings": [embeddings], "cutouts": [cutouts]}
    made = Neighbours.open(run_job(store, "similar", SimilarConfig(k=20, components=6), inputs))
    white = made.whitening.apply(Embeddings.open(embeddings).read(0, ROWS)).astype(np.float16)
    rows, similarity = made.of(np.arange(ROWS))
    agree((similarity.astype(np.float64), rows), brute_neighbours(white, taking_part(cutouts, 20.0), 20, 0.5), 5e-4)


def test_many_units_and_files_give_the_same(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Units in another order, in separate calls, with a bucket for every few objects: the same neighbours."""
    cutouts = small_cutouts(store, ROWS, seed=3)
    embeddings = small_embeddings(store, cutouts, seed=3)
    inputs = {"embeddings": [embeddings], "cutouts": [cutouts]}
    whole = Neighbours.open(run_job(store, "similar", SimilarConfig(k=30), inputs))
    monkeypatch.setattr(sort, "BLOCK_ROWS", 64)
    monkeypatch.setattr("lenscore.similarity.neighbours.BLOCK_ROWS", 64)
    monkeypatch.setattr("lenscore.similarity.neighbours.VECTOR_CHUNK", 16)
    other = Store.open(str(tmp_path))
    cutouts, embeddings = (
        small_cutouts(other, ROWS, seed=3),
        small_embeddings(other, small_cutouts(other, ROWS, seed=3), seed=3),
    )
    references = {"embeddings": [embeddings.reference], "cutouts": [cutouts.reference]}
    task = make_task("similar", SimilarConfig(k=30), references)
    object.__setattr__(task.spec, "unit_rows", 64)
    try:
        runtime = Runtime(workers=1, threads=1, memory_gib=1e-5, scratch=tmp_path)
        assert plan_task(other, task, runtime) == -(-ROWS // 64)
        for unit in (5, 0, 7):
            run_units(other, task, runtime, [unit])
        parts = Neighbours.open(run_task(other, task, runtime))
    finally:
        object.__setattr__(task.spec, "unit_rows", 16384)
    np.testing.assert_array_equal(parts.of(np.arange(ROWS))[0], whole.of(np.arange(ROWS))[0])
    np.testing.assert_array_equal(parts.of(np.arange(ROWS))[1], whole.of(np.arange(ROWS))[1])


def test_other_cutouts_are_refused(store: Store, cutouts: Artifact) -> None:
    embeddings = small_embeddings(store, rows=ROWS - 1)
    with pytest.raises(InputError, match="499 embeddings for 500 objects"):
        run_job(store, "similar", SimilarConfig(k=3), {"embeddings": [embeddings], "cutouts": [cutouts]})


def test_other_kind_is_refused(cutouts: Artifact) -> None:
    with pytest.raises(InputError, match="is of kind cutouts"):
        Neighbours.open(cutouts)
