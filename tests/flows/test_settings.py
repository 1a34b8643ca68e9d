"""One file describes a run, and is checked as a whole before anything starts."""

from pathlib import Path
from typing import Any

import pytest

from flows.settings import Settings
from jobs.embed import EmbedConfig
from lenscore.errors import InputError

RUN = {"survey": "demo", "releases": ["demo-dr1"], "training_release": "demo-dr1", "model": "demo"}
ROOT = Path(__file__).resolve().parents[2]


def settings(**sections: Any) -> Settings:
    return Settings({"run": RUN, **sections})


def test_values_come_from_defaults_file_release_and_changes_in_this_order() -> None:
    found = settings(
        pretrain={"steps": 7, "seed": 1}, release={"demo-dr2": {"pretrain": {"steps": 8}}},
    )  # fmt: skip
    assert found.config("pretrain").steps == 7  # type: ignore[attr-defined]
    assert found.config("pretrain", "demo-dr1").steps == 7  # type: ignore[attr-defined]
    other = found.config("pretrain", "demo-dr2")
    assert (other.steps, other.seed) == (8, 1)  # type: ignore[attr-defined]
    assert found.config("pretrain", "demo-dr2", steps=0).steps == 0  # type: ignore[attr-defined]
    assert found.config("embed").batch == EmbedConfig().batch  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("sections", "what"),
    [
        ({"pretrian": {}}, r"unknown section \[pretrian\]"),
        ({"pretrain": {"stps": 3}}, r"pretrain\.stps = 3"),
        ({"pretrain": {"moco": {"queue": "long"}}}, r"pretrain\.moco\.queue = 'long'"),
        ({"release": {"demo-dr1": {"ingst": {}}}}, r"unknown job 'ingst' in \[release\.demo-dr1\]"),
        ({"release": {"demo-dr1": {"simulate": {"objects": -1}}}}, r"simulate\.objects = -1"),
        ({"run": RUN | {"colour": "red"}}, r"run\.colour"),
        ({"run": RUN | {"releases": []}}, r"run\.releases"),
        ({"run": RUN | {"survey": "../names"}}, r"run\.survey"),
        ({"run": {"survey": "demo"}}, r"run\.releases"),
    ],
)
def test_what_is_wrong_is_named(sections: dict[str, Any], what: str) -> None:
    with pytest.raises(InputError, match=what) as caught:
        Settings({"run": RUN, **sections})
    assert caught.value.remedy


def test_an_unknown_section_is_answered_with_those_there_are() -> None:
    with pytest.raises(InputError) as caught:
        settings(pretrian={})
    assert "pretrain" in caught.value.remedy


def test_files_of_the_project_are_right() -> None:
    files = [*sorted((ROOT / "configs").glob("*.toml")), ROOT / "tests" / "flows" / "tiny.toml"]
    assert len(files) >= 2
    for path in files:
        found = Settings.read(path)
        assert found.run.training_release in found.run.releases


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[run")
    with pytest.raises(InputError, match=r"bad\.toml is no valid \.toml file"):
        Settings.read(tmp_path / "bad.toml")
    with pytest.raises(InputError, match=r"cannot read .*none\.toml"):
        Settings.read(tmp_path / "none.toml")
