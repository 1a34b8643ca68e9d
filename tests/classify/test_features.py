"""Features side by side, and where chosen rows are held."""

from pathlib import Path

import numpy as np
import pytest

from lenscore.artifacts import Store
from lenscore.classify import features as features_module
from lenscore.classify.features import SideBySide, hold, read_blocks
from lenscore.errors import InputError
from lenscore.similarity import Embeddings
from tests.support.embeddings import small_embeddings


def two(store: Store) -> SideBySide:
    first = small_embeddings(store, rows=300, dimension=6, seed=1, valid=np.arange(300) != 5, model_id="a")
    second = small_embeddings(store, rows=300, dimension=3, seed=2, valid=np.arange(300) != 9, model_id="b")
    return SideBySide([Embeddings.open(first), Embeddings.open(second)])


def test_rows_of_both_encoders_stand_side_by_side(file_store: Store) -> None:
    features = two(file_store)
    assert (features.dimension, features.widths, features.encoders) == (9, (6, 3), ("a", "b"))
    rows = np.array([7, 250, 7, 0])
    np.testing.assert_array_equal(features.take(rows), features.read(0, 300)[rows])
    assert np.flatnonzero(~features.valid(0, 300)).tolist() == [5, 9]


@pytest.mark.parametrize(
    ("memory_gib", "free", "place"), [(1.0, 1e12, "memory"), (1e-9, 1e12, "file"), (1e-9, 10.0, "store")]
)
def test_held_rows_are_the_stores_wherever_they_are(
    file_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory_gib: float, free: float, place: str
) -> None:
    monkeypatch.setattr(features_module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": free}))
    monkeypatch.setattr(features_module, "block_rows", lambda _: 64)
    features = two(file_store)
    rng = np.random.default_rng(0)
    sets = [rng.permutation(300)[:120], rng.permutation(300)[:7]]
    held, places = hold(features, sets, memory_gib, tmp_path)
    assert places == [place, place]
    for rows, one in zip(sets, held, strict=True):
        blocks = [block for _, block in read_blocks(one)]
        np.testing.assert_array_equal(np.concatenate(blocks), features.read(0, 300)[rows])


def test_embeddings_of_different_cutouts_are_refused(file_store: Store) -> None:
    readers = [Embeddings.open(small_embeddings(file_store, rows=rows)) for rows in (10, 20)]
    with pytest.raises(InputError, match="different cutouts"):
        SideBySide(readers)
    with pytest.raises(InputError, match="no embeddings"):
        SideBySide([])
