"""`python -m benchmarks.science`: does the representation beat an untrained network and the pixels? Writes docs/science.md.

For each seed: a simulated sky, the pipeline up to the evaluation, and runs of growing length; then skies of growing
size. Every figure is on lenses that no classifier was fitted to. Finished work is kept in the store and not repeated.
"""

import argparse
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flows.settings import Settings
from jobs.runner import make_task, run_task
from lenscore.artifacts import Artifact, Runtime, Store
from lenscore.figures.plotting import as_png, figure, legend_if_any

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "configs" / "science.toml"
DOCS = ROOT / "docs"
SEEDS = (0, 1, 2)
METHODS = ("pretrained", "pca", "pca of views", "pretrained + pca", "untrained", "untrained + pca", "random")


@dataclass(frozen=True)
class Point:
    """A run: seed of everything, objects of the sky, steps of pretraining."""

    seed: int
    objects: int
    steps: int


def run_point(store: str, point: Point, threads: int) -> dict[str, Any]:
    """Run the pipeline up to the evaluation, in this process.

    Args:
        store: address of the store.
        point: what to run.
        threads: of this process.

    Returns:
        evaluation.json with the point's own values.
    """
    settings, opened = Settings.read(CONFIG), Store.open(store)
    scratch = Path(os.environ.get("TMPDIR", "/tmp"))
    runtime = Runtime(workers=threads, threads=threads, memory_gib=6.0, scratch=scratch)

    def make(job: str, changes: dict[str, Any] | None = None, **inputs: Artifact | Sequence[Artifact]) -> Artifact:
        config = settings.config(job, settings.run.training_release, **(changes or {}))
        given = {name: [item] if isinstance(item, Artifact) else list(item) for name, item in inputs.items()}
        references = {name: [item.reference for item in items] for name, items in given.items()}
        return run_task(opened, make_task(job, config, references), runtime)

    sky = make("simulate", {"seed": point.seed, "objects": point.objects})
    cutouts = make("ingest", sky=sky)
    matches = make("crossmatch", cutouts=cutouts, lens_list=make("lens_list", sky=sky))
    labels = make("label", cutouts=cutouts, matches=matches)
    sample = make("sample", {"rows": point.objects}, cutouts=cutouts)
    fits = make("fit_augmentations", cutouts=cutouts)
    models = {
        "pretrained": make(
            "pretrain", {"seed": point.seed, "steps": point.steps}, cutouts=sample, augmentation_fits=fits
        ),
        "untrained": make("pretrain", {"seed": point.seed, "steps": 0}, cutouts=sample),
        "pca": make("fit_pca", cutouts=sample),
    }
    embeddings = [
        make("embed", {"average_views": name != "pca"}, cutouts=cutouts, model=model) for name, model in models.items()
    ]
    embeddings.append(make("embed", cutouts=cutouts, model=models["pca"]))
    evaluation = make("evaluate", {"seed": point.seed}, sky=sky, cutouts=cutouts, labels=labels, embeddings=embeddings)
    trained = models["pretrained"].manifest
    return {
        **evaluation.read_json("evaluation.json"),
        "seed": point.seed,
        "objects": point.objects,
        "steps": point.steps,
        "loss": trained.metrics.get("loss"),
        "seconds": trained.seconds,
    }


