"""The cluster's API: one client, calls that outlive an API server's restart, and a watch that goes on."""

import functools
import json
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from lenscore.errors import InputError, StoreError

CALL_SECONDS = (10, 60)
WATCH_SECONDS = 60
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0
CONNECTIONS = 64
ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
AWAY = (401, 408, 429, 500, 502, 503, 504)
GONE = 410

Object = dict[str, Any]
T = TypeVar("T")


class Api:
    """A namespace of a cluster.

    Args:
        namespace: that of the credentials if empty.
        patience_seconds: the API may be away for that long.
    """

    def __init__(self, namespace: str, patience_seconds: float) -> None:
        from kubernetes import client

        self._client, own = _connect(os.environ.get("KUBECONFIG", ""))
        self.namespace = namespace or own
        self.patience_seconds = patience_seconds
        self.core, self.batch = client.CoreV1Api(self._client), client.BatchV1Api(self._client)

    def call(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Object:
        """Call a method of `core` or `batch` in the namespace, again and again while the API is away.

        Returns:
            What it answers, as plain data.

        Raises:
            kubernetes.client.ApiException: refused (not found, conflict, ...).
            StoreError: the API was away for too long, or does not let us.
        """
        options.setdefault("_request_timeout", CALL_SECONDS)
        answer = self._patiently(lambda: method(*arguments, namespace=self.namespace, **options))
        found: Object = self._client.sanitize_for_serialization(answer)
        return found

    def find(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Object | None:
        """As `call`; None where there is no such object."""
        from kubernetes.client import ApiException

        try:
            return self.call(method, *arguments, **options)
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def _patiently(self, once: Callable[[], T]) -> T:
        pause = Pause(self.patience_seconds)
        while True:
            try:
                return once()
            except Exception as error:
                pause.after(error)


class Pause:
    """Waits longer and longer between tries, until patience ends.

    Args:
        patience_seconds: from the first failure in a row.
        stop: ends a wait early.
    """

    def __init__(self, patience_seconds: float, stop: threading.Event | None = None) -> None:
        self._patience, self._stop = patience_seconds, stop or threading.Event()
        self.recovered()

    def recovered(self) -> None:
        """The API answered."""
        self._next, self._since = FIRST_PAUSE_SECONDS, 0.0

    def after(self, error: Exception) -> None:
        """Wait before the next try.

        Raises:
            StoreError: patience has ended, or the API does not let us.
            Exception: the error itself, where trying again cannot help.
        """
        if not _is_away(error):
            raise _refusal(error) from error
        self._since = self._since or time.monotonic()
        if time.monotonic() - self._since > self._patience:
            raise StoreError(
                f"the cluster's API is away: {_reason(error)}", "run the flow again: Jobs go on, and are adopted"
            ) from error
        self._stop.wait(self._next * random.uniform(0.5, 1.5))
        self._next = min(2 * self._next, LONGEST_PAUSE_SECONDS)


class JobWatch:
    """Follows one Job in a thread of its own: through time-outs, lost connections and restarts of the API server.

    Args:
        api: the cluster.
        name: of the Job.
    """

    def __init__(self, api: Api, name: str) -> None:
        self._api, self._name = api, name
        self._stop = threading.Event()
        self._news: queue.SimpleQueue[Object | Exception | None] = queue.SimpleQueue()
        threading.Thread(target=self._follow, name=f"watch {name}", daemon=True).start()

    def news(self, seconds: float) -> Object | None:
        """The Job as it is now.

        Args:
            seconds: to wait for a change.

        Returns:
            The Job; None where it is gone.

        Raises:
            TimeoutError: nothing new.
            StoreError: the API was away for too long.
        """
        try:
            found = self._news.get(timeout=seconds)
            while not self._news.empty():
                found = self._news.get()
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        """Stop following."""
        self._stop.set()

    def _follow(self) -> None:
        pause = Pause(self._api.patience_seconds, self._stop)
        version = ""
        while not self._stop.is_set():
            try:
                if not version:
                    version = self._look()
                    pause.recovered()
                version = self._watch(version)
                pause.recovered()
            except _GoneError:
                self._news.put(None)
                return
            except Exception as error:
                version = ""  # after any trouble, look again: a change may have been missed
                try:
                    pause.after(error)
                except Exception as final:
                    self._news.put(final)
                    return

    def _look(self) -> str:
        from kubernetes.client import ApiException

        try:
            job = self._api.batch.read_namespaced_job(self._name, self._api.namespace, _request_timeout=CALL_SECONDS)
        except ApiException as error:
            if error.status == 404:
                raise _GoneError from error
            raise
        found: Object = self._api._client.sanitize_for_serialization(job)
        self._news.put(found)
        return str(found["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> str:
        """Follow changes since a version until the API ends the watch; the version of the last change."""
        from kubernetes.watch import Watch

        stream = Watch().stream(
            self._api.batch.list_namespaced_job,
            self._api.namespace,
            field_selector=f"metadata.name={self._name}",
            resource_version=version,
            timeout_seconds=WATCH_SECONDS,
            allow_watch_bookmarks=True,
            _request_timeout=(CALL_SECONDS[0], WATCH_SECONDS + 15),
        )
        for event in stream:
            found: Mapping[str, Any] = event["raw_object"]
            version = str(found["metadata"]["resourceVersion"])
            if event["type"] == "DELETED":
                raise _GoneError
            if event["type"] != "BOOKMARK":
                self._news.put(dict(found))
            if self._stop.is_set():
                break
        return version


class _GoneError(Exception):
    """The Job is not there any more."""


@functools.cache
def _connect(kubeconfig: str) -> tuple[Any, str]:
    """(client, namespace of the credentials); those of the pod where it runs in one, else of the kubeconfig file."""
    from kubernetes import client, config

    settings = client.Configuration()
    try:
        if ACCOUNT_NAMESPACE.exists() and not kubeconfig:
            config.load_incluster_config(settings)
            namespace = ACCOUNT_NAMESPACE.read_text().strip()
        else:
            file = kubeconfig or None
            config.load_kube_config(file, client_configuration=settings)
            context = config.list_kube_config_contexts(file)[1]
            namespace = context["context"].get("namespace", "default")
    except config.ConfigException as error:
        raise InputError(
            f"no access to a cluster: {str(error).partition(chr(10))[0]}",
            "set KUBECONFIG, or run in a pod with a service account",
        ) from error
    settings.connection_pool_maxsize = CONNECTIONS
    settings.retries = 0  # calls are repeated here
    return client.ApiClient(settings), namespace


def _is_away(error: Exception) -> bool:
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    if isinstance(error, ApiException):
        return error.status in (*AWAY, GONE, 0, None)
    return isinstance(error, HTTPError | ConnectionError | TimeoutError)


def _refusal(error: Exception) -> Exception:
    from kubernetes.client import ApiException

    if isinstance(error, ApiException) and error.status == 403 and "exceeded quota" not in str(error.body):
        return StoreError(
            f"the cluster does not let us: {_reason(error)}", "see docs/kubernetes.md for what it must allow"
        )
    return error


def _reason(error: Exception) -> str:
    body = getattr(error, "body", None)
    try:
        return str(json.loads(body or "")["message"])
    except (ValueError, KeyError, TypeError):
        return (str(error).splitlines() or [type(error).__name__])[0][:300]
