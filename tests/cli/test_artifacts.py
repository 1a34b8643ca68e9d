"""lenscore artifacts: listing, fetching, verifying, lineage, removal."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from lenscore.artifacts import Artifact, Store, take_name
from lenscore.artifacts.manifest import sha256
from lenscore.errors import DamagedError, InputError, NotFoundError
from tests.cli.runner import failure, run
from tests.support.candidates import catalogue_rows, put_cutouts, put_labels, put_model, put_scores


@dataclass(frozen=True)
class Filled:
    """A store with scores made from a named model and from cutouts, and labels that no name reaches."""

    store: Store
    cutouts: Artifact
    model: Artifact
    scores: Artifact
    labels: Artifact


@pytest.fixture
def filled(file_store: Store) -> Filled:
    cutouts = put_cutouts(file_store, catalogue_rows([10.0, 10.1], [0.0, 0.1]))
    model = put_model(file_store, "linear")
    scores = put_scores(file_store, cutouts, [1.0, 2.0], model=model)
    labels = put_labels(file_store, cutouts, {1: "lens"})
    take_name(file_store, "dr9-south", scores.reference)
    return Filled(file_store, cutouts, model, scores, labels)


def test_ls(filled: Filled) -> None:
    rows = run("artifacts", "ls", "--store", filled.store.url, "--json").json
    assert {(row["kind"], row["id"]) for row in rows} == {
        (item.kind, item.id) for item in (filled.cutouts, filled.model, filled.scores, filled.labels)
    }
    named = {row["id"]: row["names"] for row in rows}
    assert named[filled.scores.id] == "dr9-south:v1"
    assert named[filled.labels.id] == ""
    assert all(isinstance(row["bytes"], int) for row in rows)


def test_ls_of_one_kind_for_people(filled: Filled) -> None:
    lines = run("artifacts", "ls", "labels", "--store", filled.store.url).out.splitlines()
    assert lines[0].split() == ["kind", "id", "created", "rows", "bytes", "names"]
    assert len(lines) == 2
    assert filled.labels.id[:12] in lines[1]
    assert filled.labels.id not in lines[1]


def test_the_store_may_come_from_the_environment(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENSCORE_STORE", filled.store.url)
    assert len(run("artifacts", "ls", "--json").json) == 4


def test_show(filled: Filled) -> None:
    shown = run("artifacts", "show", f"scores/{filled.scores.id[:6]}", "--store", filled.store.url, "--json").json
    assert shown["id"] == filled.scores.id
    assert shown["inputs"]["model"] == [{"kind": "model", "id": filled.model.id}]
    text = run("artifacts", "show", filled.scores.id, "--store", filled.store.url).out
    assert "scores/part-000000.parquet" in text


def test_an_artifact_must_be_told_apart(filled: Filled) -> None:
    assert isinstance(failure("artifacts", "show", "scores/ab", "--store", filled.store.url), InputError)
    other = "0000" if not filled.scores.id.startswith("0000") else "ffff"
    error = failure("artifacts", "show", f"scores/{other}", "--store", filled.store.url)
    assert isinstance(error, NotFoundError)
    assert other in error.what


def test_get_fetches_once(filled: Filled, tmp_path: Path) -> None:
    words = ("artifacts", "get", filled.cutouts.id, "--out", tmp_path / "copy", "--store", filled.store.url)
    assert run(*words).out.count("fetched") == len(filled.cutouts.files)
    for path, info in filled.cutouts.files.items():
        assert sha256((tmp_path / "copy" / path).read_bytes()) == info.sha256
    assert "fetched" not in run(*words).out
    (tmp_path / "copy" / "release.json").write_text("{}")
    assert run(*words).out.count("fetched") == 1


def test_get_of_one_file(filled: Filled, tmp_path: Path) -> None:
    words = ("artifacts", "get", filled.cutouts.id, "--path", "release.json", "--store", filled.store.url)
    run(*words, "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["release.json"]
    error = failure(*words[:4], "no.json", *words[5:], "--out", tmp_path)
    assert "no file 'no.json'" in error.what


def test_verify(filled: Filled) -> None:
    assert run("artifacts", "verify", "--store", filled.store.url).out == "4 artifacts are whole\n"
    assert run("artifacts", "verify", filled.model.id, "--store", filled.store.url, "--json").json == []


def test_verify_finds_a_flipped_and_a_lost_file(filled: Filled) -> None:
    key = f"{filled.model.prefix}/model.json"
    filled.store.put(key, filled.store.get(key).swapcase())
    filled.store.delete(f"{filled.cutouts.prefix}/release.json")
    error = failure("artifacts", "verify", "--store", filled.store.url)
    assert isinstance(error, DamagedError)
    assert "2 damaged files in 4 artifacts" in error.what
    assert run("artifacts", "verify", filled.scores.id, "--store", filled.store.url).code == 0


def test_get_refuses_what_is_damaged(filled: Filled, tmp_path: Path) -> None:
    key = f"{filled.model.prefix}/model.json"
    filled.store.put(key, filled.store.get(key).swapcase())
    error = failure("artifacts", "get", filled.model.id, "--out", tmp_path, "--store", filled.store.url)
    assert isinstance(error, DamagedError)
    assert not (tmp_path / "model.json").exists()


def test_lineage(filled: Filled) -> None:
    rows = run("artifacts", "lineage", filled.scores.id, "--store", filled.store.url, "--json").json
    assert {(row["artifact"], row["input"], row["made from"]) for row in rows} == {
        (f"scores/{filled.scores.id}", "cutouts", f"cutouts/{filled.cutouts.id}"),
        (f"scores/{filled.scores.id}", "model", f"model/{filled.model.id}"),
    }
    assert filled.model.id[:12] in run("artifacts", "lineage", filled.scores.id, "--store", filled.store.url).out


def test_gc_keeps_what_a_name_reaches(filled: Filled) -> None:
    assert run("artifacts", "gc", "--store", filled.store.url, "--json").json == []
    listed = run("artifacts", "gc", "--grace-hours", "0", "--store", filled.store.url, "--json").json
    assert [row["id"] for row in listed] == [filled.labels.id]
    assert len(run("artifacts", "ls", "--store", filled.store.url, "--json").json) == 4
    assert "bytes freed" in run("artifacts", "gc", "--grace-hours", "0", "--delete", "--store", filled.store.url).out
    left = {row["id"] for row in run("artifacts", "ls", "--store", filled.store.url, "--json").json}
    assert left == {filled.cutouts.id, filled.model.id, filled.scores.id}
    assert list(filled.store.list(filled.labels.prefix)) == []
