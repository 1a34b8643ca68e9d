"""From a job to a Kubernetes Job: its manifest, as plain data."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flows.launchers.base import Request
from flows.launchers.cluster import Asked, ClusterSettings, Toleration
from jobs.tasks import Task
from lenscore.artifacts.manifest import canonical_json, sha256
from lenscore.errors import FINAL_EXIT_CODES

CONTAINER = "job"
MOST_INDEXES = 10_000
MOST_FAILED = 20
GRACE_SECONDS = 60
LOST_SECONDS = 120
RENDEZVOUS_PORT = 29400
MEMORY_SHARE = 0.75

ARTIFACT = "lenscore/artifact"
CONFIG = "lenscore/config"
SPEC = "lenscore/spec"
JOB = "lenscore/job"
RUN = "lenscore/run"
RELEASE = "lenscore/release"
MANAGED_BY = "app.kubernetes.io/managed-by"
JOB_NAME = "batch.kubernetes.io/job-name"


@dataclass(frozen=True)
class Piece:
    """What becomes one Kubernetes Job: a whole job, or a phase of a sharded one.

    Args:
        suffix: of the Job's name; empty for the main piece.
        arguments: of `lenscore job run`, beyond those of every piece.
        indexes: pods of an Indexed Job; None for one pod.
        ranks: pods that work together.
        units: of work that an index does.
    """

    suffix: str
    arguments: tuple[str, ...]
    indexes: int | None = None
    ranks: int = 1
    units: int = 0


def whole_piece(asked: Asked) -> Piece:
    """A job in one piece, by as many pods as it has ranks."""
    return Piece("", ("--phase=all",), asked.ranks if asked.ranks > 1 else None, asked.ranks)


def plan_piece(asked: Asked) -> Piece:
    """The plan of a sharded job; all of a small one."""
    return Piece("-plan", ("--phase=plan", f"--whole-up-to={asked.units_per_pod}"))


def units_piece(asked: Asked, units: int) -> Piece:
    """The units of a sharded job, several a pod; never more indexes than a Job may have."""
    size = max(asked.units_per_pod, math.ceil(units / MOST_INDEXES))
    arguments = ("--phase=units", f"--units=$(JOB_COMPLETION_INDEX)*{size}")
    return Piece("", arguments, math.ceil(units / size), units=size)


def finish_piece() -> Piece:
    """The last step of a sharded job."""
    return Piece("-finish", ("--phase=finish",))


def job_name(task: Task, piece: Piece, attempt: int = 1) -> str:
    """The name of a Job: a DNS label, short enough for the index and the pod's own suffix."""
    again = f"-{attempt}" if attempt > 1 else ""
    return f"ls-{task.spec.name.replace('_', '-')}-{task.id[:20]}{piece.suffix}{again}"


def job_manifest(
    request: Request, task: Task, piece: Piece, settings: ClusterSettings, asked: Asked, attempt: int = 1, run: str = ""
) -> dict[str, Any]:
    """The manifest of a Job.

    Args:
        request: what runs.
        task: what it makes.
        piece: which part of it.
        settings: of the cluster.
        asked: resources.
        attempt: 2, 3, ... where Jobs of that name came to nothing, or are of another spec.
        run: the flow run, for the label.

    Returns:
        A batch/v1 Job.
    """
    name = job_name(task, piece, attempt)
    labels = _labels(request, run, settings)
    spec = _job_spec(request, task, piece, settings, asked, name, labels)
    usual = spec if attempt == 1 else _job_spec(request, task, piece, settings, asked, job_name(task, piece), labels)
    annotations = {
        ARTIFACT: str(task.reference),
        CONFIG: json.dumps({request.job: dict(request.config)}),
        SPEC: sha256(canonical_json(_without_labels(usual)))[:20],
    }
    spec["template"]["metadata"]["annotations"] = {ARTIFACT: annotations[ARTIFACT], CONFIG: annotations[CONFIG]}
    metadata: dict[str, Any] = {"name": name, "labels": labels, "annotations": annotations}
    if settings.queue:
        labels["kueue.x-k8s.io/queue-name"] = settings.queue
        spec["suspend"] = True
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def service_manifest(job: Mapping[str, Any]) -> dict[str, Any]:
    """The headless Service by which the ranks of a Job (as the cluster has it) find each other."""
    metadata = job["metadata"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": metadata["name"], "labels": metadata["labels"], "ownerReferences": [owner]},
        "spec": {
            "clusterIP": "None",
            "selector": {JOB_NAME: metadata["name"]},
            "publishNotReadyAddresses": True,
            "ports": [{"name": "rendezvous", "port": RENDEZVOUS_PORT}],
        },
    }


