"""From the candidates of a search to a finished linear model: choice, calibration, and all that is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.artifacts import Artifact, Sink
from lenscore.classify.calibrate import platt
from lenscore.classify.curves import curve, figures, histogram
from lenscore.classify.features import Rows, SideBySide
from lenscore.classify.labelled import catalogue_rows, write_splits, write_trained
from lenscore.classify.linear import LinearModel, rank_all, score_blocks
from lenscore.classify.ranking import bootstrap
from lenscore.classify.search import Candidate, best
from lenscore.classify.settings import BudgetConfig
from lenscore.classify.splits import Part, Splits

SCAN = pa.schema(
    [
        pa.field("ratio", pa.int64()),
        pa.field("fits", pa.bool_()),
        pa.field("components", pa.int64()),
        pa.field("strength", pa.float64()),
        pa.field("iterate", pa.int64()),
        pa.field("precision_train", pa.float64()),
        pa.field("precision_validation", pa.float64()),
        pa.field("precision_low", pa.float64()),
        pa.field("precision_high", pa.float64()),
        pa.field("found_validation", pa.int64()),
        pa.field("average_precision_validation", pa.float64()),
    ]
)
"""Figure 4. components is 0 for standardised features; a ratio that the data does not allow has NaN."""

AUDIT = pa.schema(
    [
        pa.field("rank", pa.int64()),
        pa.field("row", pa.int64()),
        pa.field("ls_id", pa.int64()),
        pa.field("ra", pa.float64(), metadata={"unit": "deg"}),
        pa.field("dec", pa.float64(), metadata={"unit": "deg"}),
        pa.field("part", pa.string()),
        pa.field("score", pa.float32()),
        pa.field("probability", pa.float32()),
    ]
)
"""Nonlenses of training and validation that score highest: some will be lenses nobody has listed (paper 3.3)."""


@dataclass(frozen=True)
class Held:
    """The parts' features, lenses first, as `Part.rows` has them."""

    train: Rows
    validation: Rows
    test: Rows


@dataclass(frozen=True)
class Choice:
    """What was chosen, and from what.

    Args:
        candidates: all that were tried.
        winners: the best of each ratio.
        chosen: the best of all, or of the ratio that was asked for.
        left_out: ratios that the data does not allow.
        top: N on validation.
    """

    candidates: Sequence[Candidate]
    winners: tuple[Candidate, ...]
    chosen: Candidate
    left_out: tuple[int, ...]
    top: int


def choose(candidates: Sequence[Candidate], left_out: Sequence[int], ratio: int | None, top: int) -> Choice:
    """Take the best candidate of each ratio, and of them the final one.

    Args:
        candidates: from `search`.
        left_out: ratios that the data does not allow.
        ratio: training set of the final model; None, or one that does not fit: the best on validation.
        top: N on validation.

    Returns:
        The choice.
    """
    ratios = sorted({one.ratio for one in candidates})
    winners = tuple(best([one for one in candidates if one.ratio == each], top) for each in ratios)
    wished = [one for one in winners if one.ratio == ratio]
    return Choice(candidates, winners, best(wished or winners, top), tuple(left_out), top)


def finish(
    choice: Choice,
    held: Held,
    splits: Splits,
    features: SideBySide,
    cutouts: Artifact,
    sink: Sink,
    budget: BudgetConfig,
    prior: float | None,
    audit_rows: int,
) -> LinearModel:
    """Calibrate the chosen model and write its artifact with all that is known of it.

    Args:
        choice: what was chosen.
        held: the parts' features.
        splits: the parts.
        features: the release's embeddings.
        cutouts: the release's cutouts.
        sink: of the model artifact.
        budget: fixes N.
        prior: true share of lenses; None: that of the labels.
        audit_rows: nonlenses to list.

    Returns:
        The model.
    """
    chosen, search_size = choice.chosen, budget.search_size or splits.valid_rows
    scores = score_all(held.validation, chosen.weights, chosen.bias)
    scores[: len(chosen.lens_scores)] = chosen.lens_scores  # of fits that have not seen the lens
    calibration = platt(scores, splits.validation.is_lens, prior or splits.labelled_lenses / splits.valid_rows)
    model = LinearModel(
        chosen.weights, chosen.bias, calibration, features.encoders, _describe(choice, splits, cutouts.id)
    )
    test_lenses, test_top = len(splits.test.lenses), budget.top(held.test.rows, splits.valid_rows)
    test = rank_all(held.test, test_lenses, chosen.weights[None], np.array([chosen.bias], np.float32))[0]
    sink.write_table("test", figures(test, test_top))
    sink.write_table("scan", _scan(choice, held.train, len(splits.train.lenses)))
    sink.write_table("metrics", _metrics(choice))
    sink.write_table("curve", curve(chosen.validation, search_size))
    sink.write_table("histogram", histogram(scores, splits.validation.is_lens, calibration))
    sink.write_table("audit", _audit(model, held, splits, scores, cutouts, audit_rows))
    write_splits(sink, splits, features.objects())
    write_trained(sink, trained_rows(splits.train, chosen.ratio), features.rows)
    model.save(sink)
    sink.metrics(
        ratio=chosen.ratio,
        ratios_left_out=list(choice.left_out),
        top_n=choice.top,
        precision_validation=chosen.validation.precision(choice.top),
        precision_test=test.precision(test_top),
        average_precision_validation=chosen.validation.average_precision(),
        average_precision_test=test.average_precision(),
    )
    return model


