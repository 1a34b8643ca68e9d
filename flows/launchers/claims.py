"""Flows that want a Job leave a claim on it; the last one to withdraw deletes it."""

from typing import Any

from flows.launchers.api import Api, Object
from flows.launchers.manifest import SPEC

CLAIM = "claim.lenscore/"


def claim_or_none(api: Api, name: str, claimant: str) -> Object | None:
    """Put a claim on a Job; None where it went away, or is about to."""
    body = {"metadata": {"annotations": {CLAIM + claimant: "yes"}}}
    job = api.find(api.batch.patch_namespaced_job, name, body=body)
    return job if job is not None and is_alive(job) else None


def withdraw(api: Api, name: str, claimant: str) -> None:
    """Take a claim back, and delete the Job if it was the last one and the Job still runs."""
    from kubernetes.client import ApiException

    while True:
        job = api.find(api.batch.read_namespaced_job, name)
        if job is None or not is_alive(job):
            return
        try:
            if others(job, claimant):
                _patch_away(api, job, claimant)
            else:
                _delete(api, job)
            return
        except ApiException as error:
            if error.status == 404:
                return
            if error.status != 409:  # it changed meanwhile: look again
                raise


def others(job: Object, claimant: str) -> list[str]:
    """Who else claims a Job."""
    names = [key.removeprefix(CLAIM) for key in job["metadata"].get("annotations", {}) if key.startswith(CLAIM)]
    return [name for name in names if name != claimant]


def is_alive(job: Object) -> bool:
    """Whether a Job is still at work, or will be."""
    return "deletionTimestamp" not in job["metadata"] and ended(job) is None


def ended(job: Object) -> str | None:
    """Complete, Failed, or None."""
    for condition in job.get("status", {}).get("conditions", ()):
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return str(condition["type"])
    return None


def is_same(job: Object, manifest: Object) -> bool:
    """Whether a Job does what a manifest says."""
    asked: Any = manifest["metadata"]["annotations"][SPEC]
    return bool(job["metadata"].get("annotations", {}).get(SPEC) == asked)


def _patch_away(api: Api, job: Object, claimant: str) -> None:
    metadata = job["metadata"]
    body = {"metadata": {"resourceVersion": metadata["resourceVersion"], "annotations": {CLAIM + claimant: None}}}
    api.call(api.batch.patch_namespaced_job, metadata["name"], body=body)


def _delete(api: Api, job: Object) -> None:
    metadata = job["metadata"]
    unchanged = {"resourceVersion": metadata["resourceVersion"], "uid": metadata["uid"]}
    options = {"propagationPolicy": "Background", "preconditions": unchanged}
    api.call(api.batch.delete_namespaced_job, metadata["name"], body=options)
