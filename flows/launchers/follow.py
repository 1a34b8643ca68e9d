"""What a flow hears of a Job that runs: how far it is, why it waits, one pod's lines, and the last words of failed ones."""

import contextlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flows.launchers.api import Api, Object
from flows.launchers.base import Progress
from flows.launchers.diagnose import Trouble, explain_refusal, explain_waiting
from flows.launchers.manifest import CONTAINER, JOB_NAME
from jobs.progress import PROGRESS, first_unit_of, progress_key
from lenscore.artifacts import Store
from lenscore.errors import LensError

LOOK_SECONDS = 5.0
RECENT_SECONDS = 60.0
OVERDUE_SECONDS = 30
SAMPLED_PODS = 16
WAITING_PODS = 5
TAILS = 3
TAIL_LINES = 20
PAGE = 500

Log = Callable[[str], None]


@dataclass(frozen=True)
class Units:
    """The rows of a sharded job, for its progress.

    Args:
        rows: of the whole job.
        unit_rows: rows of a unit.
        per_index: units of an index of the Job.
    """

    rows: int
    unit_rows: int
    per_index: int


class Follower:
    """Looks at a Job now and then; a look costs a handful of calls, however many pods there are.

    Args:
        api: the cluster.
        store: holds the progress objects.
        work: folder of the job's working state there.
        job: name of the job.
        name: of its Kubernetes Job.
        units: where it is an Indexed Job over units.
        image_seconds: a pod may lack its image or a Secret for that long.
        log: gets lines.
        progress: gets shares.
    """

    def __init__(
        self,
        api: Api,
        store: Store,
        work: str,
        job: str,
        name: str,
        units: Units | None,
        image_seconds: float,
        log: Log,
        progress: Progress,
    ) -> None:
        self._api, self._store, self._work, self._job, self._name, self._units = api, store, work, job, name, units
        self._image_seconds, self._log, self._progress = image_seconds, log, progress
        self._said, self._share = "", 0.0
        self._stuck_since = 0.0
        self._stream: PodStream | None = None

    def look(self, job: Object) -> None:
        """Tell what is new.

        Args:
            job: the Kubernetes Job as it is now.

        Raises:
            LensError: a pod cannot start, for too long.
        """
        status = job.get("status", {})
        active, ready = status.get("active", 0), status.get("ready", 0)
        if job["spec"].get("suspend"):
            self._say("waits in its queue: the Job is suspended")
        elif active == 0 and not status.get("terminating"):
            self._explain_absence()
        elif ready < active:
            self._explain_waiting(ready, active)
        else:
            self._stuck_since = 0.0
        if ready:
            self._listen()
            self._tell_progress(status)
        if status.get("terminating"):
            self._give_up_lost_pods()

    def failed_pods(self) -> list[Object]:
        """Some pods that failed; the flow's log gets their last lines."""
        self.close()
        pods = self._pods("status.phase=Failed", PAGE)
        heard = self._stream.pod if self._stream else ""
        for pod in [pod for pod in pods if pod["metadata"]["name"] != heard][:TAILS]:
            for line in self._tail(pod["metadata"]["name"]):
                self._log(f"{pod['metadata']['name']}: {line}")
        return pods

    def close(self) -> None:
        """Stop listening, after the last lines."""
        if self._stream:
            self._stream.close()

    def _say(self, line: str) -> None:
        """A line, once."""
        if line != self._said:
            self._said = line
            self._log(f"{self._job} {line}")

    def _explain_absence(self) -> None:
        field = f"involvedObject.kind=Job,involvedObject.name={self._name}"
        events = self._api.call(self._api.core.list_namespaced_event, field_selector=field, limit=PAGE)["items"]
        trouble = explain_refusal(reversed(events))
        if trouble:
            self._say(str(trouble))

    def _explain_waiting(self, ready: int, active: int) -> None:
        pods = self._pods("status.phase=Pending", WAITING_PODS)
        troubles = [trouble for trouble in map(explain_waiting, pods) if trouble.kind != "starting"]
        if troubles:
            self._say(f"{active - ready} of {active} pods: the pod {troubles[0]}")
        elif pods:
            self._say(f"{active - ready} of {active} pods are starting")
        self._check_patience(troubles)

    def _check_patience(self, troubles: list[Trouble]) -> None:
        hopeless = [trouble for trouble in troubles if trouble.kind in ("image", "config")]
        if not hopeless:
            self._stuck_since = 0.0
            return
        self._stuck_since = self._stuck_since or time.monotonic()
        if time.monotonic() - self._stuck_since > self._image_seconds:
            raise hopeless[0].raised(self._job)

    def _listen(self) -> None:
        if self._stream and self._stream.alive:
            return
        before = self._stream
        for pod in self._pods("status.phase=Running", 1):
            name = pod["metadata"]["name"]
            since = before.last if before and before.pod == name else None
            self._stream = PodStream(self._api, name, self._log, since)

    def _tell_progress(self, status: Object) -> None:
        with contextlib.suppress(LensError):  # a courtesy: the store may stumble
            done, total, metrics = self._indexed(status) if self._units else self._whole()
            if not total or not done:
                return
            self._share = max(self._share, min(done / total, 1.0))
            line = f"{done}/{total} {' '.join(f'{name}={value:.4g}' for name, value in metrics.items())}".rstrip()
            waiting = status.get("active", 0) - status.get("ready", 0)
            pods = f"pods={status['ready']}" + (f" waiting={waiting}" if waiting else "")
            self._said = ""
            self._log(f"{self._job} {line} {pods}")
            self._progress(self._share, f"{line} {pods}")

    def _whole(self) -> tuple[int, int, dict[str, float]]:
        found = self._read(progress_key(self._work))
        return int(found.get("done", 0)), int(found.get("total") or 0), _numbers(found)

    def _indexed(self, status: Object) -> tuple[int, int, dict[str, float]]:
        """Rows of finished indexes, and of the running ones by a sample of what their pods wrote."""
        units = self._units or Units(0, 1, 1)
        newest = sorted(self._store.list(f"{self._work}/{PROGRESS}"), key=lambda info: -info.modified)
        recent = [info for info in newest if info.modified > time.time() - RECENT_SECONDS]
        running = max(status.get("ready", 0), 1)
        sample = [(info.key, self._read(info.key)) for info in recent[: min(running, SAMPLED_PODS)]]
        rows = [int(found.get("done", 0)) - first_unit_of(key) * units.unit_rows for key, found in sample]
        scale = min(running, len(recent)) / max(len(sample), 1)
        done = status.get("succeeded", 0) * units.per_index * units.unit_rows + scale * sum(rows)
        metrics: dict[str, float] = {}
        for _, found in sample:
            for name, value in _numbers(found).items():
                adds = name.endswith("_per_second")
                metrics[name] = metrics.get(name, 0.0) + scale * value if adds else max(metrics.get(name, value), value)
        return min(int(done), units.rows), units.rows, metrics

    def _read(self, key: str) -> Object:
        if not self._store.exists(key):
            return {}
        found: Object = json.loads(self._store.get(key))
        return found

    def _give_up_lost_pods(self) -> None:
        """A node that is gone cannot say that its pods have ended; the Job would wait for ever.

        Two writers cannot damage each other, so their successors may start before the node is proven dead. A Job
        replaces pods that have failed, not those that only should have ended.
        """
        now = datetime.now(UTC)
        for pod in self._pods("", PAGE):
            stamp = pod["metadata"].get("deletionTimestamp")
            if stamp is None or (now - datetime.fromisoformat(stamp)).total_seconds() < OVERDUE_SECONDS:
                continue  # the stamp is when it should have ended
            name, node = pod["metadata"]["name"], pod["spec"].get("nodeName", "?")
            self._log(f"{self._job}: node {node} does not answer; pod {name} is given up and starts elsewhere")
            gone = {"status": {"phase": "Failed", "reason": "NodeLost"}}
            with contextlib.suppress(LensError):  # without the right to do so, a person has to
                self._api.find(self._api.core.patch_namespaced_pod_status, name, body=gone)
                self._api.find(self._api.core.delete_namespaced_pod, name, body={"gracePeriodSeconds": 0})

    def _pods(self, field: str, limit: int) -> list[Object]:
        found = self._api.call(
            self._api.core.list_namespaced_pod,
            label_selector=f"{JOB_NAME}={self._name}",
            field_selector=field,
            limit=limit,
        )
        pods: list[Object] = found["items"]
        return pods

    def _tail(self, pod: str) -> list[str]:
        from kubernetes.client import ApiException

        try:
            text = self._api.core.read_namespaced_pod_log(
                pod, self._api.namespace, container=CONTAINER, tail_lines=TAIL_LINES
            )
        except ApiException as error:
            return [f"its lines cannot be read ({error.status})"]
        return [line for line in text.splitlines() if line.strip()]


