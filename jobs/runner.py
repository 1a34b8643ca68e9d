"""Runs a job: opens its inputs, gives it a sink, checks what it wrote, and writes the manifest last."""

import contextlib
import errno
import resource
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from jobs.finish import finish_task, forget_work
from jobs.progress import Reporter
from jobs.tasks import Task, done_units, find_finished, load_record, make_task, unit_count, unit_key
from lenscore.artifacts import ArraySpec, Artifact, Checkpoints, FileInfo, Inputs, Runtime, Sink, Store
from lenscore.artifacts.manifest import canonical_json
from lenscore.errors import InputError, LensError, NotFoundError, StoreError

__all__ = ["finish_task", "make_task", "plan_task", "run_task", "run_units", "working_folder"]

UNIT_TRIES = 2


def run_task(store: Store, task: Task, runtime: Runtime) -> Artifact:
    """Run a task from wherever it was left, or do nothing if it is complete.

    Args:
        store: where inputs lie and the output goes.
        task: what to make.
        runtime: where it runs.

    Returns:
        The complete artifact.

    Raises:
        LensError: what the job, its input or the store has to say.
    """
    finished = find_finished(store, task)
    if finished is not None:
        forget_work(store, task)  # a run that was killed after its last write has left it
        return finished
    try:
        with working_folder(runtime) as placed:
            if task.spec.sharded:
                plan_task(store, task, placed)
                run_units(store, task, placed)
            elif not store.exists(f"{task.work}/whole.json"):
                _run_whole(store, task, placed)
            return finish_task(store, task) if runtime.rank == 0 else _wait_for(store, task)
    except NotFoundError:
        # Another run of the same task came first and has tidied up behind itself.
        finished = find_finished(store, task)
        if finished is None:
            raise
        forget_work(store, task)
        return finished


def plan_task(store: Store, task: Task, runtime: Runtime) -> int:
    """Fix the rows of a sharded task; done once.

    Returns:
        Number of units.
    """
    key = f"{task.work}/plan.json"
    if not store.exists(key):
        started = time.perf_counter()
        sink = _sink(store, task, runtime, Reporter(store, task.work, f"{task.spec.name}: plan"))
        rows = task.spec.module().plan(task.config, _open_inputs(store, task), sink, runtime)
        sink.close()
        arrays = {path: asdict(spec) for path, spec in sink.arrays.items()}
        record = {**sink.record(), "rows": rows, "arrays": arrays, **_cost(started, runtime)}
        store.put(key, canonical_json(record), create_only=True)
    return unit_count(task, load_record(store, key)["rows"])


def run_units(store: Store, task: Task, runtime: Runtime, units: Iterable[int] | None = None) -> None:
    """Run the units of a planned task that are not done yet.

    Args:
        store: where.
        task: planned.
        runtime: where it runs.
        units: which; None for all.

    Raises:
        LensError: a unit failed twice; the others were done before this is said.
    """
    plan = load_record(store, f"{task.work}/plan.json")
    arrays = {
        path: ArraySpec(**{**spec, "row_shape": tuple(spec["row_shape"])}) for path, spec in plan["arrays"].items()
    }
    planned = {info["path"]: FileInfo(**info) for info in plan["files"]}
    total = unit_count(task, plan["rows"])
    wanted = range(total) if units is None else sorted(units)
    if wanted and wanted[-1] >= total:
        raise InputError(f"{task.spec.name} has {total} units, there is no unit {wanted[-1]}", f"use 0 to {total - 1}")
    done = done_units(store, task)
    inputs = _open_inputs(store, task)
    failed: dict[int, LensError] = {}
    place = None if units is None or not wanted else wanted[0]
    reporter = Reporter(store, task.work, task.spec.name, plan["rows"], task.spec.unit_rows or 1, place)
    for unit in wanted:
        if unit in done:
            continue
        reporter.start_unit(unit)
        try:
            _run_unit(store, task, runtime, inputs, unit, plan["rows"], arrays, planned, reporter)
        except LensError as error:
            failed[unit] = error
    if failed:
        unit, first = next(iter(failed.items()))
        what = f"{len(failed)} of {total} units of {task.spec.name} failed, the first is {unit}: {first.what}"
        raise type(first)(what, first.remedy)


