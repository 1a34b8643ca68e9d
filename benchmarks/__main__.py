"""`python -m benchmarks [NAME ...] [--size S]`: run the benchmarks and write RESULTS.md."""

import argparse
import importlib
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.harness import Figure

HERE = Path(__file__).parent
NAMES = tuple(sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py")))


def main() -> None:
    """Run what is named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES, help=f"of {', '.join(NAMES)}")
    parser.add_argument("--size", type=float, default=1.0, help="of the data, relative to what each benchmark takes")
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    given = parser.parse_args()
    sections = [(name, importlib.import_module(f"benchmarks.bench_{name}").main(given.size)) for name in given.names]
    text = page(sections, given.size)
    given.out.write_text(text)
    print(text)


def page(sections: Iterable[tuple[str, list[Figure]]], size: float) -> str:
    """RESULTS.md."""
    rows = [
        f"| {item.what} | {item.ours:.4g} {item.unit} | {item.against}: {item.theirs:.4g} {item.unit} | {item.ratio:.2f} | "
        f"{item.reach} | {'yes' if item.passed else '**no**'} | {item.note} |"
        for _, figures in sections
        for item in figures
    ]
    return (
        "# Speed and memory\n\n"
        f"Written by `make bench` (size {size:g}) on {datetime.now(UTC):%Y-%m-%d}, {_processor()}. Each row compares two ways "
        "of doing the same in one run, which also checks that they agree.\n\n"
        "| what | ours | against | ratio | to reach | reached | conditions |\n| --- | --- | --- | --- | --- | --- | --- |\n"
        + "\n".join(rows)
        + "\n"
    )


def _processor() -> str:
    import os

    return f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"


if __name__ == "__main__":
    main()
