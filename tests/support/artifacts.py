"""Run jobs in this process, through the real runner."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs.runner import make_task, run_task
from lenscore.artifacts import Artifact, Runtime, Store
from lenscore.config import Config


def run_job(
    store: Store, name: str, config: Config, inputs: Mapping[str, Sequence[Artifact]] | None = None, **runtime: Any
) -> Artifact:
    """Run a job on artifacts and return what it made."""
    references = {key: [item.reference for item in items] for key, items in (inputs or {}).items()}
    options: dict[str, Any] = {"workers": 1, "threads": 1, "scratch": Path(tempfile.gettempdir()), **runtime}
    return run_task(store, make_task(name, config, references), Runtime(**options))
