"""Prefect's server inside this process, where no other is configured."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

QUIET = {
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLI_PROMPT": "false",
    "DO_NOT_TRACK": "1",
}


@contextmanager
def embedded_server() -> Iterator[None]:
    """Settings under which flows run without a server of their own; PREFECT_API_URL wins where it is set."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        _stop_server()


def _stop_server() -> None:
    """A command that fails leaves without Python's exit handlers, which would have stopped the server."""
    module = sys.modules.get("prefect.server.api.server")
    if module is not None:
        for server in list(module.SubprocessASGIServer._instances.values()):
            server.stop()
