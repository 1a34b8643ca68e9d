"""Says how far a job is: a bar in a terminal, lines in a log, and a small object in the store."""

import sys
import time
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from lenscore.artifacts.manifest import canonical_json
from lenscore.artifacts.store import Store
from lenscore.errors import StoreError

QUIET_SECONDS = 2.0
LINE_SECONDS = 10.0
STORE_SECONDS = 5.0
PROGRESS = "progress"


def progress_key(work: str, first_unit: int | None = None) -> str:
    """Where a run of a job says how far it is; runs of single units each have a place of their own.

    Args:
        work: folder of the job's working state.
        first_unit: that this run does; None for a run of all.
    """
    return f"{work}/{PROGRESS}.json" if first_unit is None else f"{work}/{PROGRESS}/{first_unit:06d}.json"


def first_unit_of(key: str) -> int:
    """The first unit of the run that has this place."""
    return int(key.rpartition("/")[2].removesuffix(".json"))


class Reporter:
    """Reports progress; nothing is said of work that takes less than two seconds.

    Args:
        store: gets a small object, which flows show; see progress_key.
        work: folder of the run's working state.
        name: of the job.
        total: rows of the whole job, where it is cut into units.
        unit_rows: rows of a unit.
        first_unit: of a run of single units.
    """

    def __init__(
        self,
        store: Store,
        work: str,
        name: str,
        total: int | None = None,
        unit_rows: int = 0,
        first_unit: int | None = None,
    ) -> None:
        self._store, self._key, self._name, self._total, self._unit_rows = (
            store,
            progress_key(work, first_unit),
            name,
            total,
            unit_rows,
        )
        self._started = self._stored = self._lined = time.monotonic()
        self._first = 0
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def start_unit(self, unit: int) -> None:
        """From now on, progress counts from this unit's first row."""
        self._first = unit * self._unit_rows
        self(0, None, {})

    def __call__(self, done: int, total: int | None, metrics: dict[str, Any]) -> None:
        now = time.monotonic()
        if now - self._started < QUIET_SECONDS:
            return
        if self._total is not None:
            done, total = self._first + done, self._total
        if sys.stderr.isatty():
            self._show_bar(done, total, metrics)
        elif now - self._lined >= LINE_SECONDS:
            self._lined = now
            print(
                f"{self._name} {done}{f'/{total}' if total else ''} {_text(metrics)}".rstrip(),
                file=sys.stderr,
                flush=True,
            )
        if now - self._stored >= STORE_SECONDS:
            self._stored = now
            self._save(done, total, metrics)

    def _show_bar(self, done: int, total: int | None, metrics: dict[str, Any]) -> None:
        if self._bar is None:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._bar = Progress(*columns, transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._name, total=total, note="")
        if self._task is not None:
            self._bar.update(self._task, completed=done, total=total, note=_text(metrics))
        if total is not None and done >= total:
            self._bar.stop()

    def _save(self, done: int, total: int | None, metrics: dict[str, Any]) -> None:
        try:
            self._store.put(
                self._key,
                canonical_json({"job": self._name, "done": done, "total": total, "metrics": metrics | _gpu_memory()}),
            )
        except (StoreError, ValueError):
            return  # progress is a courtesy: a store that stumbles here must not end the work


def _gpu_memory() -> dict[str, float]:
    """The most that this process had of its GPU, where it has one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    return {"gpu_memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 3)}


def _text(metrics: dict[str, Any]) -> str:
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in metrics.items()
    )
