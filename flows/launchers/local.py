"""Runs each job in a process of its own on this machine."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from flows.launchers.base import Progress, Request, job_error
from lenscore.artifacts import Reference

POLL_SECONDS = 1.0
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class LocalLauncher:
    """Runs jobs as `lenscore job run` in processes of their own.

    Args:
        workers: processes that a job may start.
        threads: threads of a job.
        memory_gib: memory that a job may fill.
        device: cpu, cuda or auto.
    """

    workers: int = 2
    threads: int = 2
    memory_gib: float = 4.0
    device: str = "auto"
    _stopping: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    def run(self, request: Request, log: Callable[[str], None], progress: Progress) -> Reference:
        """See Launcher.run."""
        with tempfile.TemporaryDirectory(prefix="lenscore-job-") as folder:
            config = Path(folder) / "config.json"
            config.write_text(json.dumps({request.job: dict(request.config)}))
            process = subprocess.Popen(
                self._command(request, config),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
                env=self._environment(),
            )
            lines = _Lines(process.stderr, log)
            try:
                _follow(process, lines, progress, self._stopping)
            except BaseException:
                _stop(process)
                raise
            finally:
                if process.returncode:
                    _stop(process)  # its own processes would live on, and keep the pipes open
                lines.join()
            output = process.stdout.read() if process.stdout else ""
        if process.returncode:
            raise job_error(request.job, process.returncode, lines.last)
        kind, _, id = output.strip().splitlines()[-1].partition("/")
        progress(1.0, "done")
        return Reference(kind=kind, id=id)

    def stop(self) -> None:
        """See Launcher.stop."""
        self._stopping.set()

    def _command(self, request: Request, config: Path) -> list[str]:
        inputs = [f"--input={name}={item}" for name, items in request.inputs.items() for item in items]
        return [
            sys.executable,
            "-m",
            "lenscore",
            "job",
            "run",
            request.job,
            f"--config={config}",
            f"--store={request.store}",
            *inputs,
            f"--workers={self.workers}",
            f"--threads={self.threads}",
            f"--memory-gib={self.memory_gib}",
            f"--device={self.device}",
        ]

    def _environment(self) -> dict[str, str]:
        threads = str(self.threads)
        # Threads that wait must sleep: beside another busy process, spinning halves the speed of both.
        return {
            "OMP_WAIT_POLICY": "passive",
            **os.environ,
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "PYTHONUNBUFFERED": "1",
        }


class _Lines:
    """Hands each line of a stream on as it comes, and keeps the last."""

    def __init__(self, stream: IO[str] | None, log: Callable[[str], None]) -> None:
        self.last = ""
        self._stream, self._log = stream, log
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream or ():
            text = line.rstrip()
            if text:
                self.last = text
                self._log(text)

    def join(self) -> None:
        """Wait for the end of the stream."""
        self._thread.join(STOP_SECONDS)


def _follow(process: "subprocess.Popen[str]", lines: _Lines, progress: Progress, stopping: threading.Event) -> None:
    while True:
        if stopping.is_set():
            raise KeyboardInterrupt
        try:
            process.wait(POLL_SECONDS)
            return
        except subprocess.TimeoutExpired:
            done, total = _counts(lines.last)
            if total:
                progress(min(done / total, 1.0), lines.last)


def _counts(line: str) -> tuple[int, int]:
    """(done, total) from a progress line, such as `embed 512/8000 images_per_second=700`."""
    for word in line.split():
        done, slash, total = word.partition("/")
        if slash and done.isdigit() and total.isdigit():
            return int(done), int(total)
    return 0, 0


def _stop(process: "subprocess.Popen[str]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(STOP_SECONDS)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
