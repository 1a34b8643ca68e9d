"""Hold what was found against the truth of a simulated sky; the only job that reads it.

Every method is judged on the same objects: those that are not listed (as lens, near one, or ambiguous), that no
classifier's weights were fitted to, and that are not companions of a lens. Memory and time grow linearly with the objects:
it is meant for simulated skies (a million objects: some GiB).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from lenscore.classify.settings import BudgetConfig, SolverConfig, SplitConfig
from lenscore.config import Config, field
from lenscore.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lenscore.artifacts import Checkpoints, Inputs, Runtime, Sink
    from lenscore.classify.evaluation import Method
    from lenscore.classify.splits import Splits
    from lenscore.similarity import Embeddings

VERSION = 1
CATALOGUE_ONLY = "catalogue columns"


class EvaluateConfig(Config):
    """Settings of evaluate."""

    encoders: tuple[str, ...] = field(
        ("pretrained", "untrained", "pca"),
        unit="",
        source="assumed",
        description="names of the embeddings, in the order they are given",
    )
    combinations: tuple[tuple[str, ...], ...] = field(
        (("pretrained",), ("untrained",), ("pca",), ("pretrained", "pca"), ("untrained", "pca")),
        unit="",
        source="SCIENCE: the comparisons",
        description="encoders that a linear classifier is fitted to, side by side",
    )
    scores: tuple[str, ...] = field(
        (), unit="", source="assumed", description="names of the scores, in the order they are given"
    )
    split: SplitConfig = field(SplitConfig(), unit="", source="FACTS: Classification", description="as in fit_linear")
    solver: SolverConfig = field(SolverConfig(), unit="", source="paper 3.3.3", description="as in fit_linear")
    budget: BudgetConfig = field(BudgetConfig(), unit="", source="paper 3.3.2", description="as in fit_linear; fixes N")
    whitened: int | None = field(
        128,
        unit="components",
        source="SCIENCE: longer runs",
        description="components of the similarity search; none: the embedding as it is",
        ge=1,
    )
    queries: int = field(3, unit="lenses", source="paper 4.1", description="known lenses in a similarity search", ge=1)
    draws: int = field(20, unit="", source="assumed", description="similarity searches, each from other lenses", ge=1)
    similar: int = field(
        100,
        unit="objects",
        source="issue: enrichment among the first 100",
        description="similar objects looked at in a search",
        ge=1,
    )
    arc_mag_edges: tuple[float, ...] = field(
        (18.0, 20.0, 21.0, 21.7, 22.5, 24.0, 27.0),
        unit="mag",
        source="SCIENCE: g < 21, > 21.7",
        description="bins of recall by g magnitude of the arcs",
        min_length=2,
    )
    theta_e_edges: tuple[float, ...] = field(
        (0.3, 0.8, 1.2, 1.6, 2.2, 4.0),
        unit="arcsec",
        source="assumed",
        description="bins of recall by Einstein radius",
        min_length=2,
    )
    repeats: int = field(
        1,
        unit="",
        source="assumed: more where lenses are few",
        description="splits, each with fits of its own, whose figures are averaged; table recall is of the last",
        ge=1,
    )
    seed: int = field(0, unit="", source="assumed", description="seed of draws of queries and of random orders")

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        unknown = {name for names in self.combinations for name in names} - set(self.encoders)
        if unknown:
            raise ValueError(
                f"combinations name {sorted(unknown)}, which are not among encoders {self.encoders}; add them"
            )
        return self


def run(config: EvaluateConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Write evaluation.json and tables methods, similarity and recall."""
    import numpy as np

    from lenscore.classify import evaluation as judging
    from lenscore.classify import similar_lenses
    from lenscore.classify.features import SideBySide
    from lenscore.classify.labelled import read_labels
    from lenscore.classify.splits import draw_splits
    from lenscore.classify.truth import read_truth

    readers = _embeddings(config, inputs)
    every = SideBySide(list(readers.values()))
    truth = read_truth(inputs.one("sky"), inputs.one("cutouts"), inputs.one("labels"))
    valid, labels = every.valid(0, every.rows), read_labels(inputs.one("labels"))
    given, given_trained = _given(config, inputs, every.rows)
    unseen = valid & ~truth.listed & ~truth.companion & ~given_trained
    for method in given:
        unseen &= ~np.isnan(method.scores)
    rounds = []
    for repeat in range(config.repeats):
        split = config.split.model_copy(update={"seed": config.split.seed + repeat})
        splits = draw_splits(labels, every.objects(), split, config.solver.folds > 1)
        methods, trained = _fit(config, inputs, runtime, readers, splits)
        pool = unseen.copy()
        pool[trained] = False
        top = config.budget.top(int(pool.sum()), every.rows)
        rounds.append(judging.judge_all([*given, *methods], pool, truth, top, config.seed + repeat))
        sink.progress(repeat + 1, config.repeats)
    figures = judging.average(rounds)
    recall = [
        row
        for method in [*given, *methods]
        for quantity, edges in (("arc_mag_g", config.arc_mag_edges), ("theta_e_arcsec", config.theta_e_edges))
        for row in judging.recall_rows(method, pool, truth, top, quantity, edges)
    ]
    similar = [
        row
        for name, reader in readers.items()
        for row in similar_lenses.similarity_rows(
            name,
            SideBySide([reader]),
            valid,
            truth,
            config.whitened,
            config.queries,
            config.draws,
            config.similar,
            config.seed,
        )
    ]
    sink.write_table("methods", judging.table(figures, judging.METHODS))
    sink.write_table("recall", judging.table(recall, judging.RECALL))
    sink.write_table("similarity", judging.table(similar, similar_lenses.SIMILARITY))
    found = inputs.optional("candidates")
    sink.write_json(
        "evaluation.json",
        {
            "objects": every.rows,
            "pool": int(pool.sum()),
            "top": top,
            "lenses": judging.count_lenses(truth, pool),
            "methods": judging.summarise_methods(figures),
            "similarity": similar_lenses.summarise_similarity(similar),
            "candidates": judging.judge_candidates(found, inputs.one("cutouts"), truth) if found else None,
        },
    )


