"""`python -m benchmarks.science`: does the representation beat an untrained network and the pixels? Writes docs/science.md.

For each seed: a simulated sky, the pipeline up to the evaluation, and runs of growing length; then skies of growing
size. Every figure is on lenses that no classifier was fitted to. Finished work is kept in the store and not repeated.
"""

import argparse
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
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
ENCODERS = ("pretrained", "untrained", "pca")
TURNED = "turned "
CLAIMS = (
    ("the pretrained network beats the untrained one", "pretrained", ("untrained",)),
    ("the representation alone beats the pixels", "pretrained", ("pca",)),
    ("both together beat each", "pretrained + pca", ("pretrained", "pca")),
)


@dataclass(frozen=True)
class Point:
    """A run: seed of everything, objects of the sky, steps of pretraining, network and its field."""

    seed: int
    objects: int
    steps: int
    arch: str
    input_px: int


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
    network = {"arch": point.arch, "input_px": point.input_px}
    encoder = {**settings.sections["pretrain"]["encoder"], **network}
    models = {
        "pretrained": make(
            "pretrain",
            {"seed": point.seed, "steps": point.steps, "encoder": encoder},
            cutouts=sample,
            augmentation_fits=fits,
        ),
        "untrained": make("pretrain", {"seed": point.seed, "steps": 0, "encoder": encoder}, cutouts=sample),
        "pca": make("fit_pca", {"encoder": encoder}, cutouts=sample),
    }
    embeddings = [
        make("embed", {"average_views": turned}, cutouts=cutouts, model=models[name])
        for turned in (False, True)
        for name in ENCODERS
    ]
    evaluation = make(
        "evaluate",
        {"seed": point.seed, "encoders": names(), "combinations": combinations()},
        sky=sky,
        cutouts=cutouts,
        labels=labels,
        embeddings=embeddings,
    )
    trained = models["pretrained"].manifest
    found = evaluation.read_json("evaluation.json")
    return {
        **asdict(point),
        "loss": trained.metrics.get("loss"),
        "seconds": round(trained.seconds, 1),
        "lenses": found["lenses"],
        "pool": found["pool"],
        "average_precision": {item["method"]: item["average_precision"]["value"] for item in found["methods"]},
        "similar": {item["encoder"]: item["found"] for item in found["similarity"]},
    }


def names() -> tuple[str, ...]:
    """Names of the embeddings: each encoder on one view, then on the mean of eight."""
    return (*ENCODERS, *(TURNED + name for name in ENCODERS))


def combinations() -> tuple[tuple[str, ...], ...]:
    """What a classifier is fitted to: each, and each network beside the pixels of as many views."""
    sides = [names()[:3], names()[3:]]
    return tuple((name,) for name in names()) + tuple(
        (network, pixels) for *networks, pixels in sides for network in networks
    )


def main() -> None:
    """Run all points and write docs/science.md with its figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.science", description=__doc__)
    parser.add_argument("--store", default="science/store")
    parser.add_argument(
        "--steps", type=int, nargs="+", default=[1500, 6000], help="lengths of the runs; the last one is the result"
    )
    parser.add_argument(
        "--objects", type=int, nargs="+", default=[12288], help="sizes of the skies; the last one is the result"
    )
    parser.add_argument("--arch", default="narrow18", help="network of all runs")
    parser.add_argument("--input-px", type=int, default=32, help="field of all runs")
    parser.add_argument(
        "--variants",
        nargs="*",
        default=[],
        help="networks and fields tried at the shortest length and first seed, such as narrow18:48 resnet18:32",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--processes", type=int, default=2, help="runs at once, one thread each")
    given = parser.parse_args()

    def at(seed: int, objects: int, steps: int) -> Point:
        return Point(seed, objects, steps, given.arch, given.input_px)

    *shorter, steps = given.steps
    *smaller, objects = given.objects
    points = [at(seed, objects, steps) for seed in given.seeds]
    points += [at(seed, objects, few) for few in shorter for seed in given.seeds]
    points += [at(seed, few, steps) for few in smaller for seed in given.seeds]
    for variant in given.variants:
        arch, input_px = variant.split(":")
        points.append(Point(given.seeds[0], objects, given.steps[0], arch, int(input_px)))
    with ProcessPoolExecutor(given.processes) as pool:
        waiting = [pool.submit(run_point, given.store, point, 1) for point in points]
        results = [item.result() for item in waiting]
    (DOCS / "science").mkdir(exist_ok=True)
    (DOCS / "science" / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    write_page(results)


def write_page(results: list[dict[str, Any]]) -> None:
    """Write docs/science.md and docs/science/curve.png from the results, the longest runs first."""
    (DOCS / "science" / "curve.png").write_bytes(draw_curve(results))
    (DOCS / "science.md").write_text(page(results))


def page(results: list[dict[str, Any]]) -> str:
    """The page."""
    longest, first = main_runs(results), results[0]
    pools = ", ".join(f"{item['lenses']['unknown']}" for item in longest)
    return (
        "# What the representation is worth\n\n"
        f"Written by `make science`: simulated skies of {first['objects']} objects and {first['steps']} steps of pretraining "
        f"({first['arch']}, {first['input_px']} px; configs/science.toml), a sky and a start of its own for each seed. All "
        f"figures are on lenses that are not listed ({pools} of them) and that no classifier was fitted to, the mean of ten "
        "splits; strengths and numbers of components are chosen on held-out parts of the listed lenses, for all methods "
        f"alike. `{TURNED.strip()}` is the mean vector of the eight flips and quarter turns, for every method the same.\n\n"
        f"## Average precision of the linear classifier\n\n{compare(longest, 'average_precision', '.3f')}\n"
        "## Lenses among the first 100 of a similarity search from three known lenses\n\n"
        f"{compare(longest, 'similar', '.1f')}\n"
        f"## What holds on every seed\n\nOn one view:\n\n{verdicts(longest, '')}\n"
        f"On the mean of eight:\n\n{verdicts(longest, TURNED)}\n"
        f"In the similarity search, on one view:\n\n{verdicts(longest, '', 'similar')}\n"
        f"In the similarity search, on the mean of eight:\n\n{verdicts(longest, TURNED, 'similar')}\n"
        "## How it grows\n\n![average precision against steps of pretraining](science/curve.png)\n\n"
        f"{_table(results)}"
    )


def main_runs(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs of the first result's kind, one a seed."""
    kind = ("objects", "steps", "arch", "input_px")
    return [item for item in results if all(item[name] == results[0][name] for name in kind)]


