"""What every launcher does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lenscore.artifacts import Reference

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
    """

    job: str
    config: Mapping[str, Any]
    inputs: Mapping[str, tuple[Reference, ...]]
    store: str


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
