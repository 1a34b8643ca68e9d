"""lenscore job: one job, in one piece or in phases."""

from pathlib import Path

import pytest

from lenscore.artifacts import Artifact, Store
from lenscore.errors import InputError
from tests.cli.runner import failure, run

SKY = "[simulate]\nobjects = 6\nlens_fraction = 0\nring_fraction = 0\nmerger_fraction = 0\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "run.toml").write_text(SKY)
    return tmp_path / "run.toml"


def simulate(store: Store, config: Path, *words: object) -> tuple[object, ...]:
    return ("job", "run", "simulate", "--config", config, "--store", store.url, "--workers", 1, "--threads", 1, *words)


def test_list() -> None:
    rows = run("job", "list", "--json").json
    assert {row["job"] for row in rows} >= {"simulate", "ingest", "pretrain", "rank", "publish"}
    assert next(row for row in rows if row["job"] == "embed")["inputs"] == "cutouts, model"


def test_run_makes_an_artifact_once(file_store: Store, config: Path) -> None:
    made = run(*simulate(file_store, config)).out.strip()
    kind, _, id = made.partition("/")
    assert kind == "sky"
    first = Artifact.open(file_store, kind, id).manifest
    assert first.config["objects"] == 6
    again = run(*simulate(file_store, config, "--json")).json
    assert again["created"] == first.created
    assert again["rows"] == 6


def test_phases_make_the_same_artifact(file_store: Store, tmp_path: Path, config: Path) -> None:
    planned = run(*simulate(file_store, config, "--phase", "plan", "--json")).json
    assert planned["phase"] == "plan"
    error = failure(*simulate(file_store, config, "--phase", "finish"))
    assert isinstance(error, InputError)
    assert "1 of 1 units are not done" in error.what
    assert error.remedy == "run the units first"
    run(*simulate(file_store, config, "--phase", "units", "--units", "0:1"))
    finished = run(*simulate(file_store, config, "--phase", "finish", "--json")).json
    assert finished["id"] == planned["id"]
    other = Store.open(str(tmp_path / "other"))
    whole = run(*simulate(other, config, "--json")).json
    assert whole["id"] == finished["id"]
    assert whole["files_sha256"] == finished["files_sha256"]


def test_inputs_by_the_beginning_of_an_id(file_store: Store, config: Path) -> None:
    sky = run(*simulate(file_store, config)).out.strip()
    words = ("job", "run", "ingest", "--input", f"sky={sky[:10]}", "--store", file_store.url, "--json")
    made = run(*words).json
    assert made["kind"] == "cutouts"
    assert made["inputs"]["sky"] == [{"kind": "sky", "id": sky.partition("/")[2]}]
    wrong = failure("job", "run", "sample", "--input", f"cutouts={sky}", "--store", file_store.url)
    assert "got sky" in wrong.what
    unknown = failure("job", "run", "sample", "--input", f"images={sky}", "--store", file_store.url)
    assert "no input 'images'" in unknown.what
    assert "cutouts" in unknown.remedy


def test_a_unit_that_is_not_there(file_store: Store, config: Path) -> None:
    error = failure(*simulate(file_store, config, "--phase", "units", "--units", "5:7"))
    assert isinstance(error, InputError)
    assert "there is no unit 6" in error.what


def test_a_job_in_one_piece_has_no_phases(file_store: Store) -> None:
    error = failure("job", "run", "lens_list", "--phase", "plan", "--store", file_store.url)
    assert "is not sharded" in error.what
