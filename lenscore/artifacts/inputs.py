"""What a job is handed: its opened inputs, and where it runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lenscore.artifacts.artifact import Artifact
from lenscore.artifacts.manifest import Reference
from lenscore.errors import InputError


class Inputs:
    """Opened input artifacts by name."""

    def __init__(self, artifacts: Mapping[str, Sequence[Artifact]]) -> None:
        self._artifacts = {name: tuple(items) for name, items in artifacts.items()}

    def many(self, name: str) -> tuple[Artifact, ...]:
        """All artifacts of an input, in the order given; empty if there are none."""
        return self._artifacts.get(name, ())

    def one(self, name: str) -> Artifact:
        """The only artifact of an input.

        Raises:
            InputError: there is none, or more than one.
        """
        found = self.many(name)
        if len(found) != 1:
            raise InputError(
                f"input {name!r} has {len(found)} artifacts", f"hand over one, with --input {name}=KIND/ID"
            )
        return found[0]

    def optional(self, name: str) -> Artifact | None:
        """The artifact of an input, or None."""
        return self.one(name) if self.many(name) else None

    def either(self, *names: str) -> tuple[str, Artifact]:
        """The one input that is given, of several that exclude each other.

        Returns:
            (name, artifact).

        Raises:
            InputError: none of them is given, or more than one.
        """
        given = [name for name in names if self.many(name)]
        if len(given) != 1:
            raise InputError(f"of the inputs {' and '.join(names)} {len(given)} are given", "hand over exactly one")
        return given[0], self.one(given[0])

    @property
    def references(self) -> dict[str, tuple[Reference, ...]]:
        """What the manifest records."""
        return {name: tuple(item.reference for item in items) for name, items in self._artifacts.items() if items}


@dataclass(frozen=True)
class Runtime:
    """Where and how a job runs; nothing here can change a result.

    Args:
        workers: processes that a job may start.
        threads: threads of its own process.
        memory_gib: memory that it may fill.
        device: cpu or cuda.
        dask_scheduler: address of a Dask scheduler; None for one of its own.
        scratch: a folder for files in the making.
        rank: of this process, in a distributed run.
        ranks: number of processes in a distributed run.
    """

    workers: int = 2
    threads: int = 2
    memory_gib: float = 4.0
    device: str = "cpu"
    dask_scheduler: str | None = None
    scratch: Path = field(default_factory=lambda: Path.cwd())
    rank: int = 0
    ranks: int = 1
