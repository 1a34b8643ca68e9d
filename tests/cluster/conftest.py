"""Fixtures of the tests on a cluster, which `make test-cluster` runs; a plain pytest leaves them out.

A cluster of one's own, given by KUBECONFIG, needs LENSCORE_CLUSTER_IMAGE, an image with the program that its nodes can
pull, and LENSCORE_CLUSTER_ADDRESS, the address by which pods reach this machine.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.image import NAME, USER, host_folders
from tests.cluster.parts import ADDRESS
from tests.support.s3 import s3_server

RUNS_HERE = bool(os.environ.get("LENSCORE_CLUSTER_TESTS"))
FOREIGN_IMAGE = os.environ.get("LENSCORE_CLUSTER_IMAGE", "")
TEST_SECONDS = 900
AWS = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION")

if not RUNS_HERE:
    collect_ignore_glob = ["test_*.py"]
elif FOREIGN_IMAGE:
    collect_ignore_glob = ["test_own_cluster.py", "test_chart.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Containers start slowly on a busy machine."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))


def pytest_configure(config: pytest.Config) -> None:
    """Markers of these tests."""
    config.addinivalue_line("markers", "cluster: needs a Kubernetes cluster")


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A real S3 server that pods reach; this process and its launchers use it as well."""
    address = os.environ.get("LENSCORE_CLUSTER_ADDRESS", ADDRESS)
    with s3_server("versitygw", tmp_path_factory.mktemp("s3"), address) as environment:
        before = dict(os.environ)
        os.environ.update(environment)
        yield environment
        os.environ.clear()
        os.environ.update(before)


class Space:
    """A namespace of the cluster, under Pod Security `restricted`, for one test.

    Args:
        s3: the store's clients' environment.
        folder: of the test, which pods may read.
    """

    def __init__(self, s3: dict[str, str], folder: Path) -> None:
        from kubernetes import client, config

        config.load_kube_config()
        self.core, self.batch = client.CoreV1Api(), client.BatchV1Api()
        self.name = f"test-{uuid.uuid4().hex[:8]}"
        self.s3, self.folder = s3, folder
        self.mounts: list[dict[str, str]] = []

    def make(self) -> None:
        """Make the namespace, with a Secret of the store and volumes of this machine's folders."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.core.create_namespace({"metadata": {"name": self.name, "labels": labels}})
        secret = {name: value for name, value in self.s3.items() if name not in AWS}
        self.core.create_namespaced_secret(self.name, {"metadata": {"name": "store"}, "stringData": secret})
        if not FOREIGN_IMAGE:
            self.folder.chmod(0o755)
            for number, folder in enumerate((*host_folders(), self.folder)):
                self._mount(f"{self.name}-{number}", folder)

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Settings of a launcher: the smallest pods, which must not be tried again unless a test says so."""
        python = str(Path(".venv/bin/python").absolute())
        here = {
            "cpu_image": NAME,
            "gpu_image": NAME,
            "pull_policy": "Never",
            "command": (python, "-m", "lenscore"),
            "torchrun": (python, "-m", "torch.distributed.run"),
            "mounts": self.mounts,
            "user": USER,
        }
        foreign = {"cpu_image": FOREIGN_IMAGE, "gpu_image": FOREIGN_IMAGE}
        small = {"cpus": 0.2, "memory_gib": 1.5}
        environment = {name: self.s3[name] for name in AWS} | {"OMP_NUM_THREADS": "1"}
        own = changes.pop("jobs", {})
        jobs = {name: small | own.get(name, {}) for name in ("simulate", "ingest", "lens_list", *own)}
        return {
            "namespace": self.name,
            "store_secret": "store",
            "environment": environment,
            "scratch_gib": 0.5,
            "shared_memory_gib": 0.1,
            "retries": 0,
            "image_minutes": 0.1,
            "jobs": jobs,
            **(foreign if FOREIGN_IMAGE else here),
            **changes,
        }

    def pods(self, phase: str = "") -> list[Any]:
        """Pods, of one phase or all."""
        field = f"status.phase={phase}" if phase else ""
        found: list[Any] = self.core.list_namespaced_pod(self.name, field_selector=field).items
        return found

    def jobs(self) -> list[Any]:
        """Jobs."""
        found: list[Any] = self.batch.list_namespaced_job(self.name).items
        return found

    def remove(self) -> None:
        """Remove the namespace and its volumes."""
        self.core.delete_namespace(self.name)
        for number in range(len(self.mounts)):
            self.core.delete_persistent_volume(f"{self.name}-{number}")

    def _mount(self, name: str, folder: Path) -> None:
        """A folder of the node as a claim: pods may not ask for folders of nodes by themselves."""
        size, modes = {"storage": "1Gi"}, ["ReadOnlyMany"]
        volume = {
            "capacity": size,
            "accessModes": modes,
            "storageClassName": "",
            "hostPath": {"path": str(folder)},
            "claimRef": {"namespace": self.name, "name": name},
            "persistentVolumeReclaimPolicy": "Retain",
        }
        claim = {"accessModes": modes, "storageClassName": "", "resources": {"requests": size}, "volumeName": name}
        self.core.create_persistent_volume({"metadata": {"name": name}, "spec": volume})
        self.core.create_namespaced_persistent_volume_claim(self.name, {"metadata": {"name": name}, "spec": claim})
        self.mounts.append({"claim": name, "path": str(folder)})


@pytest.fixture
def space(s3: dict[str, str], tmp_path: Path) -> Iterator[Space]:
    """A namespace of its own."""
    made = Space(s3, tmp_path)
    made.make()
    yield made
    made.remove()
    shutil.rmtree(tmp_path, ignore_errors=True)
