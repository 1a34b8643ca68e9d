"""A small chain of all jobs: what each is given, in the order of the data."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.settings import Settings
from jobs.runner import run_task
from jobs.tasks import Task, make_task
from lenscore.artifacts import Artifact, Runtime, Store

TINY = Path(__file__).parents[1] / "flows" / "tiny.toml"
RELEASE = "demo-dr1"
RUNTIME: Any = {"workers": 1, "threads": 1, "memory_gib": 2.0}

Files = Callable[[Path, Mapping[str, Artifact]], dict[str, Any]]


@dataclass(frozen=True)
class Step:
    """A job in the chain.

    Args:
        job: its name.
        inputs: names of earlier steps, by input.
        changes: settings that differ from those of tiny.toml.
        files: writes files that the job reads into a folder, and returns the settings that name them.
    """

    job: str
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    files: Files | None = None


def _votes(folder: Path, made: Mapping[str, Artifact]) -> dict[str, Any]:
    ids = made["candidates"].table("candidates").read(["ls_id"], stop=3)["ls_id"].to_pylist()
    with (folder / "votes.csv").open("w", newline="") as file:
        rows = ((ls_id, grade, "ann") for ls_id, grade in zip(ids, "ABX", strict=True))
        csv.writer(file).writerows([("ls_id", "grade", "grader"), *rows, ("none", "A", "ann")])
    return {"files": [str(folder / "votes.csv")]}


def _list(folder: Path, made: Mapping[str, Artifact]) -> dict[str, Any]:
    (folder / "more.csv").write_text("name,ra,dec\nmine,10,0\nnowhere,400,0\n")
    return {"files": [{"name": "more", "path": str(folder / "more.csv")}]}


_CUTOUTS = {"cutouts": ("cutouts",)}
_EMBEDDED = {"embeddings": ("embeddings",), **_CUTOUTS}
_LABELLED = {"labels": ("labels",), **_CUTOUTS}
_SCORED = {"scores": ("scores",), **_LABELLED}

CHAIN = {
    "plain": Step("simulate", changes={"objects": 24, "lens_fraction": 0.0}),
    "sky": Step("simulate"),
    "cutouts": Step("ingest", {"sky": ("sky",)}),
    "sample": Step("sample", _CUTOUTS),
    "lens_list": Step("lens_list", {"sky": ("sky",)}, files=_list),
    "matches": Step("crossmatch", {"lens_list": ("lens_list",), **_CUTOUTS}),
    "labels": Step("label", {"matches": ("matches",), **_CUTOUTS}),
    "fits": Step("fit_augmentations", _CUTOUTS),
    "encoder": Step(
        "pretrain",
        {
            "cutouts": ("sample",),
            "augmentation_fits": ("fits",),
            "probe_cutouts": ("cutouts",),
            "probe_labels": ("labels",),
        },
        {"checkpoint_seconds": 1e-9},
    ),
    "pca": Step("fit_pca", {"cutouts": ("sample",)}),
    "embeddings": Step("embed", {"model": ("encoder",), **_CUTOUTS}),
    "neighbours": Step("similar", _EMBEDDED),
    "index": Step("index", _EMBEDDED),
    "linear": Step("fit_linear", {**_EMBEDDED, **_LABELLED}),
    "finetuned": Step("finetune", {"model": ("encoder",), "augmentation_fits": ("fits",), **_LABELLED}),
    "scores": Step("classify", {"model": ("linear",), **_EMBEDDED}),
    "candidates": Step("rank", {"similarity": ("neighbours",), **_SCORED}),
    "fewer": Step("rank", _SCORED, {"strata": [{"name": "south", "budget": 10}]}),
    "sheets": Step("inspect", {"candidates": ("candidates",), **_CUTOUTS}),
    "grades": Step("grade", {"candidates": ("candidates",)}, files=_votes),
    "catalogue": Step(
        "publish",
        {
            "candidates": ("candidates",),
            "grades": ("grades",),
            "models": ("encoder", "linear"),
            "sample": ("sample",),
            "neighbours": ("neighbours",),
            **_SCORED,
        },
    ),
    "drift": Step(
        "drift",
        {**_EMBEDDED, "training_cutouts": ("cutouts",), "training_embeddings": ("embeddings",)},
    ),
    "comparison": Step(
        "compare",
        {
            "before": ("candidates",),
            "after": ("fewer",),
            "cutouts_before": ("cutouts",),
            "cutouts_after": ("cutouts",),
        },
    ),
    "evaluation": Step(
        "evaluate",
        {"sky": ("sky",), "embeddings": ("embeddings",), "candidates": ("candidates",), **_SCORED},
        {"scores": ["linear"], "encoders": ["pretrained"], "combinations": [["pretrained"]]},
    ),
}
"""Steps by name; each job that there is has at least one."""


class Chain:
    """Makes steps of the chain in a store, each when it is first asked for.

    Args:
        store: where.
        folder: for the files that jobs read, and for scratch.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder
        self.made: dict[str, Artifact] = {}
        self._settings = Settings.read(TINY)

    def task(self, name: str) -> Task:
        """What a step would make; its inputs are made."""
        step = CHAIN[name]
        inputs = {key: [self.make(item).reference for item in items] for key, items in step.inputs.items()}
        changes = {**step.changes, **(step.files(self.folder, self.made) if step.files else {})}
        release = RELEASE if step.job in ("simulate", "ingest") else None
        return make_task(step.job, self._settings.config(step.job, release, **changes), inputs)

    def make(self, name: str) -> Artifact:
        """The artifact of a step."""
        if name not in self.made:
            self.made[name] = run_task(self.store, self.task(name), Runtime(**RUNTIME, scratch=self.folder / "scratch"))
        return self.made[name]
