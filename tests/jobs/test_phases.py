"""Phases of a sharded job, as the pods of a cluster run them."""

import json
from pathlib import Path
from types import ModuleType

import pytest

import jobs.progress
import jobs.specs
from jobs.launch import run_phase
from jobs.progress import PROGRESS, first_unit_of, progress_key
from jobs.specs import JobSpec
from jobs.tasks import Task, done_units, find_finished, make_task
from lenscore.artifacts import Runtime, Store
from lenscore.artifacts.kinds import KINDS, Kind
from lenscore.errors import InputError
from tests.jobs import toy_sharded
from tests.jobs.toy_sharded import ToyConfig


class _ToySpec(JobSpec):
    def module(self) -> ModuleType:
        return toy_sharded


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Task:
    spec = _ToySpec("toy", "squares", "ToyConfig", (), "toys", unit_rows=32)
    monkeypatch.setitem(jobs.specs._BY_NAME, "toy", spec)
    monkeypatch.setitem(KINDS, "toys", Kind("toys", "squares", ("objects",), ("release.json",)))
    return make_task("toy", ToyConfig(), {})


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(scratch=tmp_path / "scratch")


def test_indexes_do_their_units_and_the_last_one_what_is_left(file_store: Store, task: Task, runtime: Runtime) -> None:
    run_phase(file_store, task, runtime, "plan", None)
    for index, done in ((0, {0, 1, 2}), (1, {0, 1, 2, 3}), (2, {0, 1, 2, 3})):
        run_phase(file_store, task, runtime, "units", f"{index}*3")
        assert done_units(file_store, task) == done
    made = run_phase(file_store, task, runtime, "finish", None)
    assert made is not None
    for phase in ("plan", "units", "finish"):  # a pod that comes late finds it done
        late = run_phase(file_store, task, runtime, phase, "0*3")
        assert late is not None
        assert late.manifest == made.manifest
    assert list(file_store.list("work")) == []


@pytest.mark.parametrize(("units", "whole"), [(3, False), (4, True)])
def test_a_plan_does_all_of_a_small_job(
    file_store: Store, task: Task, runtime: Runtime, units: int, whole: bool
) -> None:
    run_phase(file_store, task, runtime, "plan", None, whole_up_to=units)
    assert (find_finished(file_store, task) is not None) is whole


@pytest.mark.parametrize("units", ["3", "3*0", "*2", "2*", "1*2*3", "3:2", "-1*2"])
def test_units_that_are_none_are_refused(file_store: Store, task: Task, runtime: Runtime, units: str) -> None:
    with pytest.raises(InputError, match="first:stop or index"):
        run_phase(file_store, task, runtime, "units", units)


def test_each_pod_says_how_far_it_is_in_a_place_of_its_own(
    file_store: Store, task: Task, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("QUIET_SECONDS", "STORE_SECONDS"):
        monkeypatch.setattr(jobs.progress, name, 0.0)
    for index in (0, 1):
        run_phase(file_store, task, runtime, "units", f"{index}*2")
    keys = [info.key for info in file_store.list(f"{task.work}/{PROGRESS}")]
    assert keys == [progress_key(task.work, 0), progress_key(task.work, 2)]
    assert [first_unit_of(key) for key in keys] == [0, 2]
    assert json.loads(file_store.get(keys[1]))["done"] > json.loads(file_store.get(keys[0]))["done"] > 0
