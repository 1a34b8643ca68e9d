"""Fit the linear classifier and scan the lens:nonlens ratio (paper 3.3.3, 4.2, Figure 4).

One sweep over the embeddings brings the drawn rows close: into memory where they fit (2 D bytes an object: 18.5 GB for
4.5 million of dimension 2048), else into a packed file on the local disk, else they are read from the store each time.
A step of all fits together is one pass over the training set, so time grows with rows x D x steps; memory beyond the
held rows does not grow with the release, but for one bit and, for drawn rows, 16 bytes an object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lenscore.classify.settings import BudgetConfig, PriorConfig, SolverConfig, SplitConfig
from lenscore.config import Config, field

if TYPE_CHECKING:
    from lenscore.artifacts import Checkpoints, Inputs, Runtime, Sink

VERSION = 1


class FitLinearConfig(Config):
    """Settings of fit_linear."""

    split: SplitConfig = field(
        SplitConfig(), unit="", source="FACTS: Classification", description="parts and nested sets"
    )
    solver: SolverConfig = field(SolverConfig(), unit="", source="paper 3.3.3", description="the fit")
    budget: BudgetConfig = field(BudgetConfig(), unit="", source="paper 3.3.2", description="images to be inspected")
    prior: PriorConfig = field(PriorConfig(), unit="", source="paper 4.2", description="true share of lenses")
    ratio: int | None = field(
        None,
        unit="nonlenses / lens",
        source="paper 4.2 (4000)",
        description="training set of the final model; none, or one that the data does not allow: "
        "the best on validation",
    )
    audit_rows: int = field(
        200,
        unit="objects",
        source="paper 3.3 (some 40 of 4 million were lenses)",
        description="nonlenses with the highest scores to list",
        ge=1,
    )


def run(config: FitLinearConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Write a model of type linear with its tables scan, metrics, curve, histogram, audit, test and splits."""
    import tempfile
    from pathlib import Path

    from lenscore.classify.features import SideBySide, hold
    from lenscore.classify.fitting import Held, choose, finish
    from lenscore.classify.labelled import read_labels
    from lenscore.classify.search import search
    from lenscore.classify.splits import deal_folds, draw_splits, ratios_that_fit
    from lenscore.similarity import Embeddings

    features = SideBySide([Embeddings.open(artifact) for artifact in inputs.many("embeddings")])
    several = config.solver.folds > 1
    splits = draw_splits(read_labels(inputs.one("labels")), features.objects(), config.split, shared=several)
    folds = deal_folds(splits.train.groups, config.solver.folds, config.split.seed) if several else None
    ratios, left_out = ratios_that_fit(splits.train, config.split.ratios)
    with tempfile.TemporaryDirectory(dir=runtime.scratch) as scratch:
        parts = (splits.train, splits.validation, splits.test)
        rows, places = hold(features, [part.rows for part in parts], runtime.memory_gib, Path(scratch))
        held = Held(*rows)
        candidates = search(
            held.train,
            len(splits.train.lenses),
            held.validation,
            len(splits.validation.lenses),
            features.widths,
            ratios,
            config.solver,
            runtime.threads,
            runtime.device,
            lambda done, loss: sink.progress(done, None, loss=loss),
            folds,
        )
        choice = choose(candidates, left_out, config.ratio, config.budget.top(held.validation.rows, splits.valid_rows))
        finish(
            choice,
            held,
            splits,
            features,
            inputs.one("cutouts"),
            sink,
            config.budget,
            config.prior.lenses_per_object,
            config.audit_rows,
        )
        sink.metrics(held_in=places)
