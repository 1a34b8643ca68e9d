"""The whole flow with its store on a real S3 server gives what it gives on a folder, also where the server is killed."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

from flows.discover import discover
from flows.launchers import LocalLauncher, Request
from flows.launchers.base import Progress
from jobs.launch import parse_config
from jobs.runner import make_task, run_task
from lenscore.artifacts import Reference, Runtime, Store
from lenscore.artifacts.lifecycle import list_artifacts, verify
from tests.faults.chain import RUNTIME, TINY
from tests.faults.killing import watched
from tests.support import s3

SERVER_SECONDS = 300
AWAY_SECONDS = 3.0

pytestmark = pytest.mark.timeout(1800)


@dataclass
class Launcher:
    """Runs jobs in this process, which spares their start; one as it is run elsewhere, in a process of its own."""

    scratch: Path
    elsewhere: str = "lens_list"
    jobs: list[str] = field(default_factory=list)

    def run(self, request: Request, log: Callable[[str], None], progress: Progress) -> Reference:
        """See flows.launchers.Launcher.run."""
        self.jobs.append(request.job)
        if request.job == self.elsewhere:
            return LocalLauncher(workers=1, threads=1, memory_gib=2, device="cpu").run(request, log, progress)
        config = parse_config(request.job, dict(request.config))
        task = make_task(request.job, config, request.inputs)
        return run_task(Store.open(request.store), task, Runtime(**RUNTIME, scratch=self.scratch)).reference


@pytest.fixture(scope="module", autouse=True)
def _prefect() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=SERVER_SECONDS):
        yield


@pytest.fixture(scope="module")
def on_a_folder(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Contents of all artifacts of the flow."""
    folder = tmp_path_factory.mktemp("folder")
    store = Store.open(str(folder / "store"))
    discover(TINY, store.url, Launcher(folder), parallel=1)
    return contents(store)


def contents(store: Store) -> dict[str, dict[str, str]]:
    """Hash by file, by artifact; where each file lies too."""
    found = {}
    for artifact in list_artifacts(store):
        assert list(verify(artifact)) == []
        found[str(artifact.reference)] = {path: f"{info.key} {info.sha256}" for path, info in artifact.files.items()}
    return found


class Server:
    """An S3 server that can be killed and started again on the same data."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.data = name, folder / name
        (self.data / s3.BUCKET).mkdir(parents=True)
        self.address = f"127.0.0.1:{s3.free_port()}"
        self.kills = 0
        self.start()

    @property
    def environment(self) -> dict[str, str]:
        """Of its clients."""
        return s3._environment(*self.address.split(":"))  # type: ignore[arg-type]

    def start(self) -> None:
        """Start, and wait until it answers."""
        self.process = s3._start(self.name, self.data, self.address)
        s3._wait(self.process, self.environment)

    def kill(self) -> None:
        """End it at once, without warning; it is back some seconds later."""
        self.kills += 1
        self.stop()
        threading.Timer(AWAY_SECONDS, self.start).start()

    def stop(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()


@pytest.fixture(params=["versitygw", "minio"])
def server(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server(request.param, tmp_path)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    yield server
    server.stop()


def test_the_same_artifacts_as_on_a_folder(
    server: Server, on_a_folder: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    """On one server undisturbed; the other is killed in the middle of a job's writing and of a job's reading."""
    disturbed = server.name == "minio"
    store, launcher, changes = Store.open(f"s3://{s3.BUCKET}/{server.name}"), Launcher(tmp_path), 0

    def after(change: str, key: str) -> None:
        nonlocal changes
        changes += 1
        if disturbed and changes in (8, 60):
            server.kill()

    with watched(lambda *_: None, after):
        made = discover(TINY, store.url, launcher, parallel=1)
    assert server.kills == (2 if disturbed else 0)
    assert set(launcher.jobs) >= {"simulate", "ingest", "pretrain", "embed", "finetune", "rank", "publish"}
    assert contents(store) == on_a_folder
    assert list(store.list("work")) == []
    again = Launcher(tmp_path)
    assert discover(TINY, store.url, again, parallel=1) == made
    assert again.jobs == []
