"""The reader of embeddings."""

import numpy as np
import pytest

from lenscore.artifacts import Artifact, Store
from lenscore.errors import DamagedError, InputError
from lenscore.similarity import Embeddings
from lenscore.similarity.sample import sample_batches
from tests.support.embeddings import small_embeddings

VECTORS = np.random.default_rng(1).standard_normal((300, 8)).astype(np.float16)
VALID = np.arange(300) % 50 != 3


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(str(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def artifact(store: Store) -> Artifact:
    return small_embeddings(store, vectors=VECTORS, valid=VALID)


def test_ranges_and_rows(artifact: Artifact) -> None:
    reader = Embeddings.open(artifact)
    assert (reader.rows, reader.dimension, reader.id) == (300, 8, artifact.id)
    np.testing.assert_array_equal(reader.read(60, 130), VECTORS[60:130])
    rows = np.array([299, 0, 17, 17, 64])
    np.testing.assert_array_equal(reader.take(rows), VECTORS[rows])
    assert reader.take(np.array([], int)).shape == (0, 8)
    np.testing.assert_array_equal(reader.valid(0, 300), VALID)
    np.testing.assert_array_equal(reader.ls_id(5, 8), 10**16 + np.arange(5, 8))


@pytest.mark.parametrize("rows", [1, 64, 100, 1000])
def test_batches_cover_all_rows_in_order(artifact: Artifact, rows: int) -> None:
    batches = list(Embeddings.open(artifact).batches(rows))
    np.testing.assert_array_equal(np.concatenate([batch.embeddings for batch in batches]), VECTORS)
    np.testing.assert_array_equal(np.concatenate([batch.valid for batch in batches]), VALID)
    assert [batch.start for batch in batches] == list(range(0, 300, rows))


def test_batches_of_a_range(artifact: Artifact) -> None:
    found = np.concatenate([batch.embeddings for batch in Embeddings.open(artifact).batches(7, 31, 77)])
    np.testing.assert_array_equal(found, VECTORS[31:77])


def test_sample_is_seeded_and_valid(artifact: Artifact) -> None:
    reader = Embeddings.open(artifact)
    everything = np.concatenate(list(sample_batches(reader, 10**6, 0)))
    np.testing.assert_array_equal(everything, VECTORS[VALID])
    some, again = (np.concatenate(list(sample_batches(reader, 200, 4))) for _ in range(2))
    np.testing.assert_array_equal(some, again)
    assert len(some) < len(everything)


def test_bad_rows_and_kinds(artifact: Artifact) -> None:
    reader = Embeddings.open(artifact)
    with pytest.raises(InputError, match="row 300 is not in embeddings of 300 rows"):
        reader.take(np.array([4, 300]))
    with pytest.raises(InputError, match="row -1"):
        reader.take(np.array([-1]))
    with pytest.raises(InputError, match="rows 10:301"):
        reader.read(10, 301)


def test_a_flipped_byte_is_never_used(store: Store) -> None:
    artifact = small_embeddings(store, vectors=VECTORS[::-1])
    path = store.path(f"{artifact.prefix}/embeddings.zarr/embeddings/c/0/0")
    data = bytearray(path.read_bytes())
    data[200] ^= 4
    path.write_bytes(data)
    with pytest.raises(DamagedError):
        Embeddings.open(artifact).read(0, 300)
