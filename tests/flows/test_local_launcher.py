"""The local launcher passes the contract."""

import os
import signal
import time
from pathlib import Path

import pytest

from flows.launchers import Launcher, LocalLauncher
from flows.launchers.local import _counts
from lenscore.artifacts import Store
from tests.flows.launcher_contract import WAIT_SECONDS, EndingContract, LauncherContract
from tests.flows.processes import left_over, processes


class _Local:
    """Processes on this machine."""

    workers = 1

    @pytest.fixture
    def launcher(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launcher:
        self.scratch = tmp_path / "scratch-of-jobs"
        monkeypatch.setenv("LENSCORE_SCRATCH", str(self.scratch))
        return LocalLauncher(workers=self.workers, threads=1, device="cpu")

    def kill_job(self, store: Store) -> None:
        for pid, line in processes(self.scratch).items():
            if f"--store={store.url}" in line:
                os.kill(pid, signal.SIGKILL)

    def alive(self, store: Store) -> list[str]:
        return left_over(self.scratch)


class TestLocalLauncher(_Local, LauncherContract):
    """Processes on this machine."""


class TestLocalLauncherWithWorkers(_Local, EndingContract):
    """The same, where jobs start processes of their own: these must end as well."""

    workers = 2

    def kill_job(self, store: Store) -> None:
        end = time.monotonic() + WAIT_SECONDS
        while not any("spawn_main" in line for line in processes(self.scratch).values()):
            assert time.monotonic() < end, "the job started no processes"
            time.sleep(0.02)
        super().kill_job(store)


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("embed 512/8000 images_per_second=700", (512, 8000)),
        ("pretrain 3 loss=4.2", (0, 0)),
        ("reading a/b 1/2", (1, 2)),
        ("", (0, 0)),
    ],
)
def test_progress_is_read_from_lines(line: str, counts: tuple[int, int]) -> None:
    assert _counts(line) == counts
