"""`python -m benchmarks [NAME ...] [--size S]`: run the benchmarks and write RESULTS.md.

Each runs in a process of its own, and what it found is written at once: one that fails loses nothing of the others. A
run of some names replaces their sections and keeps the rest.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.harness import Figure, machine, measure

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
NAMES = tuple(sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py")))
INTRODUCTION = """# Speed and memory

Written by `make bench`. Each row compares two ways of doing the same in one run, which also checks that they agree; a
ratio above 1 means that ours is better.
"""
COLUMNS = ("what", "ours", "theirs", "ratio", "to reach", "met", "note")


def main() -> None:
    """Run what is named, or all; exit with 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES, help=f"of {', '.join(NAMES)}")
    parser.add_argument("--size", type=float, default=1.0, help="of the data, relative to what each benchmark takes")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    if unknown := set(given.names) - set(NAMES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: choose of {', '.join(NAMES)}")
    failed = [name for name in given.names if not run(name, given.size, given.out)]
    if failed:
        sys.exit(f"did not finish: {', '.join(failed)}")


def run(name: str, size: float, out: Path) -> bool:
    """Run one benchmark and put its section into the file; False if it failed."""
    started = time.monotonic()
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            figures, error = process.submit(measure, name, size).result(), ""
    except Exception as reason:  # whatever it is, the other benchmarks go on
        figures, error = [], f"Did not finish: {type(reason).__name__}: {reason}".splitlines()[0]
    text = section(figures, size, time.monotonic() - started, error)
    out.write_text(page({**(sections(out.read_text()) if out.exists() else {}), name: text}))
    print(f"## {name}\n\n{text}\n", flush=True)
    return not error


def section(figures: list[Figure], size: float, seconds: float, error: str = "") -> str:
    """Where and how long one benchmark ran, and its figures."""
    lines = [f"{machine()}; size {size:g}, {seconds / 60:.1f} minutes.", ""]
    if error:
        return "\n".join([*lines, error])
    return "\n".join([*lines, _row(COLUMNS), _row(["---"] * len(COLUMNS)), *map(_figure, figures)])


def _figure(item: Figure) -> str:
    theirs = f"{item.theirs:.4g} {item.unit}: {item.against}"
    met = "yes" if item.passed else "**no**"
    return _row([item.what, f"{item.ours:.4g} {item.unit}", theirs, f"{item.ratio:.2f}", item.reach, met, item.note])


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def page(found: Mapping[str, str]) -> str:
    """RESULTS.md of sections by name; those of benchmarks that are no more are left out."""
    return "\n".join([INTRODUCTION, *(f"## {name}\n\n{found[name]}\n" for name in NAMES if name in found)])


def sections(text: str) -> dict[str, str]:
    """Sections of a RESULTS.md by name."""
    parts = (part.partition("\n\n") for part in text.split("\n## ")[1:])
    return {name: body.strip("\n") for name, _, body in parts}


if __name__ == "__main__":
    main()