def _job_spec(
    request: Request,
    task: Task,
    piece: Piece,
    settings: ClusterSettings,
    asked: Asked,
    name: str,
    labels: Mapping[str, str],
) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "activeDeadlineSeconds": int(asked.deadline_hours * 3600),
        "ttlSecondsAfterFinished": int(settings.keep_finished_hours * 3600),
        "podFailurePolicy": _failure_policy(piece),
        "template": {
            "metadata": {"labels": dict(labels)},
            "spec": _pod_spec(request, task, piece, settings, asked, name),
        },
    }
    if piece.indexes is None:
        return spec | {"backoffLimit": settings.retries}
    return spec | {
        "completionMode": "Indexed",
        "completions": piece.indexes,
        "parallelism": piece.indexes if piece.ranks > 1 else min(piece.indexes, asked.pods),
        "backoffLimitPerIndex": settings.retries,
        "maxFailedIndexes": 0 if piece.ranks > 1 else min(piece.indexes, MOST_FAILED),
    }


def _failure_policy(piece: Piece) -> dict[str, Any]:
    """A disruption is not counted; what cannot get better by running again fails at once."""
    alone = piece.indexes is None or piece.ranks > 1
    codes = {"containerName": CONTAINER, "operator": "In", "values": list(FINAL_EXIT_CODES)}
    return {
        "rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": "FailJob" if alone else "FailIndex", "onExitCodes": codes},
        ]
    }


def _pod_spec(
    request: Request, task: Task, piece: Piece, settings: ClusterSettings, asked: Asked, name: str
) -> dict[str, Any]:
    gpus = asked.gpus > 0
    tolerations = [*settings.tolerations, *(settings.gpu_tolerations if gpus else ())]
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": settings.user,
            "runAsGroup": settings.user,
            "fsGroup": settings.user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "tolerations": [*map(_toleration, tolerations), *_lost_node_tolerations()],
        "volumes": _volumes(settings),
        "containers": [_container(request, task, piece, settings, asked, name)],
    }
    optional: dict[str, Any] = {
        "serviceAccountName": settings.service_account,
        "priorityClassName": settings.priority_class,
        "nodeSelector": settings.node_selector | (settings.gpu_node_selector if gpus else {}),
        "imagePullSecrets": [{"name": secret} for secret in settings.pull_secrets],
        "subdomain": name if piece.ranks > 1 else "",
    }
    return spec | {key: value for key, value in optional.items() if value}


def _container(
    request: Request, task: Task, piece: Piece, settings: ClusterSettings, asked: Asked, name: str
) -> dict[str, Any]:
    memory = f"{math.ceil(asked.memory_gib * 1024)}Mi"
    requests = {"cpu": f"{math.ceil(asked.cpus * 1000)}m", "memory": memory}
    requests["ephemeral-storage"] = f"{math.ceil(settings.scratch_gib * 1024)}Mi"
    limits = {"memory": memory}
    if asked.gpus:
        requests[settings.gpu_resource] = limits[settings.gpu_resource] = str(asked.gpus)
    mounts = [
        {"name": "scratch", "mountPath": "/tmp"},
        {"name": "shared-memory", "mountPath": "/dev/shm"},
        {"name": "config", "mountPath": "/etc/lenscore", "readOnly": True},
    ]
    mounts += [
        {"name": f"mount-{i}", "mountPath": mount.path, "readOnly": True} for i, mount in enumerate(settings.mounts)
    ]
    container = {
        "name": CONTAINER,
        "image": settings.gpu_image if task.spec.image == "gpu" else settings.cpu_image,
        "imagePullPolicy": settings.pull_policy,
        "command": _command(request, task, piece, settings, asked, name),
        "env": _environment(settings, asked),
        "resources": {"requests": requests, "limits": limits},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }
    secret = [{"secretRef": {"name": settings.store_secret}}] if settings.store_secret else []
    return container | ({"envFrom": secret} if secret else {})


