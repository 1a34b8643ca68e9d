"""The demo: discover on one simulated release, rescore on the next, and what came of it, in words."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flows.discover import discover
from flows.launchers import LocalLauncher
from flows.report import describe_changes
from flows.rescore import rescore
from flows.settings import Settings
from flows.steps import open_made
from lenscore.artifacts import Artifact, Store
from lenscore.artifacts.lifecycle import copy_out
from lenscore.classify.report import headline, rows

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "demo.toml"
FOLDERS = {"catalogue": "catalogue", "sheets": "sheets"}


def run_demo(out: Path, config: Path | None = None) -> None:
    """Run the demo and print what was found.

    Args:
        out: folder for the store and the results.
        config: another run file; its second [release.…] is re-scored.
    """
    started, config = time.monotonic(), config or CONFIG
    settings, store = Settings.read(config), Store.open(str(out / "store")).url
    launcher = LocalLauncher(workers=2, threads=2, memory_gib=4.0)
    made = discover(config, store, launcher)
    later = [name for name in settings.sections.get("release", {}) if name not in settings.run.releases]
    again = [(name, rescore(config, name, store, launcher)) for name in later]
    text = "\n".join(_report(Store.open(store), out, settings.run.survey, made, again))
    (out / "report.md").write_text(f"{text}\n")
    print(
        f"\n{text}\n\n{time.monotonic() - started:.0f} s in all; everything is in {out}/, this text in {out / 'report.md'}"
    )


def _report(
    store: Store, out: Path, survey: str, made: dict[str, str], again: list[tuple[str, dict[str, str]]]
) -> Iterator[str]:
    if "evaluation" in made:
        yield from _found(open_made(store, made["evaluation"]).read_json("evaluation.json"))
    for name, folder in FOLDERS.items():
        for path, _ in copy_out(open_made(store, made[name]), out / folder, _shown(open_made(store, made[name]))):
            if path in ("catalogue.csv", "README.md", "index.html", "sheet-0001.png"):
                yield f"{folder}: {out / folder / path}"
    for release, results in again:
        yield from _changes(store, release, results)
    yield ""
    yield f"Go on: `lenscore artifacts ls --store {out}/store`, `lenscore candidates get {survey} --store {out}/store --format fits`,"
    yield f"open {out}/sheets/index.html to grade, then `lenscore run publish {survey} --config configs/demo.toml --store {out}/store --grades grades.csv`."


def _found(evaluation: dict[str, Any]) -> Iterator[str]:
    yield "# What was found, held against the truth of the simulated sky"
    yield ""
    yield headline(evaluation)
    yield ""
    table = rows(evaluation)
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for i, row in enumerate(table):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        if i == 0:
            yield "| " + " | ".join("-" * width for width in widths) + " |"
    yield ""


def _changes(store: Store, release: str, results: dict[str, str]) -> Iterator[str]:
    yield ""
    yield f"# What changed with {release}"
    yield ""
    if "comparison" not in results:
        yield "There was nothing to compare with."
        return
    yield describe_changes(open_made(store, results["comparison"]).read_json("summary.json"))


def _shown(artifact: Artifact) -> list[str]:
    return [path for path in artifact.files if not path.endswith(".parquet") or path == "catalogue.parquet"]
