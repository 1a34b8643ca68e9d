"""The job drift: says in which quantity a release differs from training, from stored artifacts."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from jobs.drift import DriftConfig
from lenscore.artifacts import Artifact, Store
from lenscore.errors import InputError
from tests.support.artifacts import run_job
from tests.support.candidates import put_artifact
from tests.support.cutouts import SMALL_RELEASE, small_catalogue
from tests.support.labelled import put_embeddings

ROWS = 3000


def release(store: Store, seed: int, deeper: float = 1.0, shift: float = 0.0, invalid: tuple[int, ...] = (3,)):
    """Cutouts without images, and embeddings."""
    catalogue = small_catalogue(ROWS, seed, SMALL_RELEASE)
    index = catalogue.schema.get_field_index("psfdepth_z")
    depth = pc.multiply(catalogue["psfdepth_z"], pa.scalar(deeper, pa.float32()))
    catalogue = catalogue.set_column(index, "psfdepth_z", depth)
    info = SMALL_RELEASE.model_dump(mode="json")
    cutouts = put_artifact(store, "cutouts", tables={"catalogue": catalogue}, jsons={"release.json": info})
    vectors = np.random.default_rng(seed).normal(shift, 1, (ROWS, 8)).astype(np.float16)
    return cutouts, put_embeddings(store, vectors, catalogue, cutouts, invalid)


def drift(
    store: Store, training: tuple[Artifact, Artifact], found: tuple[Artifact, Artifact], **config: int
) -> Artifact:
    inputs = dict(
        zip(("training_cutouts", "training_embeddings", "cutouts", "embeddings"), (*training, *found), strict=True)
    )
    return run_job(store, "drift", DriftConfig(components=4, **config), {name: [item] for name, item in inputs.items()})


def test_each_quantity_is_named_where_it_differs_and_only_there(file_store: Store) -> None:
    training = release(file_store, 1)
    expected = {"same": (release(file_store, 2), []), "deeper": (release(file_store, 3, deeper=4), ["psfdepth z"])}
    for found, far in expected.values():
        made = drift(file_store, training, found)
        assert [text.partition(" (")[0] for text in made.read_json("drift.json")["far"]] == far
        rows = made.table("quantities").read().to_pylist()
        assert len(rows) == 3 + 3 + 1 + 4 + 1
        assert [f"{row['quantity']} {row['part']}" for row in rows if row["far"]] == far
    moved = drift(file_store, training, release(file_store, 4, shift=1)).read_json("drift.json")["far"]
    assert moved
    assert all(text.startswith("embedding ") for text in moved)


def test_invalid_rows_are_left_out_and_a_spread_is_enough(file_store: Store) -> None:
    training = release(file_store, 1)
    rows = (
        drift(file_store, training, release(file_store, 5, deeper=4), rows=512).table("quantities").read().to_pylist()
    )
    assert rows[0]["quantity"] == "psfdepth"
    assert rows[0]["far"]
    assert {row["rows_found"] for row in rows} == {511}


def test_a_release_without_a_usable_row_is_refused(file_store: Store) -> None:
    training = release(file_store, 1)
    with pytest.raises(InputError, match="no usable"):
        drift(file_store, training, release(file_store, 6, invalid=tuple(range(ROWS))))
