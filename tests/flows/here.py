"""A launcher that runs jobs in this process, for tests of what flows do around them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from flows.launchers import Progress, Request
from jobs.launch import parse_config
from jobs.runner import make_task, run_task
from lenscore.artifacts import Reference, Runtime, Store


@dataclass
class HereLauncher:
    """Runs jobs here, and remembers which."""

    scratch: Path
    ran: list[str] = field(default_factory=list)

    def run(self, request: Request, log: Callable[[str], None], progress: Progress) -> Reference:
        """See Launcher.run."""
        self.ran.append(request.job)
        planned = make_task(request.job, parse_config(request.job, dict(request.config)), request.inputs)
        runtime = Runtime(workers=1, threads=1, scratch=self.scratch)
        return run_task(Store.open(request.store), planned, runtime).reference
