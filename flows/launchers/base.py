"""What every launcher does."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lenscore.artifacts import Reference
from lenscore.errors import ConflictError, DamagedError, InputError, LensError, NotFoundError, StoreError

ERRORS = {kind.exit_code: kind for kind in (InputError, NotFoundError, StoreError, DamagedError, ConflictError)}

Progress = Callable[[float, str], None]
"""Called with the share that is done (0..1) and a line for people."""


@dataclass(frozen=True)
class Request:
    """A job to run.

    Args:
        job: its name.
        config: values of its section.
        inputs: artifacts by input name.
        store: the store's address.
        release: that it works on, for people.
        run: the flow run that asks, for people.
    """

    job: str
    config: Mapping[str, Any]
    inputs: Mapping[str, tuple[Reference, ...]]
    store: str
    release: str = ""
    run: str = ""


class Launcher(Protocol):
    """Runs jobs somewhere; every launcher passes tests/flows/launcher_contract.py."""

    def run(self, request: Request, log: Callable[[str], None], progress: Progress) -> Reference:
        """Run a job to its end, or adopt it where it runs already.

        Args:
            request: what.
            log: gets each line that the job prints.
            progress: gets how far it is.

        Returns:
            The artifact that it made.

        Raises:
            LensError: the job failed, in one line with the remedy.
        """

    def stop(self) -> None:
        """End what runs, or withdraw from it: each `run` raises KeyboardInterrupt."""


def job_error(job: str, code: int, last: str) -> LensError:
    """The error of a job that ended badly.

    Args:
        job: its name.
        code: its exit code; -9 for SIGKILL, and so on.
        last: the last line that it printed.
    """
    if code < 0:
        name = signal.Signals(-code).name
        hint = "give it more memory, or less work at once" if name == "SIGKILL" else "run the flow again"
        return StoreError(f"job {job} was ended by {name}", f"{hint}; finished work is kept")
    what, _, remedy = last.removeprefix("error: ").rpartition("; ")
    kind = ERRORS.get(code, LensError)
    return kind(f"job {job}: {what or last or f'exit code {code}'}", remedy or "run it alone with --debug to see why")