class PodStream:
    """Hands on what a pod prints, in a thread of its own.

    Args:
        api: the cluster.
        pod: its name.
        log: gets each line.
        since: monotonic time after which lines are wanted; all if None.
    """

    def __init__(self, api: Api, pod: str, log: Log, since: float | None = None) -> None:
        self.pod, self.last = pod, since or 0.0
        self._api, self._log, self._since = api, log, since
        self._thread = threading.Thread(target=self._read, name=f"log {pod}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether lines may still come."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Wait a moment for the last lines."""
        self._thread.join(1.0)
        self._log = _ignore

    def _read(self) -> None:
        from kubernetes.watch import Watch

        options: dict[str, Any] = {"container": CONTAINER}
        if self._since is not None:
            options["since_seconds"] = int(time.monotonic() - self._since) + 1
        # Whatever happens to the stream, the next look opens another one.
        with contextlib.suppress(Exception):
            for line in Watch().stream(
                self._api.core.read_namespaced_pod_log, self.pod, self._api.namespace, **options
            ):
                self.last = time.monotonic()
                if line.strip():
                    self._log(line.rstrip())


def _ignore(line: str) -> None:
    return


def _numbers(found: Object) -> dict[str, float]:
    metrics = found.get("metrics", {}).items()
    return {name: float(value) for name, value in metrics if isinstance(value, int | float)}
