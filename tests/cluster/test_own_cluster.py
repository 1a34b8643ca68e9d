"""What only a cluster of the tests' own may suffer."""

import os
import signal
import time
import uuid
from pathlib import Path

from lenscore.artifacts import Store
from lenscore.artifacts.lifecycle import verify
from tests.cluster.conftest import Space
from tests.cluster.heard import PLAIN, Flow, wait_for

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
