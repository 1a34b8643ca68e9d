"""lenscore config: every setting of every job is documented."""

import re

import pytest

from jobs.launch import parse_config
from jobs.specs import JOBS, JobSpec
from lenscore.config import Config
from tests.cli.runner import failure, run
from tests.support.settings import models_of


@pytest.mark.parametrize("spec", JOBS, ids=lambda spec: spec.name)
def test_every_field_has_description_source_and_unit(spec: JobSpec) -> None:
    for model in models_of(spec.config_class()):
        assert model.__doc__, model
        for name, info in model.model_fields.items():
            extra = info.json_schema_extra
            place = f"{model.__name__}.{name}"
            assert isinstance(extra, dict), f"{place} is not declared by lenscore.config.field"
            assert isinstance(extra.get("unit"), str), f"{place} has no unit"
            assert extra.get("source"), f"{place} has no source"
            assert info.description, f"{place} has no description"


@pytest.mark.parametrize("spec", JOBS, ids=lambda spec: spec.name)
def test_units_stand_in_names_of_physical_fields(spec: JobSpec) -> None:
    for model in models_of(spec.config_class()):
        for name, info in model.model_fields.items():
            unit = (info.json_schema_extra or {}).get("unit")
            if re.search(r"_(arcsec|px|mag|deg|gib|seconds)$", name):
                assert unit, f"{model.__name__}.{name} has no unit"


def test_explain_prints_every_setting() -> None:
    rows = run("config", "explain", "--json").json
    settings = {row["setting"] for row in rows}
    assert {"crossmatch.radius_arcsec", "pretrain.moco.queue", "fit_linear.split.train"} <= settings
    assert {name.partition(".")[0] for name in settings} == {spec.name for spec in JOBS}
    assert all(row["source"] and row["meaning"] for row in rows)


def test_explain_of_one_job() -> None:
    text = run("config", "explain", "crossmatch").out
    assert "25.15" in text
    assert "arcsec" in text
    assert "pretrain" not in text


def test_an_unknown_job_is_named_with_those_there_are() -> None:
    error = failure("config", "explain", "tyo")
    assert "'tyo'" in error.what
    assert "pretrain" in error.remedy


def test_models_are_frozen_and_strict() -> None:
    for spec in JOBS:
        for model in models_of(spec.config_class()):
            assert issubclass(model, Config)
            assert model.model_config["frozen"]
            assert model.model_config["extra"] == "forbid"


def test_a_table_sets_what_it_names_and_leaves_the_rest() -> None:
    given = parse_config("finetune", {"augment": {"noise": False}})
    usual = parse_config("finetune", {})
    assert given.augment == usual.augment.model_copy(update={"noise": False})  # type: ignore[attr-defined]
    assert not given.augment.rescale  # type: ignore[attr-defined]


def test_explain_shows_the_defaults_of_this_job() -> None:
    rows = {row["setting"]: row["default"] for row in run("config", "explain", "finetune", "pretrain", "--json").json}
    assert (rows["finetune.augment.rescale"], rows["pretrain.augment.rescale"]) == ("False", "True")
