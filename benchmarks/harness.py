"""What a benchmark reports: a ratio measured side by side in one run."""

import importlib
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One row of RESULTS.md.

    Args:
        what: was measured.
        ours: our value.
        theirs: the baseline's value.
        unit: of both.
        against: the baseline.
        reach: what is to be reached.
        ratio: how many times better we are.
        passed: whether it is reached, and the results agree.
        note: sizes, conditions.
    """

    what: str
    ours: float
    theirs: float
    unit: str
    against: str
    reach: str
    ratio: float
    passed: bool
    note: str = ""


@dataclass(frozen=True)
class Seconds:
    """Time that something took: of the clock, and of all cores together."""

    wall: float
    cpu: float


def alternate(work: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Seconds]:
    """Best seconds of each, in turns, so that what else the machine does meets all alike.

    Args:
        work: what is measured, by name.
        rounds: turns.
    """
    found: dict[str, list[Seconds]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, one in work.items():
            wall, cpu = time.perf_counter(), time.process_time()
            one()
            found[name].append(Seconds(time.perf_counter() - wall, time.process_time() - cpu))
    return {name: Seconds(min(t.wall for t in all_), min(t.cpu for t in all_)) for name, all_ in found.items()}


def measure(name: str, size: float) -> list[Figure]:
    """What one benchmark finds; here, so that a process of its own can be told to."""
    found: list[Figure] = importlib.import_module(f"benchmarks.bench_{name}").main(size)
    return found


def machine() -> str:
    """The machine in words."""
    cores, gib = len(os.sched_getaffinity(0)), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{cores} {'core' if cores == 1 else 'cores'} of {_processor()}, {gib:.0f} GiB of memory, {platform.system()}; "
        f"Python {platform.python_version()}, numpy {version('numpy')}, torch {version('torch')}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    named = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    kind = f"{platform.machine()}{' with AVX-512' if 'avx512f' in info else ''}"
    return f"{named[0]} ({kind})" if named else kind
