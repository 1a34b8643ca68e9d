"""Runs a launcher in a thread of a test, and waits for what it says."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from flows.launchers import Request
from flows.launchers.cluster import ClusterSettings
from flows.launchers.kubernetes import KubernetesLauncher
from jobs.launch import parse_config
from lenscore.artifacts import Artifact, Reference, Store

PLAIN = {"lens_fraction": 0.0, "ring_fraction": 0.0, "merger_fraction": 0.0}
WAIT_SECONDS = 400


class Flow:
    """A launcher's run of one job.

    Args:
        settings: of the cluster.
        store: of the artifacts.
        job: its name.
        config: its settings.
        inputs: artifacts by name.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        store: Store,
        job: str,
        config: Mapping[str, Any],
        inputs: Mapping[str, tuple[Reference, ...]] | None = None,
    ) -> None:
        self.launcher = KubernetesLauncher(ClusterSettings.model_validate(settings))
        self.store, self.lines = store, list[str]()
        parsed = parse_config(job, dict(config)).model_dump(mode="json")
        self._request = Request(job, parsed, inputs or {}, store.url, release="demo-dr1")
        self._made: Reference | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def hear(self, text: str) -> str:
        """Wait for a line that holds a text."""
        wait_for(f"{text!r}", lambda: any(text in line for line in self.lines) or self._ended())
        return next(line for line in self.lines if text in line)

    def made(self) -> Artifact:
        """Wait for the artifact.

        Raises:
            LensError: the run's.
        """
        wait_for("the end of the run", lambda: not self._thread.is_alive())
        if self._error is not None:
            raise self._error
        assert self._made is not None
        return Artifact.open(self.store, self._made.kind, self._made.id)

    def _ended(self) -> bool:
        """Say why nothing more will be heard."""
        if self._thread.is_alive():
            return False
        raise AssertionError(f"ended with {self._error!r}, having said {self.lines}")

    def _run(self) -> None:
        try:
            self._made = self.launcher.run(self._request, self.lines.append, lambda share, line: None)
        except BaseException as error:
            self._error = error


def wait_for(what: str, holds: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not in {seconds} s: {what}"
        time.sleep(0.2)
