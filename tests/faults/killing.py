"""Jobs in processes of their own that end themselves by SIGKILL at a chosen change of the store."""

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.launch import parse_config
from jobs.runner import run_task
from jobs.tasks import Task, make_task
from lenscore.artifacts import Reference, Runtime, Store
from tests.faults.chain import RUNTIME

WAIT_SECONDS = 300
HEAVY = (
    "torch",
    "torch._dynamo",
    "torchvision.models",
    "scipy.optimize",
    "scipy.stats",
    "scipy.spatial",
    "scipy.ndimage",
)
HEAVY += ("scipy.sparse.csgraph", "matplotlib.backends.backend_agg", "dask", "distributed", "astropy.table", "h5py")
HEAVY += ("astropy.io.votable", "galsim", "lenstronomy.LensModel.lens_model", "lenstronomy.LightModel.light_model")
HEAVY += ("faiss", "PIL.Image", "lenscore.artifacts", "jobs.launch", "jobs.runner", "tests.faults.killing")

Happened = Callable[[str, str], None]


@dataclass(frozen=True)
class Moment:
    """When a job is killed: at a put or delete of a key; before it, after it, or with half of the bytes written."""

    change: str
    key: str
    when: str = "after"


@contextmanager
def watched(before: Happened, after: Happened) -> Iterator[None]:
    """Call back at each change of any store: ("put" or "delete", key)."""
    names = ("put", "put_file", "delete")
    kept = {name: getattr(Store, name) for name in names}

    def wrap(name: str) -> Callable[..., Any]:
        def change(self: Store, key: str, *arguments: Any, **options: Any) -> Any:
            kind = name.partition("_")[0]
            before(kind, key)
            done = kept[name](self, key, *arguments, **options)
            after(kind, key)
            return done

        return change

    try:
        for name in names:
            setattr(Store, name, wrap(name))
        yield
    finally:
        for name, method in kept.items():
            setattr(Store, name, method)


def run_in_process(store: Store, task: Task, folder: Path, moment: Moment | None = None) -> int:
    """Run a task in a process of its own, started by a server that has loaded all that jobs need.

    Args:
        store: a folder.
        task: what to run.
        folder: for scratch.
        moment: when it ends itself; None for a run to the end.

    Returns:
        How it ended: 0, or the negative number of the signal.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(HEAVY))
    inputs = {name: [(item.kind, item.id) for item in items] for name, items in task.inputs.items()}
    config = task.config.model_dump(mode="json")
    process = context.Process(
        target=_run, args=(store.url, task.spec.name, json.dumps(config), inputs, str(folder), moment)
    )
    process.start()
    process.join(WAIT_SECONDS)
    if process.is_alive():
        process.kill()
        raise TimeoutError(f"{task.spec.name} did not end in {WAIT_SECONDS} s")
    return int(process.exitcode or 0)


def _run(
    url: str, job: str, config: str, inputs: Mapping[str, Sequence[tuple[str, str]]], folder: str, moment: Moment | None
) -> None:
    store = Store.open(url)
    references = {name: [Reference(kind=kind, id=id) for kind, id in items] for name, items in inputs.items()}
    task = make_task(job, parse_config(job, json.loads(config)), references)

    def before(change: str, key: str) -> None:
        if moment is not None and (change, key) == (moment.change, moment.key) and moment.when != "after":
            if moment.when == "half":
                _write_half(store.path(key))
            _die()

    def after(change: str, key: str) -> None:
        if moment is not None and (change, key, "after") == (moment.change, moment.key, moment.when):
            _die()

    with watched(before, after):
        run_task(store, task, Runtime(**RUNTIME, scratch=Path(folder) / "scratch"))
    sys.stdout.flush()
    os._exit(0)


def _write_half(path: Path) -> None:
    """What a store in a folder leaves of an object that it was writing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{path.name}#1").write_bytes(b"half")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
