"""lenscore release: an announcement is written once, holds, and carries its settings; accepting drift is a person's word."""

from pathlib import Path

import pytest

from lenscore.artifacts import Store, take_name
from lenscore.artifacts.announcements import drift_is_accepted, find_announcement, list_announcements
from lenscore.errors import ConflictError, InputError, NotFoundError
from tests.cli.runner import failure, run
from tests.support.candidates import put_artifact


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """These commands must do without a Prefect server."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


def settings(folder: Path, text: str) -> Path:
    path = folder / "release.toml"
    path.write_text(text)
    return path


def test_announcing_twice_is_announcing_once(file_store: Store) -> None:
    first = run("release", "announce", "dr10", "--store", file_store.url, "--json").json
    again = run("release", "announce", "dr10", "--store", file_store.url, "--json").json
    assert (first["new"], again["new"]) == (True, False)
    assert first["announced"] == again["announced"]
    assert (first["event"], again["event"]) == (False, False)
    assert [item.release for item in list_announcements(file_store)] == ["dr10"]
    assert "a scheduled watch finds it" in run("release", "announce", "dr10", "--store", file_store.url).out


def test_settings_are_checked_kept_and_never_changed(file_store: Store, tmp_path: Path) -> None:
    path = settings(tmp_path, '[ingest]\nrelease = "dr9-south"\nsource = "s3://survey/dr10"\n')
    run("release", "announce", "dr10", "--settings", path, "--store", file_store.url)
    assert find_announcement(file_store, "dr10").settings["ingest"]["source"] == "s3://survey/dr10"
    path = settings(tmp_path, '[ingest]\nsource = "s3://survey/other"\n')
    error = failure("release", "announce", "dr10", "--settings", path, "--store", file_store.url)
    assert isinstance(error, ConflictError)
    path = settings(tmp_path, '[ingest]\nsauce = "x"\n')
    assert isinstance(failure("release", "announce", "dr11", "--settings", path, "--store", file_store.url), InputError)
    with pytest.raises(NotFoundError):
        find_announcement(file_store, "dr11")


def test_a_name_that_would_leave_the_folder_is_refused(file_store: Store) -> None:
    assert isinstance(failure("release", "announce", "../names", "--store", file_store.url), InputError)


def test_the_list_shows_what_has_candidates(file_store: Store) -> None:
    for release in ("dr10", "dr11"):
        run("release", "announce", release, "--store", file_store.url)
    import pyarrow as pa

    candidates = put_artifact(file_store, "candidates", tables={"candidates": pa.table({"rank": [1]})})
    take_name(file_store, "dr10", candidates.reference)
    rows = {
        row["release"]: row["candidates"] for row in run("release", "list", "--store", file_store.url, "--json").json
    }
    assert rows["dr10"].startswith("v1 ")
    assert rows["dr11"] == "-"


def test_accepting_says_what_is_accepted_and_holds_for_that_drift_only(file_store: Store) -> None:
    import pyarrow as pa

    assert isinstance(failure("release", "accept", "dr10", "--store", file_store.url), NotFoundError)
    table = pa.table({"quantity": ["psfdepth"]})
    first, second = (
        put_artifact(
            file_store, "drift", tables={"quantities": table}, jsons={"drift.json": {"far": [f"psfdepth z {n}"]}}
        )
        for n in (1, 2)
    )
    take_name(file_store, "dr10", first.reference)
    out = run("release", "accept", "dr10", "--store", file_store.url).out
    assert "psfdepth z 1" in out
    assert drift_is_accepted(file_store, "dr10", first.reference)
    assert not drift_is_accepted(file_store, "dr10", second.reference)
    assert "was accepted before" in run("release", "accept", "dr10", "--store", file_store.url).out


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--launcher", "docker"], "unknown launcher"),
        (["--job-variable", "image"], "is not of the form"),
        ([], "no Prefect server is configured"),
        (["--check"], "no Prefect server is configured"),
    ],
)
def test_deploying_says_what_is_missing(words: list[str], what: str, tmp_path: Path) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: None}):
        error = failure("deploy", "--config", "configs/demo.toml", "--store", tmp_path, *words)
    assert what in str(error)
