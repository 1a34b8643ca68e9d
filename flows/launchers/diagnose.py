"""Why a pod waits, or why it ended: one sentence and the remedy, from what the cluster says of it."""

import re
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from flows.launchers.base import job_error
from flows.launchers.manifest import CONTAINER
from lenscore.errors import DamagedError, InputError, LensError, NotFoundError, StoreError

Kind = Literal[
    "starting", "queued", "unschedulable", "quota", "image", "config", "memory", "evicted", "node", "deadline", "crash"
]
IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
STARTING_REASONS = ("", "ContainerCreating", "PodInitializing")
DISRUPTIONS = {
    "PreemptionByScheduler": ("it made room for a pod of a higher priority", "set priority_class, or wait"),
    "DeletionByTaintManager": ("its node is lost or was tainted", "it starts again elsewhere; see to the node"),
    "EvictionByEvictionAPI": ("its node is drained", "it starts again elsewhere; nothing is to be done"),
    "DeletionByPodGC": ("its node is gone", "it starts again elsewhere; nothing is to be done"),
    "TerminationByKubelet": ("its node shut down or ran short of something", "give the job what the node lacked"),
}
QUOTA = re.compile(
    r"exceeded quota: (?P<quota>[^,]+), requested: (?P<asked>.+?), used: (?P<used>.+?), limited: (?P<limit>.+)"
)
INSUFFICIENT = re.compile(r"Insufficient ([\w./-]*\w)")
TAINT = re.compile(r"untolerated taint(?:\(s\))?(?: \{(?P<taint>[^}]+)\})?")


@dataclass(frozen=True)
class Trouble:
    """What is wrong.

    Args:
        kind: for programs.
        what: the rest of a sentence about a job or pod; with a colon before it where the job itself speaks.
        remedy: what to do about it.
        error: what a flow raises.
    """

    kind: Kind
    what: str
    remedy: str
    error: type[LensError] = LensError

    def __str__(self) -> str:
        return f"{self.what.removeprefix(': ')}; {self.remedy}"

    def raised(self, job: str) -> LensError:
        """As an error of a job."""
        space = "" if self.what.startswith(":") else " "
        return self.error(f"job {job}{space}{self.what}", self.remedy)


def explain_waiting(pod: Mapping[str, Any]) -> Trouble:
    """Why a pod does not run yet.

    Args:
        pod: as the API has it, phase Pending.

    Returns:
        The reason; of the kind "starting" where nothing is wrong.
    """
    status = pod.get("status", {})
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        return _explain_unscheduled(str(scheduled.get("reason", "")), str(scheduled.get("message", "")))
    for container in status.get("containerStatuses", ()):
        waiting = container.get("state", {}).get("waiting", {})
        reason, message = waiting.get("reason", ""), _one_line(waiting.get("message", ""))
        if reason in IMAGE_REASONS:
            return Trouble(
                "image",
                f"cannot have its image {container.get('image')}: {message or reason}",
                "check the image's name and tag, and pull_secrets in the cluster's settings",
            )
        if reason not in STARTING_REASONS:
            return Trouble(
                "config",
                f"cannot start its container ({reason}): {message}",
                "check store_secret, mounts and command in the cluster's settings",
            )
    return Trouble("starting", "is starting on its node", "wait")


def explain_refusal(events: Iterable[Mapping[str, Any]]) -> Trouble | None:
    """Why a Job has no pods, from its events."""
    for event in events:
        message = _one_line(event.get("message", ""))
        if event.get("reason") != "FailedCreate":
            continue
        quota = QUOTA.search(message)
        if quota:
            return Trouble(
                "quota",
                f"waits for the quota {quota['quota']}: it asks for {quota['asked']}, {quota['used']} are in use,"
                f" {quota['limit']} are allowed",
                "wait for other jobs, ask for less, or have the quota raised",
            )
        return Trouble(
            "config", f"may not start pods: {message}", "have the namespace's rules changed, or the settings"
        )
    return None


def explain_failure(job: str, pod: Mapping[str, Any]) -> Trouble:
    """Why a pod ended badly.

    Args:
        job: name of the job.
        pod: as the API has it, phase Failed.
    """
    status = pod.get("status", {})
    ended = _terminated(status)
    if ended.get("reason") == "OOMKilled":
        limit = _memory_limit(pod)
        return Trouble(
            "memory",
            f"ran out of its {limit} of memory",
            f"give it more: memory_gib in [jobs.{job}] of the cluster's settings",
        )
    if status.get("reason") == "Evicted":
        return Trouble(
            "evicted",
            f"was evicted from its node: {_one_line(status.get('message', ''))}",
            "raise scratch_gib or memory_gib in the cluster's settings, by what the node lacked",
            StoreError,
        )
    if status.get("reason") == "DeadlineExceeded":
        return _deadline()
    disruption = _condition(status, "DisruptionTarget")
    if disruption.get("status") == "True":
        why, remedy = DISRUPTIONS.get(
            str(disruption.get("reason")), (_one_line(disruption.get("message", "")), "run the flow again")
        )
        return Trouble("node", f"was ended: {why}", remedy, StoreError)
    return _explain_exit(job, ended)


