"""The simulate job, through the runner."""

from pathlib import Path

import numpy as np
import pytest
from pandas.testing import assert_frame_equal

from jobs.simulate import SimulateConfig
from lenscore.artifacts import Artifact, Store
from lenscore.survey.release import Release
from lenscore.survey.schema import catalogue_schema
from tests.support.artifacts import run_job

ROWS = 40


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(f"file://{tmp_path_factory.mktemp('store')}")


@pytest.fixture(scope="module")
def sky(store: Store) -> Artifact:
    return run_job(store, "simulate", SimulateConfig(objects=ROWS, lens_fraction=0.2, bad_image_fraction=0.1))


def test_all_tables_have_their_rows(sky: Artifact) -> None:
    assert sky.table("objects").num_rows == sky.table("truth").num_rows == ROWS
    assert sky.table("objects").schema.names == catalogue_schema(("g", "r", "z")).names
    assert sky.table("truth").read(["ls_id"]).equals(sky.table("objects").read(["ls_id"]))
    assert sky.table("truth").read(["row"])["row"].to_pylist() == list(range(ROWS))
    assert sky.table("lenses").num_rows >= 5
    assert Release(**sky.read_json("release.json")).name == "demo-dr1"


def test_images_are_there_and_bad_ones_marked(sky: Artifact) -> None:
    stored, step = sky.array("images.zarr/images")[:], sky.array("images.zarr/step")[:]
    valid = sky.array("images.zarr/valid")[:]
    flaw = np.array(sky.table("truth").read(["flaw"])["flaw"].to_pylist())
    bad = np.isin(flaw, ["missing band", "NaN", "no valid pixel"])
    assert bad.any()
    np.testing.assert_array_equal(valid, ~bad)
    images = stored * step[:, :, None, None]
    assert images.shape == (ROWS, 3, 152, 152)
    assert np.isfinite(images).all()
    middle = images[valid, 2, 70:82, 70:82].sum(axis=(1, 2))
    assert (middle > 0).all()


def test_no_truth_in_what_the_survey_publishes(sky: Artifact) -> None:
    published = set(sky.table("objects").schema.names) | set(sky.table("lenses").schema.names)
    assert not published & {
        "is_lens",
        "kind",
        "known",
        "findable",
        "theta_e_arcsec",
        "system_id",
        "sky_id",
        "flaw",
    }


def test_same_config_same_sky(sky: Artifact, tmp_path: Path) -> None:
    other = Store.open(f"file://{tmp_path}")
    again = run_job(other, "simulate", SimulateConfig(objects=ROWS, lens_fraction=0.2, bad_image_fraction=0.1))
    assert again.id == sky.id
    for name in ("objects", "truth", "lenses"):
        assert_frame_equal(again.table(name).read().to_pandas(), sky.table(name).read().to_pandas())
    np.testing.assert_array_equal(again.array("images.zarr/images")[:], sky.array("images.zarr/images")[:])