def score_all(features: Rows, weights: NDArray[np.float32], bias: float) -> NDArray[np.float32]:
    """Scores of all rows, (N,) float32."""
    scores = score_blocks(features, weights[None], np.array([bias], np.float32))
    return np.concatenate([block[0] for _, block in scores])


def trained_rows(train: Part, ratio: int) -> NDArray[np.int64]:
    """Rows of the 1:ratio set."""
    return np.concatenate([train.lenses, train.nonlenses[: ratio * len(train.lenses)]])


def _describe(choice: Choice, splits: Splits, cutouts: str) -> dict[str, Any]:
    chosen = choice.chosen
    return {
        "cutouts": cutouts,
        "ratio": chosen.ratio,
        "ratios_left_out": list(choice.left_out),
        "components": chosen.components,
        "strength": chosen.strength,
        "iterate": chosen.iterate,
        "top_n": choice.top,
        "lenses": {name: len(part.lenses) for name, part in splits.parts.items()},
        "nonlenses": {name: len(part.nonlenses) for name, part in splits.parts.items()},
    }


def _scan(choice: Choice, train: Rows, lenses: int) -> pa.Table:
    rows = [_scan_row(one, train, lenses, choice.top) for one in choice.winners]
    rows += [(ratio, False, 0, np.nan, 0, np.nan, np.nan, np.nan, np.nan, 0, np.nan) for ratio in choice.left_out]
    return pa.table([list(column) for column in zip(*rows, strict=True)], schema=SCAN)


def _scan_row(one: Candidate, train: Rows, lenses: int, top: int) -> tuple[Any, ...]:
    stop = lenses * (1 + one.ratio)
    training = rank_all(train, lenses, one.weights[None], np.array([one.bias], np.float32), stop)[0]
    value, low, high = bootstrap(one.validation, lambda ranking: ranking.precision(top))
    return (
        one.ratio,
        True,
        one.components or 0,
        one.strength,
        one.iterate,
        training.precision(top),
        value,
        low,
        high,
        one.validation.found(top),
        one.validation.average_precision(),
    )


def _metrics(choice: Choice) -> pa.Table:
    return pa.table(
        {
            "ratio": [one.ratio for one in choice.candidates],
            "components": [one.components or 0 for one in choice.candidates],
            "strength": [one.strength for one in choice.candidates],
            "iterate": [one.iterate for one in choice.candidates],
            "found": [one.validation.found(choice.top) for one in choice.candidates],
            "average_precision": [one.validation.average_precision() for one in choice.candidates],
        }
    )


def _audit(
    model: LinearModel,
    held: Held,
    splits: Splits,
    validation_scores: NDArray[np.float32],
    cutouts: Artifact,
    count: int,
) -> pa.Table:
    rows = np.concatenate([splits.train.nonlenses, splits.validation.nonlenses])
    part = np.repeat(["train", "validation"], [len(splits.train.nonlenses), len(splits.validation.nonlenses)])
    train_scores = score_all(held.train, model.weights, model.bias)[len(splits.train.lenses) :]
    scores = np.concatenate([train_scores, validation_scores[len(splits.validation.lenses) :]])
    first = np.lexsort((rows, -scores))[:count]
    rows, part, scores = rows[first], part[first], scores[first]
    found = catalogue_rows(cutouts, rows, ["ls_id", "ra", "dec"])
    return pa.table(
        [
            np.arange(1, len(rows) + 1),
            rows,
            found["ls_id"],
            found["ra"],
            found["dec"],
            part,
            scores,
            model.calibration.probability(scores),
        ],
        schema=AUDIT,
    )
