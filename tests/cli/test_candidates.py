"""lenscore candidates: versions, catalogues in four formats, differences."""

import io
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import parse_single_table

from jobs.publish import PublishConfig
from jobs.rank import RankConfig
from lenscore.artifacts import Store, take_name
from lenscore.candidates.strata import Stratum
from lenscore.errors import InputError, NotFoundError
from tests.cli.runner import failure, run
from tests.support.artifacts import run_job
from tests.support.candidates import put_model, put_scores
from tests.support.cutouts import small_cutouts

ROWS = 12


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two versions of a release's candidates, the first one published."""
    store = Store.open(str(tmp_path_factory.mktemp("store")))
    cutouts = small_cutouts(store, ROWS)
    config, model = RankConfig(strata=(Stratum(name="all", budget=4),)), put_model(store)
    for scores in (np.arange(ROWS), np.arange(ROWS)[::-1]):
        inputs = {"cutouts": [cutouts], "scores": [put_scores(store, cutouts, scores, model=model)]}
        candidates = run_job(store, "rank", config, inputs)
        take_name(store, "demo-dr1", candidates.reference)
    inputs = {"candidates": [candidates], "cutouts": [cutouts]}
    take_name(store, "demo-dr1", run_job(store, "publish", PublishConfig(), inputs).reference)
    return store


def test_versions(store: Store) -> None:
    rows = run("candidates", "versions", "demo-dr1", "--store", store.url, "--json").json
    assert [row["version"] for row in rows] == ["v1", "v2"]
    assert all(len(row["id"]) == 64 for row in rows)
    assert run("candidates", "versions", "nobody", "--store", store.url, "--json").json == []


def test_get_in_four_formats(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    read = {}
    for form in ("csv", "fits", "votable", "parquet"):
        path = run("candidates", "get", "demo-dr1", "--format", form, "--store", store.url).out.strip()
        data = (tmp_path / path).read_bytes()
        match form:
            case "csv":
                read[form] = pyarrow.csv.read_csv(io.BytesIO(data))["ls_id"].to_pylist()
            case "fits":
                with fits.open(io.BytesIO(data)) as hdus:
                    read[form] = hdus[1].data["ls_id"].tolist()
            case "votable":
                read[form] = parse_single_table(io.BytesIO(data)).array["ls_id"].tolist()
            case "parquet":
                read[form] = pq.read_table(io.BytesIO(data))["ls_id"].to_pylist()
    assert len(read["csv"]) == 4
    assert all(ids == read["csv"] for ids in read.values())
    assert {path.name for path in tmp_path.iterdir()} == {
        f"demo-dr1-v1.{end}" for end in ("csv", "fits", "vot", "parquet")
    }


def test_get_of_a_version_that_is_not_there(store: Store) -> None:
    error = failure("candidates", "get", "demo-dr1", "--version", "v7", "--store", store.url)
    assert isinstance(error, NotFoundError)
    assert "has no version v7" in error.what
    assert error.remedy == "it has v1"
    assert isinstance(failure("candidates", "get", "demo-dr1", "--version", "x", "--store", store.url), InputError)


def test_get_where_nothing_can_be_written(store: Store, tmp_path: Path) -> None:
    error = failure("candidates", "get", "demo-dr1", "--out", tmp_path / "no" / "x.csv", "--store", store.url)
    assert "no/x.csv" in error.what


def test_diff(store: Store) -> None:
    summary = run("candidates", "diff", "demo-dr1", "v1", "v2", "--store", store.url, "--json").json
    assert summary["before"].startswith("candidates/")
    assert sum(sum(causes.values()) for causes in summary["changes"].values()) > 0
    text = run("candidates", "diff", "demo-dr1", "v1", "v2", "--store", store.url, "--limit", "1").out
    assert text.splitlines()[0].endswith("differences between v1 and v2 of demo-dr1")
    assert "cause" in text.splitlines()[1]
    assert len(text.splitlines()) == 3


def test_diff_of_a_version_with_itself(store: Store) -> None:
    summary = run("candidates", "diff", "demo-dr1", "v1", "v1", "--store", store.url, "--json").json
    assert sum(sum(causes.values()) for causes in summary["changes"].values()) == 0
