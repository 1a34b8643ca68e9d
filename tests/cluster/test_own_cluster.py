"""What only a cluster of the tests' own may suffer."""

import os
import signal
import time
import uuid
from pathlib import Path

import pytest

from flows.launchers import follow, manifest
from lenscore.artifacts import Store
from lenscore.artifacts.lifecycle import verify
from tests.cluster.conftest import Space
from tests.cluster.heard import PLAIN, Flow, wait_for
from tests.cluster.test_launcher import job_processes

SMALL = {"objects": 5, **PLAIN}


def test_the_watch_outlives_the_api_server(space: Space, s3: dict[str, str]) -> None:
    store = Store.open(f"s3://lenscore/{uuid.uuid4().hex}")
    flow = Flow(space.settings(queue="night"), store, "simulate", SMALL)
    flow.hear("waits in its queue")
    old = end_process("kube-apiserver")
    wait_for("another API server", lambda: bool(pids("kube-apiserver")) and old not in pids("kube-apiserver"))
    wait_for("its answer", lambda: answers(space))
    name = space.jobs()[0].metadata.name
    space.batch.patch_namespaced_job(name, space.name, {"spec": {"suspend": False}})
    assert list(verify(flow.made())) == []


def test_a_job_goes_on_when_its_node_is_lost(space: Space, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((manifest, "GRACE_SECONDS"), (manifest, "LOST_SECONDS"), (follow, "OVERDUE_SECONDS")):
        monkeypatch.setattr(module, name, 1)
    store = Store.open(f"s3://lenscore/{uuid.uuid4().hex}")
    flow = Flow(space.settings(retries=0), store, "simulate", {"objects": 400, **PLAIN})
    wait_for("a running pod", lambda: bool(space.pods("Running")))
    node = space.pods("Running")[0].spec.node_name
    kubelet = next(pid for pid in pids("kubelet") if f"override={node}" in Path(f"/proc/{pid}/cmdline").read_text())
    os.kill(kubelet, signal.SIGSTOP)
    try:
        for pid in job_processes(store):
            os.kill(pid, signal.SIGKILL)
        flow.hear(f"node {node} does not answer; pod ls-simulate-")
        assert list(verify(flow.made())) == []
    finally:
        os.kill(kubelet, signal.SIGCONT)


def pids(program: str) -> list[int]:
    """Processes of a program of the cluster."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(f"/{program}".encode()):
            found.append(int(folder.name))
    return found


def end_process(program: str) -> int:
    """End a program of the cluster without warning."""
    pid = pids(program)[0]
    os.kill(pid, signal.SIGKILL)
    return pid


def answers(space: Space) -> bool:
    """Whether the API server is up."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        return bool(space.core.list_namespace(limit=1).items)
    except (ApiException, HTTPError):
        time.sleep(0.2)
        return False
