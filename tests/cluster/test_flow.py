"""The whole story as Kubernetes Jobs: the smallest discover."""

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from jobs.specs import JOBS
from lenscore.artifacts import Artifact, Store
from lenscore.artifacts.lifecycle import verify
from tests.cluster.conftest import Space
from tests.cluster.heard import WAIT_SECONDS, wait_for

TINY = Path(__file__).resolve().parents[1] / "flows" / "tiny.toml"
SMALL = {"cpus": 0.2, "memory_gib": 2.5, "gpus": 0}


def start(space: Space, folder: Path, url: str, **settings: Any) -> "subprocess.Popen[str]":
    """Start the flow, with its jobs on the cluster."""
    cluster = folder / "cluster.json"
    cluster.write_text(json.dumps(space.settings(jobs={spec.name: SMALL for spec in JOBS}, retries=1, **settings)))
    command = [sys.executable, "-m", "lenscore", "run", "discover", f"--config={TINY}", f"--store={url}", "--json"]
    return subprocess.Popen(
        [*command, "--launcher=kubernetes", f"--cluster={cluster}"],
        env={**os.environ, "PREFECT_HOME": str(folder / "prefect")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_discover_runs_as_kubernetes_jobs(space: Space, s3: dict[str, str], tmp_path: Path) -> None:
    url = f"s3://lenscore/{uuid.uuid4().hex}"
    flow = start(space, tmp_path, url)
    printed, said = flow.communicate()
    assert flow.returncode == 0, said[-3000:]
    store = Store.open(url)
    for text in json.loads(printed).values():
        kind, _, id = text.partition("/")
        assert list(verify(Artifact.open(store, kind, id))) == []
    assert all(job.status.failed in (None, 0) for job in space.jobs())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_flow_that_is_cancelled_takes_its_jobs_with_it(
    space: Space, s3: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    flow = start(space, tmp_path, f"s3://lenscore/{uuid.uuid4().hex}", queue="night")
    wait_for("a Job", lambda: bool(space.jobs()) or flow.poll() is not None)
    assert flow.poll() is None, flow.communicate()[1][-3000:]
    flow.send_signal(number)
    _, said = flow.communicate(timeout=WAIT_SECONDS)
    assert flow.returncode != 0
    wait_for(f"no Job, after {said[-3000:]}", lambda: space.jobs() == [], 30)
