"""The index job through the real runner."""

import numpy as np
import pytest

from jobs.index import IndexConfig
from lenscore.artifacts import Artifact, Store
from lenscore.errors import DamagedError, InputError
from lenscore.similarity import Embeddings, Index
from lenscore.similarity.exact import prepare, search_all
from tests.support.artifacts import run_job
from tests.support.cutouts import small_cutouts
from tests.support.embeddings import small_embeddings

ROWS = 600


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(str(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def inputs(store: Store) -> dict[str, list[Artifact]]:
    cutouts = small_cutouts(store, ROWS, seed=1, invalid=(5, 17))
    return {"embeddings": [small_embeddings(store, cutouts, dimension=16)], "cutouts": [cutouts]}


@pytest.mark.parametrize(
    "given",
    [
        {"coding": "flat"},
        {"coding": "sq8"},
        {"coding": "sq8", "components": 8},
        {"coding": "pq", "pq_bytes": 8},
        {"kind": "hnsw", "coding": "sq8", "links": 16},
        {"kind": "hnsw", "coding": "flat"},
    ],
)
def test_finds_what_exact_search_finds(store: Store, inputs: dict[str, list[Artifact]], given: dict) -> None:
    config = IndexConfig(lists=4, effort=4, efforts=(1, 4), queries=5, recall_k=(1, 10), **given)
    made = run_job(store, "index", config, inputs)
    index, embeddings = Index.open(made), Embeddings.open(inputs["embeddings"][0])
    assert index.info["objects"] == ROWS - 2
    assert index.embeddings_id == embeddings.id
    queries = prepare(embeddings.read(0, 3), index.whitening)
    _, exact = search_all(embeddings, index.whitening, queries, 10)
    _, found = index.search(queries, 10)
    hits = sum(len(np.intersect1d(a, b)) for a, b in zip(exact, found, strict=True))
    assert hits >= (15 if given["coding"] == "pq" else 27)
    report = made.table("recall").read().to_pylist()
    assert {(row["k"], row["effort"]) for row in report} == {(1, 1), (1, 4), (10, 1), (10, 4)}
    full = [row["recall"] for row in report if row["effort"] == 4 and row["k"] == 10]
    assert (min(full) == 1.0) if given == {"coding": "flat"} else (np.mean(full) > 0.4)
    assert all(row["queries"] <= 5 and row["mag_high"] - row["mag_low"] == 1 for row in report)


def test_the_same_bytes_again(
    store: Store, inputs: dict[str, list[Artifact]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = IndexConfig(lists=3, queries=4, recall_k=(5,))
    first = run_job(store, "index", config, inputs)
    other = Store.open(str(tmp_path_factory.mktemp("other")))
    cutouts = small_cutouts(other, ROWS, seed=1, invalid=(5, 17))
    again = run_job(
        other, "index", config, {"embeddings": [small_embeddings(other, cutouts, dimension=16)], "cutouts": [cutouts]}
    )
    assert first.id == again.id
    assert first.manifest.files_sha256 == again.manifest.files_sha256


def test_an_index_that_does_not_fit_is_refused(store: Store, inputs: dict[str, list[Artifact]]) -> None:
    with pytest.raises(InputError, match=r"takes 0\.0 GiB of 0\.0 GiB"):
        run_job(store, "index", IndexConfig(lists=2, seed=9), inputs, memory_gib=1e-9)


def test_pq_must_divide_the_components(store: Store, inputs: dict[str, list[Artifact]]) -> None:
    with pytest.raises(InputError, match="16 components cannot be cut into 5"):
        run_job(store, "index", IndexConfig(coding="pq", pq_bytes=5), inputs)


def test_a_flipped_byte_is_found(store: Store, inputs: dict[str, list[Artifact]]) -> None:
    made = run_job(store, "index", IndexConfig(lists=2, seed=4), inputs)
    path = store.path(made.key("index.faiss"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedError):
        Index.open(made)
