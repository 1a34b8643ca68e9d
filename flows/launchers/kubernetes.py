"""Runs each job as a Kubernetes Job."""

import contextlib
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from flows.launchers.api import Api, JobWatch, Object
from flows.launchers.base import Progress, Request
from flows.launchers.claims import CLAIM, claim_or_none, ended, is_alive, is_same, withdraw
from flows.launchers.cluster import Asked, ClusterSettings
from flows.launchers.diagnose import Trouble, explain_job
from flows.launchers.follow import LOOK_SECONDS, Follower, Log, Units
from flows.launchers.manifest import (
    Piece,
    finish_piece,
    job_manifest,
    job_name,
    label_value,
    plan_piece,
    service_manifest,
    units_piece,
    whole_piece,
)
from jobs.launch import parse_config
from jobs.tasks import Task, done_units, find_finished, load_record, make_task, unit_count
from lenscore.artifacts import Reference, Store
from lenscore.errors import ConflictError, LensError, StoreError

SETTINGS = "LENSCORE_CLUSTER"
TICK_SECONDS = 1.0
MOST_ATTEMPTS = 100


class KubernetesLauncher:
    """Runs jobs as Kubernetes Jobs.

    Args:
        settings: of the cluster.
    """

    def __init__(self, settings: ClusterSettings | None = None) -> None:
        self.settings = settings or ClusterSettings()
        self._stopping = threading.Event()

    @staticmethod
    def from_environment() -> "KubernetesLauncher":
        """A launcher with the settings in the file that LENSCORE_CLUSTER names; the defaults without."""
        path = os.environ.get(SETTINGS)
        return KubernetesLauncher(ClusterSettings.read(Path(path) if path else None))

    def run(self, request: Request, log: Log, progress: Progress) -> Reference:
        """See Launcher.run."""
        work = _Work(self.settings, request, log, progress, self._stopping)
        work.run()
        progress(1.0, "done")
        return work.task.reference

    def stop(self) -> None:
        """See Launcher.stop."""
        self._stopping.set()


