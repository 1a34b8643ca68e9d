"""The map of the system: every job, what it reads, what it makes, and what it needs."""

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

from lenscore.config import Config
from lenscore.errors import InputError

Arity = Literal["one", "many", "optional", "any"]


@dataclass(frozen=True)
class Input:
    """An input of a job.

    Args:
        name: as in `--input name=kind/id`.
        kinds: kinds of artifact that fit.
        arity: one; many (at least one); optional (none or one); any (none or more).
    """

    name: str
    kinds: tuple[str, ...]
    arity: Arity = "one"


@dataclass(frozen=True)
class Resources:
    """What a job asks of a cluster: cores, memory in GiB, GPUs."""

    cpus: float = 2
    memory_gib: float = 8
    gpus: int = 0


@dataclass(frozen=True)
class JobSpec:
    """A job.

    Args:
        name: on the command line; its module is jobs.<name>.
        does: one line for people.
        config: name of its configuration class.
        inputs: what it reads.
        output: kind of artifact that it makes.
        unit_rows: rows of a unit of work of a sharded job; None for a job in one piece.
        image: container image that it runs in.
        resources: defaults for a cluster.
        reads_source: it reads something outside the store, which `listing(config)` describes.
    """

    name: str
    does: str
    config: str
    inputs: tuple[Input, ...]
    output: str
    unit_rows: int | None = None
    image: Literal["cpu", "gpu"] = "cpu"
    resources: Resources = Resources()
    reads_source: bool = False

    @property
    def sharded(self) -> bool:
        """Whether its rows are cut into units."""
        return self.unit_rows is not None

    def module(self) -> ModuleType:
        """The job's module."""
        return importlib.import_module(f"jobs.{self.name}")

    def config_class(self) -> type[Config]:
        """The job's configuration class."""
        found: type[Config] = getattr(self.module(), self.config)
        return found


_GPU = Resources(cpus=8, memory_gib=64, gpus=1)
_BIG = Resources(cpus=8, memory_gib=64)

