"""A Prefect server of the tests' own, on SQLite and a free port, and a worker."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.support.s3 import free_port

READY_SECONDS = 600


@contextmanager
def prefect_server(folder: Path) -> Iterator[dict[str, str]]:
    """Run one, with its automations; yields the environment of its clients, whose settings this process has too."""
    port = free_port()
    environment = {
        **os.environ,
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder}/prefect.db",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "DO_NOT_TRACK": "1",
    }
    with (
        _process(["server", "start", "--host", "127.0.0.1", "--port", str(port)], environment, folder / "server.log"),
        temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}),
    ):
        _wait(f"{environment['PREFECT_API_URL']}/health", folder / "server.log")
        yield environment


@contextmanager
def process_worker(environment: dict[str, str], pool: str, log: Path) -> Iterator[None]:
    """Run a worker that starts flow runs as processes."""
    quick = {**environment, "PREFECT_WORKER_QUERY_SECONDS": "2", "PREFECT_WORKER_PREFETCH_SECONDS": "2"}
    with _process(["worker", "start", "--pool", pool, "--type", "process"], quick, log):
        yield


@contextmanager
def _process(words: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", *words],
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(address: str, log: Path) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        try:
            if httpx.get(address, timeout=5).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise TimeoutError(f"no Prefect server after {READY_SECONDS} s:\n{log.read_text()[-2000:]}")