class _OutOfMemoryError(Exception):
    """A pod had too little memory."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(str(trouble))
        self.trouble = trouble


class _Work:
    """One request, from the first look into the store to the finished artifact."""

    def __init__(
        self, settings: ClusterSettings, request: Request, log: Log, progress: Progress, stopping: threading.Event
    ) -> None:
        self.settings, self.request, self.log, self.progress, self.stopping = settings, request, log, progress, stopping
        self.task: Task = make_task(request.job, parse_config(request.job, dict(request.config)), request.inputs)
        self.store = Store.open(request.store)
        self.api = Api(settings.namespace, settings.api_minutes * 60)
        self.asked: Asked = settings.needs(self.task.spec)
        self.claimant, self.label = _claimant()

    def run(self) -> None:
        """Run the pieces that are missing, with more memory where it was too little."""
        while not self._finished():
            try:
                self._run_pieces()
            except _OutOfMemoryError as error:
                grown = min(self.asked.memory_gib * self.settings.memory_growth, self.settings.memory_most_gib)
                if grown <= self.asked.memory_gib:
                    raise error.trouble.raised(self.request.job) from error
                self.log(f"{self.request.job} {error.trouble.what}; it is run again with {grown:g} GiB")
                self.asked = replace(self.asked, memory_gib=grown)

    def _run_pieces(self) -> None:
        if not self.task.spec.sharded:
            self._run_piece(whole_piece(self.asked), self._finished)
            return
        self._run_piece(plan_piece(self.asked), lambda: self._finished() or self._rows() is not None)
        rows = self._rows()
        if rows is None or self._finished():
            return  # it was small, and is done
        total = unit_count(self.task, rows)
        piece = units_piece(self.asked, total)
        units = Units(rows, self.task.spec.unit_rows or 1, piece.units)
        self._run_piece(piece, lambda: self._finished() or len(done_units(self.store, self.task)) == total, units)
        self._run_piece(finish_piece(), self._finished)

    def _finished(self) -> bool:
        return find_finished(self.store, self.task) is not None

    def _rows(self) -> int | None:
        key = f"{self.task.work}/plan.json"
        if not self.store.exists(key):
            return None
        rows: int = load_record(self.store, key)["rows"]
        return rows

    def _run_piece(self, piece: Piece, done: Callable[[], bool], units: Units | None = None) -> None:
        """Adopt the Job that does a piece, or make it where the piece is not done; wait for its end."""
        attempt = 1
        while attempt < MOST_ATTEMPTS:
            manifest = job_manifest(self.request, self.task, piece, self.settings, self.asked, attempt, self.label)
            name = job_name(self.task, piece, attempt)
            found = self.api.find(self.api.batch.read_namespaced_job, name)
            if found is None and done():
                return
            if found is not None and not (is_alive(found) and is_same(found, manifest)):
                attempt += 1
                continue
            job = self._create(manifest) if found is None else self._adopt(name)
            if job is None:
                continue  # another was faster: look again
            if piece.ranks > 1:
                self._create_service(job)
            self._wait(name, units)
            if not done():
                raise StoreError(
                    f"Job {name} ended, but its result is not in {self.store.url}",
                    "check that the pods use the same store: environment and store_secret in the cluster's settings",
                )
            return
        raise ConflictError(f"{MOST_ATTEMPTS} Jobs named like {job_name(self.task, piece)}", "delete the old ones")

    def _adopt(self, name: str) -> Object | None:
        """Put our claim on a Job; None where it goes away meanwhile."""
        job = claim_or_none(self.api, name, self.claimant)
        if job is not None:
            self.log(f"{self.request.job} runs already, as Job {name}")
        return job

    def _create(self, manifest: Object) -> Object | None:
        """Make a Job with our claim; None where it is there meanwhile."""
        from kubernetes.client import ApiException

        manifest["metadata"]["annotations"][CLAIM + self.claimant] = "yes"
        name = manifest["metadata"]["name"]
        try:
            made = self.api.call(self.api.batch.create_namespaced_job, body=manifest)
        except ApiException as error:
            if error.status == 409:
                return None
            raise LensError(
                f"the cluster refuses Job {name}: {_message(error)}", "correct the cluster's settings"
            ) from error
        self.log(f"{self.request.job} is Job {name} in namespace {self.api.namespace}")
        return made

    def _create_service(self, job: Object) -> None:
        from kubernetes.client import ApiException

        try:
            self.api.call(self.api.core.create_namespaced_service, body=service_manifest(job))
        except ApiException as error:
            if error.status != 409:
                raise

    def _wait(self, name: str, units: Units | None) -> None:
        image_seconds = self.settings.image_minutes * 60
        follower = Follower(
            self.api, self.store, self.task.work, self.request.job, name, units, image_seconds, self.log, self.progress
        )
        watch = JobWatch(self.api, name)
        try:
            job = self._end_of(name, watch, follower)
            if ended(job) == "Failed":
                self._raise_failure(job, follower)
        except BaseException:
            self._withdraw(name)
            raise
        finally:
            watch.close()
            follower.close()

    def _end_of(self, name: str, watch: JobWatch, follower: Follower) -> Object:
        """Wait for the end of a Job."""
        job: Object | None = {}
        next_look = time.monotonic() + TICK_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                job = watch.news(TICK_SECONDS)
            if job is None or "deletionTimestamp" in job.get("metadata", {}):
                raise StoreError(f"Job {name} was deleted", "run the flow again; finished work is kept")
            if ended(job):
                return job
            if self.stopping.is_set():
                raise KeyboardInterrupt
            if job and time.monotonic() >= next_look:
                follower.look(job)
                next_look = time.monotonic() + LOOK_SECONDS

    def _raise_failure(self, job: Object, follower: Follower) -> None:
        pods = follower.failed_pods()
        trouble = explain_job(self.request.job, job["status"]["conditions"], pods)
        if trouble.kind == "memory":
            raise _OutOfMemoryError(trouble)
        raise trouble.raised(self.request.job)

    def _withdraw(self, name: str) -> None:
        """Take our claim back; a cluster that is away keeps the Job, and the next run adopts it."""
        with contextlib.suppress(Exception):
            withdraw(Api(self.settings.namespace, TICK_SECONDS), name, self.claimant)


def _claimant() -> tuple[str, str]:
    """(who claims, for the label): a flow run stays the same when its process starts again."""
    if "prefect" in sys.modules:
        from prefect.runtime import flow_run

        if flow_run.id:
            return str(flow_run.id), label_value(flow_run.name or flow_run.id)
    name = uuid.uuid4().hex[:12]
    return name, name


def _message(error: Exception) -> str:
    body = str(getattr(error, "body", "") or error)
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return " ".join(str(json.loads(body)["message"]).split())[:400]
    return body[:400]
