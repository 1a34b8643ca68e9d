"""Queries by identity, position, vector and several at once."""

import numpy as np
import pyarrow as pa
import pytest

from jobs.index import IndexConfig
from jobs.similar import SimilarConfig
from lenscore.artifacts import Artifact, Store
from lenscore.errors import InputError, NotFoundError
from lenscore.similarity.query import ById, ByPosition, ByVector, Library, query
from lenscore.similarity.whiten import unit
from tests.support.artifacts import run_job
from tests.support.cutouts import small_cutouts
from tests.support.embeddings import small_embeddings

ROWS = 400


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(str(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def parts(store: Store) -> dict[str, Artifact]:
    cutouts = small_cutouts(store, ROWS, seed=2, invalid=(11,))
    embeddings = small_embeddings(store, cutouts, dimension=16, seed=2)
    inputs = {"embeddings": [embeddings], "cutouts": [cutouts]}
    return {
        "cutouts": cutouts,
        "embeddings": embeddings,
        "neighbours": run_job(store, "similar", SimilarConfig(k=20, limit_mag=None), inputs),
        "index": run_job(
            store, "index", IndexConfig(coding="flat", lists=2, effort=2, queries=3, recall_k=(5,)), inputs
        ),
    }


@pytest.fixture(scope="module")
def library(parts: dict[str, Artifact]) -> Library:
    return Library.open(**parts)


def expected(library: Library, vectors: np.ndarray, without: list[int], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and best similarity to any of the vectors, by comparing everything."""
    everything = unit(library.embeddings.read(0, ROWS).astype(np.float32))
    similarity = (everything @ unit(vectors.astype(np.float32)).T).max(axis=1)
    similarity[[11, *without]] = -9
    rows = np.argsort(-similarity, kind="stable")[:k]
    return rows, similarity[rows]


def identity(library: Library, row: int) -> int:
    return int(library.embeddings.ls_id(row, row + 1)[0])


@pytest.mark.parametrize("method", ["index", "exact"])
@pytest.mark.parametrize("combine", ["mean", "max"])
def test_several_queries(library: Library, method: str, combine: str) -> None:
    rows = [3, 77, 200]
    vectors = unit(library.embeddings.take(np.array(rows)).astype(np.float32))
    asked = [ById(identity(library, row)) for row in rows[:2]] + [ByVector(vectors[2])]
    answer = query(library, asked, 30, combine, method)
    target = vectors.mean(axis=0, keepdims=True) if combine == "mean" else vectors
    wanted, similarity = expected(library, target, rows[:2], 30)
    np.testing.assert_array_equal(answer.table["row"].to_numpy(), wanted)
    np.testing.assert_allclose(answer.table["similarity"].to_numpy(), similarity, atol=1e-6)
    assert answer.method == method


def test_stored_neighbours_are_used_when_there_are(library: Library, parts: dict[str, Artifact]) -> None:
    answer = query(library, [ById(identity(library, 5))], 10)
    assert answer.method == "neighbours"
    assert library.neighbours is not None
    np.testing.assert_array_equal(answer.table["row"].to_numpy(), library.neighbours.of(5)[0][:10])
    mag = parts["cutouts"].table("catalogue").read(["mag_r"])["mag_r"].to_numpy()
    assert np.abs(answer.table["mag_r"].to_numpy() - mag[5]).max() <= 0.5
    assert query(library, [ById(identity(library, 5))], 21).method == "index"
    assert query(library, [ByVector(np.ones(16))], 10).method == "index"


def test_by_position(library: Library, parts: dict[str, Artifact]) -> None:
    place = parts["cutouts"].table("catalogue").read(["ls_id", "ra", "dec"]).to_pylist()[42]
    answer = query(library, [ByPosition(place["ra"], place["dec"] + 1 / 3600)], 5)
    assert answer.notes == (
        f"nearest object to {place['ra']}, {place['dec'] + 1 / 3600}: 1.00 arcsec away",
        f"query: ls_id {place['ls_id']}",
    )
    assert answer.table.equals(query(library, [ById(place["ls_id"])], 5).table)
    assert (answer.table["separation_arcsec"].to_numpy() > 0).all()
    with pytest.raises(NotFoundError, match=r"no object within 0.5 arcsec .* the nearest is \d+ at .* 1.0 arcsec away"):
        query(library, [ByPosition(place["ra"], place["dec"] + 1 / 3600, 0.5)])


def test_columns(library: Library) -> None:
    table = query(library, [ByVector(np.ones(16))], 3).table
    assert table.column_names == ["row", "ls_id", "ra", "dec", "mag_r", "similarity", "separation_arcsec"]
    assert table.schema.field("ls_id").type == pa.int64()
    assert np.isnan(table["separation_arcsec"].to_numpy()).all()


def test_more_than_there_are(library: Library) -> None:
    assert query(library, [ByVector(np.ones(16))], 5000, method="exact").table.num_rows == ROWS - 1
    assert query(library, [ById(identity(library, 0))], 5000).table.num_rows == ROWS - 2


def test_without_neighbours_and_index(library: Library, parts: dict[str, Artifact]) -> None:
    bare = Library.open(parts["embeddings"], parts["cutouts"])
    answer = query(bare, [ById(identity(library, 8))], 12)
    assert answer.method == "exact"
    wanted, _ = expected(library, library.embeddings.take(np.array([8])), [8], 12)
    np.testing.assert_array_equal(answer.table["row"].to_numpy(), wanted)
    with pytest.raises(InputError, match="there is no index"):
        query(bare, [ById(identity(library, 8))], method="index")


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ([ById(12)], NotFoundError, "ls_id 12 is not among the 400 objects"),
        ([ByPosition(400, 0)], InputError, "ra = 400 is outside"),
        ([ByPosition(float("nan"), 0)], InputError, "not a number"),
        ([ByVector(np.ones(3))], InputError, r"shape \(3,\); give 16 numbers"),
        ([ByVector(np.full(16, np.nan))], InputError, "zero or not finite"),
        ([ByVector(np.ones(16)), ByVector(-np.ones(16))], InputError, "opposite directions"),
        ([], InputError, "0 queries"),
    ],
)
def test_bad_queries(library: Library, asked: list, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        query(library, asked, 5)


def test_an_object_without_image(library: Library) -> None:
    with pytest.raises(InputError, match="has no usable image"):
        query(library, [ById(identity(library, 11))], 5)


def test_artifacts_that_do_not_belong_together(store: Store, parts: dict[str, Artifact]) -> None:
    other = small_embeddings(store, parts["cutouts"], dimension=16, seed=99)
    with pytest.raises(InputError, match="belongs to embeddings"):
        Library.open(other, parts["cutouts"], parts["neighbours"])
