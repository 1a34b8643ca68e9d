"""From what the command line was given to a running job."""

import json
import os
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jobs.finish import finish_task
from jobs.runner import plan_task, run_task, run_units, working_folder
from jobs.specs import find_job
from jobs.tasks import Task, find_finished
from lenscore.artifacts import Artifact, Reference, Runtime, Store
from lenscore.artifacts.lifecycle import resolve
from lenscore.config import Config
from lenscore.errors import InputError


def read_config(name: str, path: Path | None) -> Config:
    """Read a job's configuration.

    Args:
        name: of the job.
        path: TOML or JSON file with a section of that name; None for the defaults.

    Returns:
        The configuration.

    Raises:
        InputError: the file cannot be read, lacks the section, or a value is refused.
    """
    section = {} if path is None else read_sections(path).get(name, {})
    return parse_config(name, section)


def parse_config(name: str, section: dict[str, Any]) -> Config:
    """Check the values of a job's section.

    Raises:
        InputError: a value is refused; the first is named.
    """
    try:
        return find_job(name).config_class().model_validate(section)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in (name, *first["loc"]))
        raise InputError(
            f"{place} = {first.get('input')!r}: {first['msg']}", f"see `lenscore config explain {name}`"
        ) from error


def read_sections(path: Path) -> dict[str, Any]:
    """Read a TOML or JSON file.

    Raises:
        InputError: it is not there or not valid.
    """
    try:
        text = path.read_text()
        found: dict[str, Any] = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", "check the path") from error
    except ValueError as error:
        raise InputError(f"{path} is no valid {path.suffix or 'TOML'} file: {error}", "correct it") from error
    return found


def read_inputs(store: Store, texts: Sequence[str]) -> dict[str, list[Reference]]:
    """Inputs given as name=kind/id; the beginning of an id is enough."""
    found: dict[str, list[Reference]] = {}
    for text in texts:
        name, equals, artifact = text.partition("=")
        if not equals:
            raise InputError(f"input {text!r} is not of the form name=kind/id", "write it so")
        found.setdefault(name, []).append(resolve(store, artifact).reference)
    return found


def choose_runtime(
    device: str, workers: int, threads: int, memory_gib: float, dask_scheduler: str | None, scratch: Path
) -> Runtime:
    """Where the job runs; ranks of a distributed run come from torchrun's variables."""
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"unknown device {device!r}", "use auto, cpu or cuda")
    # torch is asked only where a GPU's driver is there: importing it takes seconds.
    if device == "auto":
        device = "cuda" if Path("/dev/nvidiactl").exists() and _has_gpu() else "cpu"
    rank, ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    return Runtime(workers, threads, memory_gib, device, dask_scheduler, scratch, rank, ranks)


def run_phase(
    store: Store, task: Task, runtime: Runtime, phase: str, units: str | None, whole_up_to: int = 0
) -> Artifact | None:
    """Run a job, or one phase of a sharded one; nothing where the artifact is there.

    Args:
        store: where.
        task: what.
        runtime: where it runs.
        phase: all, plan, units or finish.
        units: first:stop or index*count, for the units phase.
        whole_up_to: the plan phase does everything where there are at most that many units.

    Returns:
        The artifact, where the phase completes it.
    """
    if phase == "all":
        return run_task(store, task, runtime)
    if not task.spec.sharded:
        raise InputError(f"job {task.spec.name} is not sharded and has no phase {phase!r}", "use --phase all")
    finished = find_finished(store, task)
    if finished is not None:
        return finished
    if phase in ("plan", "units"):
        wanted = _unit_range(units)
        with working_folder(runtime) as placed:
            total = plan_task(store, task, placed)
            if phase == "units":
                run_units(store, task, placed, wanted and wanted(total))
        return run_task(store, task, runtime) if phase == "plan" and total <= whole_up_to else None
    if phase == "finish":
        return finish_task(store, task)
    raise InputError(f"unknown phase {phase!r}", "use all, plan, units or finish")


def _unit_range(text: str | None) -> Callable[[int], range] | None:
    """Units as they are written; what index*count says depends on how many there are."""
    if text is None:
        return None
    first, colon, stop = text.partition(":")
    if colon and first.isdigit() and stop.isdigit() and int(first) < int(stop):
        return lambda total: range(int(first), int(stop))
    index, star, count = text.partition("*")
    if star and index.isdigit() and count.isdigit() and int(count):
        return lambda total: range(int(index) * int(count), min((int(index) + 1) * int(count), total))
    raise InputError(
        f"units {text!r} is not of the form first:stop or index*count", "write 0:10 or 0*10 for the first ten"
    )


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