def _run_whole(store: Store, task: Task, runtime: Runtime) -> None:
    started = time.perf_counter()
    sink = _sink(store, task, runtime, Reporter(store, task.work, task.spec.name))
    checkpoints = _QuietCheckpoints(store, task.work) if runtime.rank else Checkpoints(store, task.work)
    task.spec.module().run(task.config, _open_inputs(store, task), sink, checkpoints, runtime)
    sink.close()
    if runtime.rank == 0:
        store.put(f"{task.work}/whole.json", canonical_json({**sink.record(), **_cost(started, runtime)}))


def _run_unit(
    store: Store,
    task: Task,
    runtime: Runtime,
    inputs: Inputs,
    unit: int,
    rows: int,
    arrays: dict[str, ArraySpec],
    planned: dict[str, FileInfo],
    reporter: Reporter,
) -> None:
    size = task.spec.unit_rows or rows
    span = range(unit * size, min((unit + 1) * size, rows))
    for attempt in range(UNIT_TRIES):
        started = time.perf_counter()
        sink = Sink(
            store,
            task.spec.output,
            task.id,
            runtime.scratch,
            unit=unit,
            rows=span,
            arrays=arrays,
            planned=planned,
            progress=reporter,
        )
        try:
            task.spec.module().run(
                task.config, inputs, sink, Checkpoints(store, f"{task.work}/unit-{unit:06d}"), runtime
            )
            sink.close()
        except StoreError:
            if attempt + 1 == UNIT_TRIES:
                raise
            continue
        record = {**sink.record(), **_cost(started, runtime)}
        store.put(unit_key(task, unit), canonical_json(record), create_only=True)
        return


def _sink(store: Store, task: Task, runtime: Runtime, reporter: Reporter) -> Sink:
    kind = _QuietSink if runtime.rank else Sink
    return kind(store, task.spec.output, task.id, runtime.scratch, progress=reporter)


class _QuietSink(Sink):
    """The sink of all ranks but the first: nothing is written."""

    def _put(self, path: str, data: bytes | Path, rows: int = -1, first_wins: bool = False) -> None:
        return None

    def progress(self, done: int, total: int | None = None, **metrics: Any) -> None:
        return None


class _QuietCheckpoints(Checkpoints):
    """The checkpoints of all ranks but the first: read only."""

    def save(self, step: int, files: Mapping[str, bytes]) -> None:
        return None


def _open_inputs(store: Store, task: Task) -> Inputs:
    return Inputs(
        {name: [Artifact.open(store, item.kind, item.id) for item in items] for name, items in task.inputs.items()}
    )


def _cost(started: float, runtime: Runtime) -> dict[str, float]:
    seconds = time.perf_counter() - started
    gpus = runtime.ranks if runtime.device.startswith("cuda") else 0
    return {"seconds": seconds, "gpu_seconds": seconds * gpus, "peak_memory_gib": _peak_memory_gib()}


def _peak_memory_gib() -> float:
    """Peak of this process, or of its largest child. getrusage would also count what it was forked from."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    try:
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        own = int(line.split()[1])
    except (OSError, StopIteration):
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(max(own, children) / 2**20, 3)


def _wait_for(store: Store, task: Task) -> Artifact:
    while True:
        finished = find_finished(store, task)
        if finished is not None:
            return finished
        time.sleep(1)


@contextlib.contextmanager
def working_folder(runtime: Runtime) -> Iterator[Runtime]:
    """The same runtime with a scratch folder of its own, removed at the end; a full disk becomes one clear line."""
    try:
        runtime.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="lenscore-", dir=runtime.scratch) as folder:
            yield replace(runtime, scratch=Path(folder))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StoreError(
            f"no space left for {error.filename or 'scratch files'}", "free some space and run again"
        ) from error