def _command(
    request: Request, task: Task, piece: Piece, settings: ClusterSettings, asked: Asked, name: str
) -> list[str]:
    threads = max(int(asked.cpus), 1)
    start = settings.command
    if piece.ranks > 1:
        start = (
            *settings.torchrun,
            f"--nnodes={piece.ranks}",
            f"--nproc-per-node={max(asked.gpus, 1)}",
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint={name}-0.{name}:{RENDEZVOUS_PORT}",
            f"--rdzv-id={task.id[:20]}",
            f"--max-restarts={settings.retries}",
            "-m",
            "lenscore",
        )
    return [
        *start,
        "job",
        "run",
        request.job,
        "--config=/etc/lenscore/job.json",
        f"--store={request.store}",
        *(f"--input={key}={item}" for key, items in request.inputs.items() for item in items),
        f"--workers={threads}",
        f"--threads={threads}",
        f"--memory-gib={max(asked.memory_gib * MEMORY_SHARE, 0.5):g}",
        f"--device={'cuda' if asked.gpus else 'cpu'}",
        *piece.arguments,
    ]


def _environment(settings: ClusterSettings, asked: Asked) -> list[dict[str, str]]:
    threads = str(max(int(asked.cpus), 1))
    values = {
        "HOME": "/tmp",
        "LENSCORE_SCRATCH": "/tmp",
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "OMP_WAIT_POLICY": "passive",
        "PYTHONUNBUFFERED": "1",
        **settings.environment,
    }
    return [{"name": key, "value": value} for key, value in values.items()]


def _volumes(settings: ClusterSettings) -> list[dict[str, Any]]:
    config = {"path": "job.json", "fieldRef": {"fieldPath": f"metadata.annotations['{CONFIG}']"}}
    return [
        {"name": "scratch", "emptyDir": {"sizeLimit": f"{math.ceil(settings.scratch_gib * 1024)}Mi"}},
        {
            "name": "shared-memory",
            "emptyDir": {"medium": "Memory", "sizeLimit": f"{math.ceil(settings.shared_memory_gib * 1024)}Mi"},
        },
        {"name": "config", "downwardAPI": {"items": [config]}},
        *(
            {"name": f"mount-{i}", "persistentVolumeClaim": {"claimName": mount.claim, "readOnly": True}}
            for i, mount in enumerate(settings.mounts)
        ),
    ]


def _toleration(toleration: Toleration) -> dict[str, str]:
    return {key: value for key, value in toleration if value}


def _lost_node_tolerations() -> list[dict[str, Any]]:
    """A pod whose node is lost is given up sooner than after the cluster's usual five minutes."""
    return [
        {
            "key": f"node.kubernetes.io/{state}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": LOST_SECONDS,
        }
        for state in ("not-ready", "unreachable")
    ]


def _labels(request: Request, run: str, settings: ClusterSettings) -> dict[str, str]:
    own = {JOB: request.job, RUN: run or request.run, RELEASE: request.release}
    kept = {key: label_value(value) for key, value in own.items() if value}
    return {**settings.labels, MANAGED_BY: "lenscore", **kept}


def _without_labels(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Two runs ask for the same work, though their labels differ."""
    return {**spec, "template": {"spec": spec["template"]["spec"]}}


def label_value(text: str) -> str:
    """Text as the value of a label: at most 63 letters, digits, and - _ . inside."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:63].strip("-_.")
