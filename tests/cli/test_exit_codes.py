"""How commands end: one line, the published code; --debug shows the trace."""

from pathlib import Path

import pytest

from lenscore.artifacts import Store
from lenscore.errors import EXIT_CODES, ConflictError, DamagedError, InputError, LensError, NotFoundError, StoreError
from tests.cli.runner import failure, run, run_process
from tests.support.candidates import put_artifact


@pytest.fixture
def damaged(file_store: Store) -> Store:
    """A store with an artifact one of whose files has a flipped byte."""
    artifact = put_artifact(file_store, "model", jsons={"model.json": {"type": "pca"}})
    key = f"{artifact.prefix}/model.json"
    data = bytearray(file_store.get(key))
    data[1] ^= 1
    file_store.put(key, bytes(data))
    return file_store


def test_codes_are_those_that_are_published() -> None:
    kinds = (InputError, NotFoundError, StoreError, DamagedError, ConflictError)
    assert len({kind.exit_code for kind in kinds}) == len(kinds)
    assert {0, 1, 2, *(kind.exit_code for kind in kinds)} == set(EXIT_CODES)
    assert LensError.exit_code == 1


def test_success_and_an_empty_store(tmp_path: Path) -> None:
    ended = run_process("artifacts", "ls", "--json", "--store", tmp_path)
    assert (ended.code, ended.json, ended.err) == (0, [], "")


def test_wrong_usage(tmp_path: Path) -> None:
    ended = run_process("artifacts", "lst")
    assert ended.code == 2
    assert "No such command" in ended.err


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    ended = run_process("artifacts", "show", "ab", LENSCORE_STORE=str(tmp_path))
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == "error: 'ab' is too short; give at least 4 digits of the id\n"


def test_not_found_is_one_line_and_debug_gives_the_trace(tmp_path: Path) -> None:
    ended = run_process("artifacts", "show", "model/abcd", "--store", tmp_path)
    assert ended.code == 4
    assert ended.err.startswith("error: no artifact 'model/abcd' in file:///")
    assert len(ended.err.splitlines()) == 1
    traced = run_process("--debug", "artifacts", "show", "model/abcd", "--store", tmp_path)
    assert traced.code == 4
    assert "Traceback" in traced.err
    assert traced.err.splitlines()[-1] == ended.err.strip()


def test_a_store_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    ended = run_process("artifacts", "ls", "--store", tmp_path / "file" / "store")
    assert ended.code == 5
    assert "cannot make the store's folder" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_damage(damaged: Store) -> None:
    ended = run_process("artifacts", "verify", "--store", damaged.url)
    assert ended.code == 6
    assert "model.json" in ended.out
    assert ended.err == "error: 1 damaged files in 1 artifacts; restore them, or remove and make again\n"


def test_an_unexpected_error_is_one_line_too(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"\xff\xfe\x00,\x01")
    ended = run_process("catalogue", "summary", tmp_path / "table.csv")
    assert ended.code in (1, 3)
    assert ended.err.startswith("error: ")
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "kind", "what"),
    [
        (["job", "run", "tyo"], InputError, "unknown job 'tyo'"),
        (["job", "run", "simulate", "--config", "nowhere.toml"], InputError, "cannot read nowhere.toml"),
        (["job", "run", "simulate", "--device", "tpu"], InputError, "unknown device 'tpu'"),
        (["job", "run", "simulate", "--phase", "half"], InputError, "unknown phase 'half'"),
        (["job", "run", "simulate", "--phase", "units", "--units", "3"], InputError, "units '3'"),
        (["job", "run", "rank", "--phase", "plan"], InputError, "lacks its input 'cutouts'"),
        (["job", "run", "embed", "--input", "cutouts"], InputError, "input 'cutouts' is not of the form"),
        (["job", "run", "embed", "--input", "cutouts=cutouts/abcd"], NotFoundError, "no artifact 'cutouts/abcd'"),
        (["ingest", "/nowhere", "--release", "dr9-south"], LensError, "/nowhere"),
        (["ingest", ".", "--release", "dr99"], NotFoundError, "dr99"),
        (["candidates", "get", "nobody"], NotFoundError, "no catalogue_release of 'nobody'"),
        (["candidates", "get", "nobody", "--format", "xls"], InputError, "unknown format 'xls'"),
        (["candidates", "versions", "../x"], InputError, "'../x' is no name"),
        (["catalogue", "summary", "nowhere.csv"], LensError, "nowhere.csv"),
        (["crossmatch", "nowhere.csv", "nowhere.tsv", "--out", "pairs.csv"], NotFoundError, "nowhere.tsv"),
        (["query", "nobody", "--id", "1"], NotFoundError, "nobody"),
        (["query", "nobody"], LensError, ""),
        (["artifacts", "ls", "--store", "ftp://host/x"], InputError, "unknown scheme 'ftp'"),
        (["artifacts", "ls", "--store", "s3://key:secret@bucket"], InputError, "carries credentials"),
        (["run", "discover", "--config", "nowhere.toml"], InputError, "cannot read nowhere.toml"),
    ],
)
def test_bad_input_is_named(words: list[str], kind: type[LensError], what: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    error = failure(*words)
    assert isinstance(error, kind)
    assert what in error.what
    assert error.remedy
    assert "\n" not in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[simulate]\nobjcts = 3\n", "simulate.objcts = 3"),
        ('[simulate]\nobjects = "many"\n', "simulate.objects = 'many'"),
        ("[simulate]\nobjects = 0\n", "simulate.objects = 0"),
        ('[simulate]\nrelease = "dr9-east"\n', "simulate.release = 'dr9-east'"),
        ("[simulate]\nlens_fraction = nan\n", "simulate.lens_fraction = nan"),
        ("[simulate\n", "is no valid .toml file"),
    ],
)
def test_bad_settings_are_named(text: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(text)
    error = failure("job", "run", "simulate", "--config", tmp_path / "run.toml", "--store", tmp_path / "store")
    assert isinstance(error, InputError)
    assert place in error.what


def test_values_out_of_range_on_the_command_line(tmp_path: Path) -> None:
    assert run("job", "run", "simulate", "--workers", "0").code == 2
    assert run("query", "demo", "-k", "0").code == 2
