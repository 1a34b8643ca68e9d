"""The Kubernetes launcher passes the contract: real Jobs, real containers, a real store."""

import os
import signal
import time
import uuid

import pytest

from flows.launchers import Launcher
from flows.launchers.cluster import ClusterSettings
from flows.launchers.kubernetes import KubernetesLauncher
from lenscore.artifacts import Store
from tests.cluster.conftest import Space
from tests.flows.launcher_contract import LauncherContract
from tests.flows.processes import processes

SETTLE_SECONDS = 90


class TestKubernetesLauncher(LauncherContract):
    """Jobs on a cluster."""

    @pytest.fixture
    def launcher(self, space: Space) -> Launcher:
        self.space = space
        return KubernetesLauncher(ClusterSettings.model_validate(space.settings()))

    @pytest.fixture
    def store(self, s3: dict[str, str]) -> Store:
        return Store.open(f"s3://lenscore/{uuid.uuid4().hex}")

    def kill_job(self, store: Store) -> None:
        for pid, line in job_processes(store).items():
            os.kill(pid, signal.SIGKILL)
            assert "job run" in line

    def alive(self, store: Store) -> list[str]:
        end = time.monotonic() + SETTLE_SECONDS
        while (left := job_processes(store)) and time.monotonic() < end:
            time.sleep(0.2)
        return [*left.values(), *(job.metadata.name for job in self.space.jobs() if job.status.active)]


def job_processes(store: Store) -> dict[int, str]:
    """Processes of the jobs' containers, as this machine sees them."""
    return {pid: line for pid, line in processes("LENSCORE_SCRATCH=/tmp").items() if f"--store={store.url}" in line}