def _embeddings(config: EvaluateConfig, inputs: Inputs) -> dict[str, Embeddings]:
    from lenscore.similarity import Embeddings

    artifacts = inputs.many("embeddings")
    if len(artifacts) != len(config.encoders):
        raise InputError(
            f"{len(artifacts)} embeddings for encoders {config.encoders}", "give one of each, in this order"
        )
    return {name: Embeddings.open(artifact) for name, artifact in zip(config.encoders, artifacts, strict=True)}


def _fit(
    config: EvaluateConfig, inputs: Inputs, runtime: Runtime, readers: dict[str, Embeddings], splits: Splits
) -> tuple[list[Method], NDArray[np.int64]]:
    """Linear classifiers on each combination and on catalogue columns, and the rows any of them was fitted to."""
    import tempfile
    from pathlib import Path

    import numpy as np

    from lenscore.classify.catalogue_features import CatalogueFeatures
    from lenscore.classify.evaluation import Method, fit_scores
    from lenscore.classify.features import Features, SideBySide

    bands = tuple(inputs.one("cutouts").read_json("release.json")["bands"])
    sets: list[tuple[str, Features]] = [
        (" + ".join(names), SideBySide([readers[name] for name in names])) for names in config.combinations
    ]
    sets.append((CATALOGUE_ONLY, CatalogueFeatures(inputs.one("cutouts"), bands)))
    methods, trained = [], []
    for name, features in sets:
        with tempfile.TemporaryDirectory(dir=runtime.scratch) as scratch:
            fitted = fit_scores(
                features,
                splits,
                config.split.ratios,
                config.solver,
                config.budget,
                runtime.memory_gib,
                Path(scratch),
                runtime.threads,
                splits.seed,
            )
        methods.append(Method(name, fitted.scores))
        trained.append(fitted.trained)
    return methods, np.unique(np.concatenate(trained))


def _given(config: EvaluateConfig, inputs: Inputs, rows: int) -> tuple[list[Method], NDArray[np.bool_]]:
    """Scores made by classify, and the rows any of their models was fitted to."""
    import numpy as np

    from lenscore.classify.evaluation import Method

    artifacts = inputs.many("scores")
    if len(artifacts) != len(config.scores):
        raise InputError(f"{len(artifacts)} scores for the names {config.scores}", "give one of each, in this order")
    tables = [artifact.table("scores").read(["score", "trained"]) for artifact in artifacts]
    methods = [Method(name, table["score"].to_numpy()) for name, table in zip(config.scores, tables, strict=True)]
    return methods, np.logical_or.reduce([np.zeros(rows, bool), *(table["trained"].to_numpy() for table in tables)])