def explain_job(job: str, conditions: Sequence[Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]) -> Trouble:
    """Why a Job failed.

    Args:
        job: name of the job.
        conditions: of the Job's status.
        pods: some that failed.
    """
    failed = next((item for item in conditions if item.get("type") == "Failed"), {})
    if failed.get("reason") == "DeadlineExceeded":
        return _deadline()
    found = sorted((explain_failure(job, pod) for pod in pods), key=_distance)
    if found:
        return found[0]
    says = _one_line(failed.get("message", "")) or "the cluster does not say why"
    return Trouble("crash", f"failed: {says}", "run the flow again", StoreError)


def _distance(trouble: Trouble) -> int:
    """How far a trouble is from being the cause: what lies in the job itself says more than a lost node.

    A job that has failed ends its other pods by a signal, so a signal says least.
    """
    if trouble.error in (InputError, NotFoundError, DamagedError):
        return 0
    order = ("memory", "evicted", "crash", "deadline", "node")
    return len(order) if "ended by SIGTERM" in trouble.what else 1 + order.index(trouble.kind)


def _explain_unscheduled(reason: str, message: str) -> Trouble:
    if reason == "SchedulingGated":
        return Trouble("queued", "waits in its queue", "wait until the queue admits it")
    lacking = list(dict.fromkeys(INSUFFICIENT.findall(message)))
    if lacking:
        names = " and ".join(lacking)
        return Trouble(
            "unschedulable",
            f"waits for a node with enough {names}",
            f"wait, add nodes, or ask for less ({_setting(lacking[0])} in the cluster's settings)",
        )
    taint = TAINT.search(message)
    if taint:
        return Trouble(
            "unschedulable",
            f"waits for a node without {f'the taint {name}' if (name := taint['taint'] or '') else 'taints'}",
            "add a toleration to the cluster's settings, or untaint a node",
        )
    if "node affinity/selector" in message:
        return Trouble(
            "unschedulable",
            "waits for a node that has the labels it asks for",
            "correct node_selector in the cluster's settings, or label a node",
        )
    return Trouble("unschedulable", f"waits for a node: {_one_line(message)}", "see `kubectl describe pod`")


def _explain_exit(job: str, ended: Mapping[str, Any]) -> Trouble:
    lines = [line for line in str(ended.get("message", "")).splitlines() if line.strip()]
    code = int(ended.get("exitCode", 1))
    # containers report the signal that ended them as 128 more
    number = 128 - code if code - 128 in set(signal.Signals) else code
    error = job_error(job, number, lines[-1].strip() if lines else "")
    return Trouble("crash", error.what.removeprefix(f"job {job}").strip(), error.remedy, type(error))


def _deadline() -> Trouble:
    return Trouble(
        "deadline", "took longer than it may", "raise deadline_hours in the cluster's settings; finished work is kept"
    )


def _setting(resource: str) -> str:
    if resource in ("cpu", "memory", "ephemeral-storage"):
        return {"cpu": "cpus", "memory": "memory_gib", "ephemeral-storage": "scratch_gib"}[resource]
    return "gpus"


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((item for item in status.get("conditions", ()) if item.get("type") == kind), {})


def _terminated(status: Mapping[str, Any]) -> Mapping[str, Any]:
    for container in status.get("containerStatuses", ()):
        if container.get("name") == CONTAINER:
            found: Mapping[str, Any] = container.get("state", {}).get("terminated", {})
            return found
    return {}


def _memory_limit(pod: Mapping[str, Any]) -> str:
    containers = pod.get("spec", {}).get("containers", ())
    limit = next((item.get("resources", {}).get("limits", {}).get("memory", "") for item in containers), "")
    if limit.endswith("Mi") and limit[:-2].isdigit():
        return f"{int(limit[:-2]) / 1024:g} GiB"
    return re.sub(r"(?<=\d)Gi$", " GiB", limit) or "limit"


def _one_line(text: Any) -> str:
    return " ".join(str(text or "").split())[:400].rstrip(".")
