"""Kill -9 of any job at any moment, then run again: the same bytes as an undisturbed run."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jobs.runner import run_task
from jobs.sample import SampleConfig
from jobs.specs import JOBS
from jobs.tasks import Task, make_task
from lenscore.artifacts import Artifact, Runtime, Store
from lenscore.artifacts.artifact import artifact_prefix
from lenscore.artifacts.lifecycle import lineage, verify
from tests.faults.chain import CHAIN, RUNTIME, Chain
from tests.faults.killing import Moment, run_in_process, watched
from tests.support.cutouts import SMALL_RELEASE, small_cutouts

COST = {"created", "seconds", "gpu_seconds", "peak_memory_gib", "checksum"}
TINY = SMALL_RELEASE.model_copy(update={"stored_px": 16, "network_px": 12})
TIMED = {"images_per_second"}
STEPS = {step.job: name for name, step in reversed(CHAIN.items())} | {"simulate": "plain"}

pytestmark = pytest.mark.timeout(1800)


@dataclass
class Undisturbed:
    """Each step's artifact, and the changes of the store that made it."""

    chain: Chain
    changes: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def make(self, name: str) -> tuple[Task, Artifact]:
        """A step's task and artifact; its inputs are made first."""
        task = self.chain.task(name)
        if name not in self.changes:
            changes = self.changes[name] = []
            with watched(lambda *_: None, lambda change, key: changes.append((change, key))):
                self.chain.make(name)
        return task, self.chain.made[name]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("chain")
    return Undisturbed(Chain(Store.open(str(folder / "store")), folder))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"))


def test_every_job_is_covered() -> None:
    assert {spec.name for spec in JOBS} == set(STEPS), "add the new job to tests/faults/chain.py"


@pytest.mark.parametrize("job", [spec.name for spec in JOBS])
def test_killed_at_any_moment_and_run_again(undisturbed: Undisturbed, store: Store, tmp_path: Path, job: str) -> None:
    task, expected = undisturbed.make(STEPS[job])
    copy_inputs(expected, store)
    for moment in moments(undisturbed.changes[STEPS[job]]):
        assert run_in_process(store, task, tmp_path, moment) == -signal.SIGKILL, moment
    assert run_in_process(store, task, tmp_path) == 0
    assert list(store.list("work")) == []
    assert contents(store, task) == contents(expected.store, task)


def test_the_command_killed_between_two_units(store: Store, tmp_path: Path) -> None:
    elsewhere = Store.open(str(tmp_path / "elsewhere"))
    config, cutouts = SampleConfig(rows=4000, mag_max=30.0), small_cutouts(store, 4000, release=TINY)
    task = make_task("sample", config, {"cutouts": [cutouts.reference]})
    (tmp_path / "run.json").write_text(json.dumps({"sample": config.model_dump(mode="json")}))
    command = [sys.executable, "-m", "lenscore", "job", "run", "sample", "--device=cpu", "--workers=1", "--threads=1"]
    command += [
        f"--config={tmp_path / 'run.json'}",
        f"--store={store.url}",
        f"--input=cutouts={cutouts.reference}",
    ]
    process = subprocess.Popen(command, env={**os.environ, "LENSCORE_SCRATCH": str(tmp_path / "scratch")})
    while not store.exists(f"{task.work}/units/000000.json"):
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not list(store.list(f"{artifact_prefix('cutouts', task.id)}/manifest.json"))
    run_task(store, task, Runtime(**RUNTIME, scratch=tmp_path))
    shutil.copytree(store.path(cutouts.prefix), elsewhere.path(cutouts.prefix))
    run_task(elsewhere, task, Runtime(**RUNTIME, scratch=tmp_path))
    assert contents(store, task) == contents(elsewhere, task)


def moments(changes: list[tuple[str, str]]) -> list[Moment]:
    """Moments in the order of a run: its start, its middle, and each step of its end."""
    steady = [(change, key) for change, key in changes if not key.endswith("/progress.json")]
    keys = [key for change, key in steady if change == "put"]
    data = [key for key in keys if key.startswith("artifacts/")][:-2]
    files, manifest = keys[-2:]
    assert (files.rpartition("/")[2], manifest.rpartition("/")[2]) == ("files.parquet", "manifest.json")
    found = [Moment("put", data[0]), Moment("put", data[len(data) // 2], "half"), Moment("put", data[-1], "before")]
    found += [Moment("put", key) for key in keys if key.endswith("/plan.json")]
    saved = [key for key in keys if "/checkpoints/" in key]
    found += [Moment("put", saved[len(saved) // 3]), Moment("put", saved[-1], "before")] if saved else []
    found += [
        Moment("put", files, "before"),
        Moment("put", manifest, "half"),
        Moment("delete", steady[-1][1], "before"),
    ]
    return sorted(set(found), key=lambda moment: (steady.index((moment.change, moment.key)), moment.when == "after"))


def copy_inputs(made: Artifact, store: Store) -> None:
    """Link what an artifact was made from, down to the sources, into another store in a folder."""
    for item in set(lineage(made.store, made.reference)) - {made.reference}:
        prefix = artifact_prefix(item.kind, item.id)
        shutil.copytree(made.store.path(prefix), store.path(prefix), copy_function=os.link)


def contents(store: Store, task: Task) -> dict[str, Any]:
    """Hash of every object of an artifact; of the manifest, all but what the run cost."""
    artifact = Artifact.open(store, task.spec.output, task.id)
    assert list(verify(artifact)) == []
    manifest = artifact.manifest.model_dump(mode="json", exclude=COST)
    manifest["metrics"] = {name: value for name, value in manifest["metrics"].items() if name not in TIMED}
    objects = {
        info.key: hashlib.sha256(store.get(info.key)).hexdigest()
        for info in store.list(artifact.prefix)
        if not info.key.endswith("/manifest.json")
    }
    return {"manifest": manifest, **objects}
