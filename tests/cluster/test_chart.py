"""The chart on a real cluster: installed, tested, upgraded, rolled back, and gone but for the data."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helm_python import Config
from kubernetes import client

from tests.cluster.conftest import Space
from tests.cluster.image import NAME, USER
from tests.cluster.parts import ROOT

CHART = ROOT / "charts" / "lenscore"
SECONDS = 1200

pytestmark = pytest.mark.timeout(3 * SECONDS)


@pytest.fixture
def helm(space: Space) -> Iterator[Config]:
    """Helm in the test's namespace."""
    with Config(kubeconfig_path=os.environ["KUBECONFIG"], namespace=space.name) as opened:
        yield opened


def test_a_release_s_life(space: Space, s3: dict[str, str], helm: Config) -> None:
    disk(space, "look-prefect")
    given = values(space, s3)
    helm.install(CHART, "look", given, namespace=space.name, wait="watcher", timeout=SECONDS)
    assert replicas(space) == {"look-prefect": 1, "look-worker": 1}
    assert [job.metadata.name for job in space.jobs()] == []  # the deployments were registered

    said = helm.test("look", timeout=SECONDS, logs=True)["logs"]
    assert "create-only puts hold" in said
    assert "discover/discover, rescore/rescore, publish/publish, watch/watch" in said

    assert may(space, "look-flows", "create", "jobs", "batch")
    assert not may(space, "look-flows", "get", "secrets")
    assert not may(space, "look-flows", "create", "pods")
    assert not may(space, "look-jobs", "list", "pods")

    helm.upgrade(
        CHART, "look", {**given, "worker": {"parallel": 3}}, namespace=space.name, wait="watcher", timeout=SECONDS
    )
    assert parallel(space) == "3"
    helm.rollback("look", version=1, wait="watcher", timeout=SECONDS)
    assert parallel(space) == "4"

    helm.uninstall("look", timeout=SECONDS)
    assert replicas(space) == {}
    claims = [item.metadata.name for item in space.core.list_namespaced_persistent_volume_claim(space.name).items]
    assert "look-prefect" in claims
    space.core.delete_persistent_volume(f"{space.name}-disk")


def values(space: Space, s3: dict[str, str]) -> dict[str, Any]:
    """Values with which pods use this machine's programs and S3 server."""
    claims = [mount["claim"] for mount in space.mounts]
    return {
        "images": {
            **dict.fromkeys(("flow", "cpu", "gpu"), NAME),
            "pullPolicy": "Never",
            "programs": str(ROOT / ".venv" / "bin"),
            "user": USER,
        },
        "store": {
            "url": f"s3://lenscore/{uuid.uuid4().hex}",
            "endpoint": s3["AWS_ENDPOINT_URL"],
            "region": s3["AWS_REGION"],
            "secret": "store",
        },
        "register": {"waitSeconds": SECONDS},
        "env": {"OMP_NUM_THREADS": "1"},
        "volumes": [
            {"name": claim, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}} for claim in claims
        ],
        "volumeMounts": [
            {"name": mount["claim"], "mountPath": mount["path"], "readOnly": True} for mount in space.mounts
        ],
    }


def disk(space: Space, claim: str) -> None:
    """A disk for a claim of the chart, as a class of disks would make it."""
    folder = Path(space.folder) / "disk"
    folder.mkdir()
    folder.chmod(0o777)
    spec = {
        "capacity": {"storage": "5Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": str(folder)},
        "claimRef": {"namespace": space.name, "name": claim},
        "persistentVolumeReclaimPolicy": "Retain",
    }
    space.core.create_persistent_volume({"metadata": {"name": f"{space.name}-disk"}, "spec": spec})


def replicas(space: Space) -> dict[str, int]:
    """Ready pods of each Deployment."""
    found = client.AppsV1Api().list_namespaced_deployment(space.name).items
    return {item.metadata.name: item.status.ready_replicas or 0 for item in found}


def parallel(space: Space) -> str:
    """What the worker was told of jobs at once."""
    worker = client.AppsV1Api().read_namespaced_deployment("look-worker", space.name)
    variables = {item.name: item.value for item in worker.spec.template.spec.containers[0].env}
    return str(variables["LENSCORE_PARALLEL"])


def may(space: Space, account: str, verb: str, resource: str, group: str = "") -> bool:
    """Whether an account may do something in the namespace."""
    asked = {"namespace": space.name, "verb": verb, "resource": resource, "group": group}
    user = f"system:serviceaccount:{space.name}:{account}"
    review = {"spec": {"user": user, "resourceAttributes": asked}}
    return bool(client.AuthorizationV1Api().create_subject_access_review(review).status.allowed)
