"""The Jobs on a cluster, and what is the matter with each."""

from collections.abc import Iterator
from dataclasses import dataclass

from flows.launchers.api import Api, Object
from flows.launchers.claims import ended
from flows.launchers.cluster import ClusterSettings
from flows.launchers.diagnose import explain_job, explain_refusal, explain_waiting
from flows.launchers.manifest import JOB, JOB_NAME, MANAGED_BY, RELEASE

PAGE = 500
SAMPLE = 5


@dataclass(frozen=True)
class JobStatus:
    """A Job as people want to know it.

    Args:
        job: name of the job.
        release: that it works on.
        name: of the Kubernetes Job.
        state: waiting, running, done, failed or ending. A Job none of whose pods is ready is waiting.
        pods: "ready/active", and how many ended well.
        says: what it waits for, or why it failed, with the remedy.
    """

    job: str
    release: str
    name: str
    state: str
    pods: str
    says: str


def job_statuses(settings: ClusterSettings, name: str | None = None) -> Iterator[JobStatus]:
    """Jobs in the settings' namespace, those that came last first.

    Args:
        settings: of the cluster.
        name: only Jobs of this job, or whose name begins so.
    """
    api = Api(settings.namespace, 0)
    jobs = api.call(api.batch.list_namespaced_job, label_selector=f"{MANAGED_BY}=lenscore", limit=PAGE)["items"]
    for job in sorted(jobs, key=lambda item: item["metadata"]["creationTimestamp"], reverse=True):
        labels = job["metadata"].get("labels", {})
        if name is None or labels.get(JOB) == name or job["metadata"]["name"].startswith(name):
            yield _status(api, job, labels.get(JOB, "?"), labels.get(RELEASE, ""))


def _status(api: Api, job: Object, kind: str, release: str) -> JobStatus:
    status, name = job.get("status", {}), job["metadata"]["name"]
    active, ready, succeeded = (status.get(key, 0) for key in ("active", "ready", "succeeded"))
    state, says = "running" if ready else "waiting", ""
    if ended(job) == "Complete":
        state = "done"
    elif ended(job) == "Failed":
        state = "failed"
        says = str(explain_job(kind, status["conditions"], _pods(api, name, "Failed")))
    elif "deletionTimestamp" in job["metadata"]:
        state = "ending"
    elif job["spec"].get("suspend"):
        says = "waits in its queue: the Job is suspended; wait until the queue admits it"
    elif ready < active or not active:
        says = _why_waiting(api, name)
    return JobStatus(kind, release, name, state, f"{ready}/{active} ({succeeded} done)", says)


def _why_waiting(api: Api, name: str) -> str:
    for pod in _pods(api, name, "Pending"):
        trouble = explain_waiting(pod)
        if trouble.kind != "starting":
            return str(trouble)
    field = f"involvedObject.kind=Job,involvedObject.name={name}"
    refusal = explain_refusal(reversed(api.call(api.core.list_namespaced_event, field_selector=field)["items"]))
    return str(refusal) if refusal else ""


def _pods(api: Api, name: str, phase: str) -> list[Object]:
    found: list[Object] = api.call(
        api.core.list_namespaced_pod,
        label_selector=f"{JOB_NAME}={name}",
        field_selector=f"status.phase={phase}",
        limit=SAMPLE,
    )["items"]
    return found