def compare(runs: list[dict[str, Any]], figure: str, form: str) -> str:
    """A table: a row a method, a column a seed."""
    head = "| | " + " | ".join(f"seed {item['seed']}" for item in runs) + " |\n| --- |" + " --- |" * len(runs) + "\n"
    methods = runs[0][figure]
    return head + "".join(
        f"| {method} | " + " | ".join(format(item[figure][method], form) for item in runs) + " |\n"
        for method in methods
    )


def verdicts(runs: list[dict[str, Any]], views: str, figure: str = "average_precision") -> str:
    """One line for each claim that the figure can judge: whether it holds on all seeds, said as it is."""
    lines = []
    for says, ours, others in CLAIMS:
        if _turned(ours, views) not in runs[0][figure]:
            continue
        holds = [
            all(item[figure][_turned(ours, views)] > item[figure][_turned(other, views)] for other in others)
            for item in runs
        ]
        lines.append(f"- {says}: {'yes, on every seed' if all(holds) else f'on {sum(holds)} of {len(holds)} seeds'}\n")
    return "".join(lines)


def draw_curve(results: list[dict[str, Any]]) -> bytes:
    """Average precision on one view against steps, a colour a seed, with the baselines."""
    longest = main_runs(results)
    with figure(7, 4.5) as (drawn, axes):
        for number, run in enumerate(longest):
            mine = sorted((item for item in results if _beside(item, run)), key=lambda item: int(item["steps"]))
            axes.plot(
                [item["steps"] for item in mine],
                [item["average_precision"]["pretrained"] for item in mine],
                "o-",
                color=f"C{number}",
                label=f"pretrained, seed {run['seed']}",
            )
            for method, style in (("pca", ":"), ("untrained", "--")):
                axes.axhline(
                    run["average_precision"][method],
                    color=f"C{number}",
                    ls=style,
                    label=f"{method}, seed {run['seed']}",
                )
        axes.set(xlabel="steps of pretraining", ylabel="average precision on held-out lenses", ylim=(0, None))
        legend_if_any(axes)
        return as_png(drawn)


def _beside(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[name] == other[name] for name in ("seed", "objects", "arch", "input_px"))


def _turned(method: str, views: str) -> str:
    return " + ".join(views + name for name in method.split(" + "))


def _table(results: list[dict[str, Any]]) -> str:
    kind = ("arch", "input_px", "objects", "steps")
    lines = (
        "| network | field, px | objects | steps | seeds | pretrained: mean (lowest - highest) | turned | loss | minutes, one thread |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    )
    for values in sorted({tuple(item[name] for name in kind) for item in results}):
        mine = [item for item in results if tuple(item[name] for name in kind) == values]
        found = [item["average_precision"]["pretrained"] for item in mine]
        turned = [item["average_precision"][TURNED + "pretrained"] for item in mine]
        lines += (
            f"| {' | '.join(str(value) for value in values)} | {len(mine)} | "
            f"{np.mean(found):.3f} ({min(found):.3f} - {max(found):.3f}) | {np.mean(turned):.3f} | "
            f"{np.mean([item['loss'] for item in mine]):.2f} | {np.mean([item['seconds'] for item in mine]) / 60:.0f} |\n"
        )
    return lines


if __name__ == "__main__":
    main()
