"""The training set: flat in mag_z, southern, valid, shuffled, and the same after a crash."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import jobs.sample
from jobs.runner import make_task, plan_task, run_units
from jobs.sample import SampleConfig
from lenscore.artifacts import Artifact, Runtime, Store
from lenscore.artifacts.lifecycle import verify
from lenscore.cutouts import CodecConfig, Cutouts
from lenscore.errors import InputError
from lenscore.survey.release import Release
from tests.support.artifacts import run_job
from tests.support.cutouts import make_cutouts, small_catalogue, small_cutouts

TINY = Release(name="demo-dr1", stored_px=12, network_px=8)
INVALID = (3, 700, 2050)
ROWS = 2500


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(str(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def cutouts(store: Store) -> Artifact:
    return small_cutouts(store, ROWS, 1, TINY, invalid=INVALID)


def column(artifact: Artifact, name: str) -> np.ndarray[Any, Any]:
    return np.asarray(artifact.table("catalogue").read([name])[name])


def run(store: Store, cutouts: Artifact, **config: Any) -> Artifact:
    return run_job(store, "sample", SampleConfig(**config), {"cutouts": [cutouts]})


@pytest.fixture(scope="module")
def sample(store: Store, cutouts: Artifact) -> Artifact:
    return run(store, cutouts, rows=1200, bin_mag=0.5)


def test_rows_are_distinct_valid_and_bright(sample: Artifact, cutouts: Artifact) -> None:
    rows = column(sample, "source_row")
    assert len(np.unique(rows)) == sample.manifest.rows == 1200
    assert not np.isin(rows, INVALID).any()
    assert column(sample, "mag_z").max() < 20
    assert Cutouts.open(sample).valid().all()


def test_magnitudes_are_uniform(sample: Artifact) -> None:
    counts = np.histogram(column(sample, "mag_z"), bins=np.arange(16, 20.1, 0.5))[0]
    assert counts.sum() == 1200
    assert counts.max() - counts.min() <= 2


def test_images_and_catalogue_follow_their_row(sample: Artifact, cutouts: Artifact) -> None:
    rows = column(sample, "source_row")
    images, _ = Cutouts.open(sample).read(0, 1200)
    np.testing.assert_array_equal(images, Cutouts.open(cutouts).take(rows)[0])
    wanted = cutouts.table("catalogue").read().take(pa.array(rows))
    found = sample.table("catalogue").read().drop_columns(["source_row"])
    pd.testing.assert_frame_equal(found.to_pandas(), wanted.to_pandas())
    assert Cutouts.open(sample).release == TINY


def test_the_order_is_shuffled_and_depends_on_the_seed(sample: Artifact, store: Store, cutouts: Artifact) -> None:
    rows = column(sample, "source_row")
    assert abs(np.corrcoef(rows[:-1], rows[1:])[0, 1]) < 0.1
    other = column(run(store, cutouts, rows=1200, bin_mag=0.5, seed=1), "source_row")
    assert not np.array_equal(rows, other)
    assert len(np.setdiff1d(rows, other))


def test_each_chunk_is_read_by_one_unit(sample: Artifact) -> None:
    chunks = column(sample, "source_row") // 16
    both = np.intersect1d(chunks[:1024], chunks[1024:])
    assert len(both) <= 1


def test_fewer_than_asked_for_are_all_taken(store: Store, cutouts: Artifact) -> None:
    made = run(store, cutouts, rows=10_000)
    mag = column(cutouts, "mag_z").copy()
    mag[list(INVALID)] = np.nan
    np.testing.assert_array_equal(np.sort(column(made, "source_row")), np.flatnonzero(mag < 20))
    assert made.manifest.metrics["rows_asked"] == 10_000
    assert made.manifest.metrics["rows_drawn"] == made.manifest.metrics["candidates"] == made.manifest.rows


def test_region_and_dust_are_settings(store: Store) -> None:
    catalogue = small_catalogue(60, 4, TINY)
    columns = {name: catalogue[name].to_pylist() for name in catalogue.schema.names}
    columns["region"] = ["north", "south"] * 30
    columns["mag_z"] = [19.5, 20.05, None] * 20
    columns["ebv"] = [0.1] * 60
    given = make_cutouts(
        store,
        np.random.default_rng(0).random((60, 3, 12, 12), dtype=np.float32),
        pa.Table.from_pydict(columns, schema=catalogue.schema),
        TINY,
        CodecConfig(kind="float16"),
    )
    row = np.arange(60)
    found = np.sort(column(run(store, given), "source_row"))
    np.testing.assert_array_equal(found, row[(row % 2 == 1) & (row % 3 == 0)])
    made = run(store, given, region="any", extinction_corrected=True)
    np.testing.assert_array_equal(np.sort(column(made, "source_row")), row[row % 3 < 2])
    assert Cutouts.open(made).kind == "float16"


def test_nothing_to_draw_and_unknown_columns_are_said(store: Store, cutouts: Artifact) -> None:
    with pytest.raises(InputError, match=r"none of 2500 objects .* region 'north'"):
        run(store, cutouts, region="north")
    with pytest.raises(InputError, match="no column 'mag_u'"):
        run(store, cutouts, band="u")


def test_an_interrupted_run_ends_with_the_same_bytes(
    store: Store, cutouts: Artifact, sample: Artifact, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Store.open(str(tmp_path_factory.mktemp("other")))
    again = small_cutouts(other, ROWS, 1, TINY, invalid=INVALID)
    assert again.id == cutouts.id
    config = SampleConfig(rows=1200, bin_mag=0.5)
    task = make_task("sample", config, {"cutouts": [again.reference]})
    runtime = Runtime(workers=1, threads=1, scratch=tmp_path_factory.mktemp("scratch"))
    assert plan_task(other, task, runtime) == 2
    other.delete(f"{task.work}/plan.json")  # as if killed right before the plan was recorded
    plan_task(other, task, runtime)
    run_units(other, task, runtime, units=[1])
    other.delete(f"{task.work}/units/000001.json")
    made = run_job(other, "sample", config, {"cutouts": [again]})
    assert not list(verify(made))
    assert {path: info.sha256 for path, info in made.files.items()} == {
        path: info.sha256 for path, info in sample.files.items()
    }


def test_large_catalogues_are_written_in_blocks(
    store: Store, cutouts: Artifact, sample: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.sample, "BLOCK_ROWS", 500)
    made = run(store, cutouts, rows=1200, bin_mag=0.5, seed=7)
    rows = column(made, "source_row")
    wanted = cutouts.table("catalogue").read(["ls_id"]).take(pa.array(rows))["ls_id"]
    np.testing.assert_array_equal(column(made, "ls_id"), np.asarray(wanted))