def main() -> None:
    """Run all points and write docs/science.md with its figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.science", description=__doc__)
    parser.add_argument("--store", default="science/store")
    parser.add_argument(
        "--steps", type=int, nargs="+", default=[750, 3000], help="lengths of the runs; the last one is the result"
    )
    parser.add_argument(
        "--objects", type=int, nargs="+", default=[8192], help="sizes of the skies; the last one is the result"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--processes", type=int, default=2, help="runs at once, one thread each")
    given = parser.parse_args()
    last = given.objects[-1]
    points = [Point(seed, last, steps) for steps in given.steps for seed in given.seeds]
    points += [Point(seed, objects, given.steps[-1]) for objects in given.objects[:-1] for seed in given.seeds]
    with ProcessPoolExecutor(given.processes) as pool:
        waiting = [pool.submit(run_point, given.store, point, 1) for point in points]
        results = [item.result() for item in waiting]
    (DOCS / "science").mkdir(exist_ok=True)
    (DOCS / "science" / "results.json").write_text(json.dumps([_short(item) for item in results], indent=1) + "\n")
    write_page([_short(item) for item in results])


def write_page(results: list[dict[str, Any]]) -> None:
    """Write docs/science.md and docs/science/curve.png from the results."""
    (DOCS / "science" / "curve.png").write_bytes(draw_curve(results))
    (DOCS / "science.md").write_text(page(results))


def page(results: list[dict[str, Any]]) -> str:
    """The page."""
    longest = _longest(results)
    seeds = [item["seed"] for item in longest]
    head = "| | " + " | ".join(f"seed {seed}" for seed in seeds) + " |\n| --- |" + " --- |" * len(seeds) + "\n"
    precision = "".join(_row(name, [item["average_precision"].get(name) for item in longest]) for name in METHODS)
    similar = "".join(_row(name, [item["similar"].get(name) for item in longest], ".1f") for name in METHODS)
    first = longest[0]
    return (
        "# What the representation is worth\n\n"
        f"Written by `make science`: simulated skies of {first['objects']} objects, {first['steps']} steps of pretraining "
        "(configs/science.toml), a sky and a start of its own for each seed. All figures are on lenses that are not listed and "
        "that no classifier was fitted to; strengths and numbers of components are chosen on a validation part, for all "
        "methods alike.\n\n"
        f"## Average precision of the linear classifier\n\n{head}{precision}\n"
        f"## Lenses among the first 100 of a similarity search from three known lenses\n\n{head}{similar}\n"
        f"## What holds on every seed\n\n{verdicts(longest)}\n"
        "## How it grows\n\n![average precision against steps of pretraining](science/curve.png)\n\n"
        f"{_table(results)}"
    )


def verdicts(longest: list[dict[str, Any]]) -> str:
    """One line for each claim: whether it holds on all seeds, said as it is."""
    claims = (
        ("the pretrained network beats the untrained one", "pretrained", ("untrained",)),
        ("the representation alone beats the pixels", "pretrained", ("pca", "pca of views")),
        ("both together beat each", "pretrained + pca", ("pretrained", "pca")),
    )
    lines = []
    for says, ours, others in claims:
        holds = [
            all(item["average_precision"][ours] > item["average_precision"][other] for other in others)
            for item in longest
        ]
        lines.append(f"- {says}: {'yes, on every seed' if all(holds) else f'on {sum(holds)} of {len(holds)} seeds'}\n")
    return "".join(lines)


def draw_curve(results: list[dict[str, Any]]) -> bytes:
    """Average precision against steps, a line a seed, with the baselines."""
    with figure(7, 4.5) as (drawn, axes):
        largest = max(item["objects"] for item in results)
        for seed in sorted({item["seed"] for item in results}):
            mine = sorted(
                (item for item in results if item["seed"] == seed and item["objects"] == largest),
                key=lambda item: item["steps"],
            )
            axes.plot(
                [item["steps"] for item in mine],
                [item["average_precision"]["pretrained"] for item in mine],
                "o-",
                color=f"C{seed}",
                label=f"pretrained, seed {seed}",
            )
            axes.axhline(
                mine[-1]["average_precision"]["pca"], color=f"C{seed}", ls=":", label=f"pixels (PCA), seed {seed}"
            )
            axes.axhline(mine[-1]["average_precision"]["untrained"], color=f"C{seed}", ls="--", lw=0.7)
        axes.set(xlabel="steps of pretraining", ylabel="average precision on held-out lenses", ylim=(0, None))
        legend_if_any(axes)
        return as_png(drawn)


def _short(result: dict[str, Any]) -> dict[str, Any]:
    return {
        "seed": result["seed"],
        "objects": result["objects"],
        "steps": result["steps"],
        "loss": result["loss"],
        "seconds": round(result["seconds"], 1),
        "average_precision": {item["method"]: item["average_precision"]["value"] for item in result["methods"]},
        "similar": {item["encoder"]: item["found"] for item in result["similarity"]},
    }


def _longest(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    steps, objects = max(item["steps"] for item in results), max(item["objects"] for item in results)
    return [item for item in results if (item["steps"], item["objects"]) == (steps, objects)]


def _row(name: str, values: Sequence[float | None], form: str = ".3f") -> str:
    if all(value is None for value in values):
        return ""
    return f"| {name} | " + " | ".join("-" if value is None else format(value, form) for value in values) + " |\n"


def _table(results: list[dict[str, Any]]) -> str:
    lines = (
        "| objects | steps | seeds | pretrained: mean (lowest - highest) | loss |\n| --- | --- | --- | --- | --- |\n"
    )
    for objects, steps in sorted({(item["objects"], item["steps"]) for item in results}):
        mine = [item for item in results if (item["objects"], item["steps"]) == (objects, steps)]
        values = [item["average_precision"]["pretrained"] for item in mine]
        lines += (
            f"| {objects} | {steps} | {len(mine)} | {np.mean(values):.3f} ({min(values):.3f} - {max(values):.3f}) | "
            f"{np.mean([item['loss'] for item in mine]):.2f} |\n"
        )
    return lines


if __name__ == "__main__":
    main()
