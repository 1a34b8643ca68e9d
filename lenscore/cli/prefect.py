"""Prefect's server inside this process, where no other is configured."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

QUIET = {
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",  # the first start makes the database
    "PREFECT_CLI_PROMPT": "false",
    "DO_NOT_TRACK": "1",
}


@contextmanager
def embedded_server() -> Iterator[None]:
    """Settings under which flows run without a server of their own; PREFECT_API_URL wins where it is set."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    yield
