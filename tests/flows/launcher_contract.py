"""What every launcher does; a launcher's tests subclass this."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flows.launchers import Launcher, Request
from jobs.launch import parse_config
from jobs.runner import make_task, run_task
from jobs.tasks import Task
from lenscore.artifacts import Artifact, Runtime, Store
from lenscore.artifacts.lifecycle import verify
from lenscore.errors import InputError, StoreError

WAIT_SECONDS = 120
PLAIN = {"lens_fraction": 0.0, "ring_fraction": 0.0, "merger_fraction": 0.0}


class Heard:
    """What a launcher said of a job."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.shares: list[float] = []

    def log(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, share: float, line: str) -> None:
        self.shares.append(share)


class EndingContract:
    """How jobs end before their time. Subclasses provide `launcher`, `store`, `kill_job` and `alive`."""

    @pytest.fixture
    def launcher(self) -> Launcher:
        """The launcher under test."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        """A store that its jobs can reach."""
        return Store.open(str(tmp_path / "store"))

    def kill_job(self, store: Store) -> None:
        """End the job that runs on a store as the kernel would, without warning."""
        raise NotImplementedError

    def alive(self, store: Store) -> list[str]:
        """What still runs on a store."""
        raise NotImplementedError

    def run(self, launcher: Launcher, store: Store, job: str, heard: Heard | None = None, **config: Any) -> Artifact:
        """Run a job without inputs through the launcher."""
        heard = heard or Heard()
        reference = launcher.run(request(store, job, config), heard.log, heard.progress)
        return Artifact.open(store, reference.kind, reference.id)

    def test_a_killed_job_raises_and_the_next_run_goes_on(
        self, launcher: Launcher, store: Store, tmp_path: Path
    ) -> None:
        config = {"objects": 200, **PLAIN}
        work = task("simulate", config).work
        killer = threading.Thread(target=lambda: (wait_for(store, f"{work}/plan.json"), self.kill_job(store)))
        killer.start()
        with pytest.raises(StoreError, match="job simulate was ended"):
            self.run(launcher, store, "simulate", **config)
        killer.join(WAIT_SECONDS)
        assert self.alive(store) == []
        planned = store.head(f"{work}/plan.json")
        assert planned is not None
        made = self.run(launcher, store, "simulate", **config)
        assert contents(made) == contents(in_process(tmp_path, "simulate", **config))

    def test_progress_arrives_and_cancelling_leaves_nothing_behind(self, launcher: Launcher, store: Store) -> None:
        heard = Heard()

        def cancel(share: float, line: str) -> None:
            heard.progress(share, line)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            launcher.run(request(store, "simulate", {"objects": 4096, **PLAIN}), heard.log, cancel)
        assert 0 < heard.shares[0] < 1
        assert any(line.startswith("simulate") and "/" in line for line in heard.lines)
        assert self.alive(store) == []


class LauncherContract(EndingContract):
    """All that a launcher does."""

    def test_makes_the_artifact_that_this_process_would_make(
        self, launcher: Launcher, store: Store, tmp_path: Path
    ) -> None:
        heard = Heard()
        made = self.run(launcher, store, "simulate", heard, objects=40, **PLAIN)
        here = in_process(tmp_path, "simulate", objects=40, **PLAIN)
        assert made.reference == here.reference
        assert contents(made) == contents(here)
        assert heard.shares[-1] == 1.0

    def test_hands_inputs_over(self, launcher: Launcher, store: Store, tmp_path: Path) -> None:
        sky = in_process(tmp_path, "simulate", store, objects=5, **PLAIN)
        inputs = {"sky": (sky.reference,)}
        reference = launcher.run(Request("ingest", {}, inputs, store.url), Heard().log, Heard().progress)
        made = Artifact.open(store, reference.kind, reference.id)
        assert made.manifest.inputs == inputs
        assert list(verify(made)) == []

    def test_a_finished_job_is_adopted(self, launcher: Launcher, store: Store) -> None:
        first = self.run(launcher, store, "simulate", objects=5, **PLAIN)
        again = self.run(launcher, store, "simulate", objects=5, **PLAIN)
        assert again.manifest == first.manifest

    def test_two_runs_at_once_end_with_one_artifact(self, launcher: Launcher, store: Store) -> None:
        made: list[Artifact] = []
        threads = [
            threading.Thread(target=lambda: made.append(self.run(launcher, store, "simulate", objects=8, **PLAIN)))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_SECONDS)
        assert len(made) == 2
        assert made[0].manifest == made[1].manifest
        assert list(verify(made[0])) == []

    def test_bad_input_raises_with_the_job_s_one_line(self, launcher: Launcher, store: Store, tmp_path: Path) -> None:
        heard = Heard()
        (tmp_path / "lenses.csv").write_text("name,place\na,b\n")
        files = [{"name": "mine", "path": str(tmp_path / "lenses.csv")}]
        with pytest.raises(InputError, match=r"job lens_list: no column of right ascension") as caught:
            self.run(launcher, store, "lens_list", heard, files=files)
        assert "\n" not in str(caught.value)
        assert any("no column of right ascension" in line for line in heard.lines)
        assert not any("Traceback" in line for line in heard.lines)
        assert self.alive(store) == []


def request(store: Store, job: str, config: Mapping[str, Any]) -> Request:
    """A request of a job without inputs."""
    return Request(job, parse_config(job, dict(config)).model_dump(mode="json"), {}, store.url)


def task(job: str, config: Mapping[str, Any]) -> Task:
    """What a job without inputs would make."""
    return make_task(job, parse_config(job, dict(config)), {})


def in_process(tmp_path: Path, job: str, store: Store | None = None, **config: Any) -> Artifact:
    """Run a job without inputs in this process, in a store of its own if none is given."""
    runtime = Runtime(workers=1, threads=1, scratch=tmp_path)
    return run_task(store or Store.open(str(tmp_path / "here")), task(job, config), runtime)


def contents(artifact: Artifact) -> dict[str, str]:
    """Hash by file."""
    return {path: info.sha256 for path, info in artifact.files.items()}


def wait_for(store: Store, key: str) -> None:
    """Wait until a store has an object."""
    end = time.monotonic() + WAIT_SECONDS
    while not store.exists(key):
        if time.monotonic() > end:
            raise TimeoutError(f"{key} did not appear in {WAIT_SECONDS} s")
        time.sleep(0.02)