JOBS = (
    JobSpec(
        "simulate",
        "draw a simulated sky with lenses, look-alikes and its truth",
        "SimulateConfig",
        (),
        "sky",
        unit_rows=1024,
    ),
    JobSpec(
        "ingest",
        "read survey files: select objects, cut out their images",
        "IngestConfig",
        (Input("sky", ("sky",), "optional"),),
        "cutouts",
        unit_rows=1024,
        reads_source=True,
    ),
    JobSpec(
        "sample",
        "draw and shuffle the training set",
        "SampleConfig",
        (Input("cutouts", ("cutouts",)),),
        "cutouts",
        unit_rows=1024,
    ),
    JobSpec(
        "lens_list",
        "merge lists of known lenses, one entry a system",
        "LensListConfig",
        (Input("sky", ("sky",), "any"),),
        "lens_list",
        reads_source=True,
    ),
    JobSpec(
        "crossmatch",
        "find the objects near known lenses",
        "CrossmatchConfig",
        (Input("cutouts", ("cutouts",)), Input("lens_list", ("lens_list",))),
        "matches",
        resources=_BIG,
    ),
    JobSpec(
        "label",
        "tell lenses, objects near them, ambiguous ones and nonlenses apart",
        "LabelConfig",
        (Input("cutouts", ("cutouts",)), Input("matches", ("matches",)), Input("grades", ("grades",), "any")),
        "labels",
    ),
    JobSpec(
        "fit_augmentations",
        "fit noise, seeing and dust by lognormals",
        "FitAugmentationsConfig",
        (Input("cutouts", ("cutouts",), "many"),),
        "augmentation_fits",
        resources=_BIG,
    ),
    JobSpec(
        "pretrain",
        "learn a representation without labels (MoCo v2)",
        "PretrainConfig",
        (
            Input("cutouts", ("cutouts",)),
            Input("augmentation_fits", ("augmentation_fits",), "optional"),
            Input("probe_cutouts", ("cutouts",), "optional"),
            Input("probe_labels", ("labels",), "optional"),
        ),
        "model",
        image="gpu",
        resources=_GPU,
    ),
    JobSpec(
        "fit_pca",
        "the plain baseline: principal components of the pixels",
        "FitPcaConfig",
        (Input("cutouts", ("cutouts",)),),
        "model",
        resources=_BIG,
    ),
    JobSpec(
        "embed",
        "turn every image into a vector",
        "EmbedConfig",
        (Input("cutouts", ("cutouts",)), Input("model", ("model",))),
        "embeddings",
        unit_rows=16384,
        image="gpu",
        resources=_GPU,
    ),
    JobSpec(
        "similar",
        "find each object's most similar objects, exactly",
        "SimilarConfig",
        (Input("embeddings", ("embeddings",)), Input("cutouts", ("cutouts",))),
        "neighbours",
        unit_rows=16384,
        image="gpu",
        resources=_GPU,
    ),
    JobSpec(
        "index",
        "build an approximate index for queries and measure its recall",
        "IndexConfig",
        (Input("embeddings", ("embeddings",)), Input("cutouts", ("cutouts",))),
        "index",
        resources=_BIG,
    ),
    JobSpec(
        "fit_linear",
        "fit the linear classifier and scan the lens:nonlens ratio",
        "FitLinearConfig",
        (Input("embeddings", ("embeddings",), "many"), Input("cutouts", ("cutouts",)), Input("labels", ("labels",))),
        "model",
        resources=_BIG,
    ),
    JobSpec(
        "finetune",
        "fine-tune the whole network on the labels",
        "FinetuneConfig",
        (
            Input("cutouts", ("cutouts",)),
            Input("labels", ("labels",)),
            Input("model", ("model",)),
            Input("augmentation_fits", ("augmentation_fits",), "optional"),
        ),
        "model",
        image="gpu",
        resources=_GPU,
    ),
    JobSpec(
        "classify",
        "score every object",
        "ClassifyConfig",
        (Input("model", ("model",)), Input("embeddings", ("embeddings",), "any"), Input("cutouts", ("cutouts",))),
        "scores",
        unit_rows=65536,
        image="gpu",
        resources=_GPU,
    ),
    JobSpec(
        "rank",
        "merge the best of each method into one ranked list with evidence",
        "RankConfig",
        (
            Input("cutouts", ("cutouts",), "many"),
            Input("scores", ("scores",), "any"),
            Input("labels", ("labels",), "any"),
            Input("similarity", ("neighbours",), "any"),
        ),
        "candidates",
    ),
    JobSpec(
        "inspect",
        "make numbered sheets of images for people",
        "InspectConfig",
        (
            Input("candidates", ("candidates",), "optional"),
            Input("labels", ("labels",), "optional"),
            Input("cutouts", ("cutouts",), "many"),
        ),
        "sheets",
    ),
    JobSpec(
        "grade",
        "merge people's grades, keeping every vote",
        "GradeConfig",
        (
            Input("candidates", ("candidates",), "optional"),
            Input("labels", ("labels",), "optional"),
            Input("grades", ("grades",), "any"),
        ),
        "grades",
        reads_source=True,
    ),
    JobSpec(
        "publish",
        "write the catalogue in four formats, with figures and provenance",
        "PublishConfig",
        (
            Input("candidates", ("candidates",)),
            Input("cutouts", ("cutouts",), "many"),
            Input("grades", ("grades",), "any"),
            Input("labels", ("labels",), "any"),
            Input("models", ("model",), "any"),
            Input("scores", ("scores",), "any"),
            Input("sample", ("cutouts",), "optional"),
            Input("neighbours", ("neighbours",), "any"),
        ),
        "catalogue_release",
    ),
    JobSpec(
        "compare",
        "explain the differences between two versions of the candidates",
        "CompareConfig",
        (
            Input("before", ("candidates",)),
            Input("after", ("candidates",)),
            Input("cutouts_before", ("cutouts",), "many"),
            Input("cutouts_after", ("cutouts",), "many"),
        ),
        "comparison",
    ),
    JobSpec(
        "drift",
        "hold a release's embeddings, seeing, depth and dust against those of training",
        "DriftConfig",
        (
            Input("cutouts", ("cutouts",)),
            Input("embeddings", ("embeddings",)),
            Input("training_cutouts", ("cutouts",)),
            Input("training_embeddings", ("embeddings",)),
        ),
        "drift",
    ),
    JobSpec(
        "evaluate",
        "hold what was found against the truth of a simulated sky",
        "EvaluateConfig",
        (
            Input("sky", ("sky",)),
            Input("cutouts", ("cutouts",)),
            Input("labels", ("labels",)),
            Input("scores", ("scores",), "any"),
            Input("embeddings", ("embeddings",), "any"),
            Input("candidates", ("candidates",), "optional"),
        ),
        "evaluation",
    ),
)
"""All jobs, in the order of the data."""

_BY_NAME = {spec.name: spec for spec in JOBS}


def find_job(name: str) -> JobSpec:
    """Look a job up.

    Raises:
        InputError: there is none of that name.
    """
    if name not in _BY_NAME:
        raise InputError(f"unknown job {name!r}", f"use one of {', '.join(_BY_NAME)}")
    return _BY_NAME[name]
