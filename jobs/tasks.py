"""What a job would make: the identity of its artifact, worked out without running it."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.specs import JobSpec, find_job
from lenscore.artifacts import Artifact, Reference, Store
from lenscore.artifacts.manifest import artifact_id, canonical_json, sha256
from lenscore.config import Config
from lenscore.errors import DamagedError, InputError, NotFoundError


@dataclass(frozen=True)
class Task:
    """A job with its config and inputs: enough to know the artifact that it will make."""

    spec: JobSpec
    config: Config
    inputs: Mapping[str, tuple[Reference, ...]]
    source_sha256: str | None
    id: str

    @property
    def reference(self) -> Reference:
        """The artifact that it makes."""
        return Reference(kind=self.spec.output, id=self.id)

    @property
    def work(self) -> str:
        """Folder of its working state."""
        return f"work/{self.id}"


def make_task(name: str, config: Config, inputs: Mapping[str, Sequence[Reference]]) -> Task:
    """Work out what a job would make.

    Args:
        name: of the job.
        config: its configuration.
        inputs: artifacts by input name.

    Returns:
        The task, with the id of its artifact.

    Raises:
        InputError: an input is missing, unknown, of the wrong kind, or the config is of another job.
    """
    spec = find_job(name)
    if not isinstance(config, spec.config_class()):
        raise InputError(f"job {name} got a {type(config).__name__}", f"hand over a {spec.config}")
    given = {key: tuple(items) for key, items in inputs.items() if items}
    _check_inputs(spec, given)
    module = spec.module()
    source = sha256(canonical_json([list(item) for item in module.listing(config)])) if spec.reads_source else None
    id = artifact_id(name, module.VERSION, config.identity(), given, source)
    return Task(spec, config, given, source, id)


def find_finished(store: Store, task: Task) -> Artifact | None:
    """The task's artifact, if it is complete."""
    with contextlib.suppress(NotFoundError):
        return Artifact.open(store, task.spec.output, task.id)
    return None


def _check_inputs(spec: JobSpec, given: Mapping[str, tuple[Reference, ...]]) -> None:
    known = {item.name: item for item in spec.inputs}
    for name in given:
        if name not in known:
            raise InputError(f"job {spec.name} has no input {name!r}", f"it has {', '.join(known) or 'none'}")
    for item in spec.inputs:
        items = given.get(item.name, ())
        if item.arity in ("one", "many") and not items:
            raise InputError(
                f"job {spec.name} lacks its input {item.name!r}", f"give --input {item.name}={item.kinds[0]}/ID"
            )
        if item.arity in ("one", "optional") and len(items) > 1:
            raise InputError(f"job {spec.name} got {len(items)} artifacts for {item.name!r}", "give one")
        for reference in items:
            if reference.kind not in item.kinds:
                raise InputError(
                    f"input {item.name!r} of {spec.name} got {reference.kind}",
                    f"give an artifact of {' or '.join(item.kinds)}",
                )


def unit_count(task: Task, rows: int) -> int:
    return -(-rows // (task.spec.unit_rows or max(rows, 1)))


def unit_key(task: Task, unit: int) -> str:
    return f"{task.work}/units/{unit:06d}.json"


def done_units(store: Store, task: Task) -> set[int]:
    return {int(info.key.rpartition("/")[2].removesuffix(".json")) for info in store.list(f"{task.work}/units")}


def load_record(store: Store, key: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(store.get(key))
    except ValueError as error:
        raise DamagedError(f"{store.url}/{key} cannot be read", "remove it and run again") from error
    return found
