"""Methods of search held against the truth, on lenses that none of them has been told about."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.artifacts import Artifact
from lenscore.classify.features import Features, Ints, hold
from lenscore.classify.fitting import choose, score_all
from lenscore.classify.ranking import Ranking, bootstrap, rank, recall_by
from lenscore.classify.search import search
from lenscore.classify.settings import BudgetConfig, SolverConfig
from lenscore.classify.splits import Splits, deal_folds, ratios_that_fit
from lenscore.classify.truth import Truth, finite

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Method:
    """A way to order a release's objects.

    Args:
        name: for people.
        scores: (N,), NaN where there is none.
    """

    name: str
    scores: Floats


@dataclass(frozen=True)
class Fitted:
    """What a classifier's fit inside the evaluation gave."""

    scores: Floats
    trained: Ints


def fit_scores(
    features: Features,
    splits: Splits,
    ratios: Sequence[int],
    solver: SolverConfig,
    budget: BudgetConfig,
    memory_gib: float,
    scratch: Path,
    threads: int,
    seed: int = 0,
) -> Fitted:
    """Fit a linear classifier to labels as fit_linear does, and score all rows.

    Args:
        features: of the whole release.
        splits: the parts; with shared lenses where the solver cross-validates.
        ratios: nested training sets.
        solver: of the fit.
        budget: fixes N.
        memory_gib: memory to fill.
        scratch: a local folder.
        threads: of the arithmetic.
        seed: of the folds, if there are any.

    Returns:
        Scores (N,) and the rows that weights were fitted to.
    """
    folds = deal_folds(splits.train.groups, solver.folds, seed) if solver.folds > 1 else None
    fitting, left_out = ratios_that_fit(splits.train, ratios)
    (train, validation), _ = hold(features, [splits.train.rows, splits.validation.rows], memory_gib, scratch)
    lenses = len(splits.train.lenses)
    candidates = search(
        train,
        lenses,
        validation,
        len(splits.validation.lenses),
        features.widths,
        fitting,
        solver,
        threads,
        fold_of_lens=folds,
    )
    chosen = choose(candidates, left_out, None, budget.top(validation.rows, splits.valid_rows)).chosen
    trained = splits.train.rows[: lenses * (1 + chosen.ratio)]
    return Fitted(score_all(features, chosen.weights, chosen.bias), trained)


METHODS = pa.schema(
    [
        pa.field("method", pa.string()),
        pa.field("figure", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
    ]
)
RECALL = pa.schema(
    [
        pa.field("method", pa.string()),
        pa.field("quantity", pa.string()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("lenses", pa.int64()),
        pa.field("found", pa.int64()),
    ]
)
FIGURES = ("precision", "average_precision", "recall", "recall_findable", "enrichment", "roc_area")


def judge(
    method: Method, pool: NDArray[np.bool_], truth: Truth, top: int
) -> list[tuple[str, str, float, float, float]]:
    """Figures of merit of a method on a pool of objects, as rows of METHODS.

    Args:
        method: what to judge.
        pool: objects that count (N,).
        truth: of all rows.
        top: N.

    Returns:
        A row a figure. recall_findable counts findable lenses only, among the same N.
    """
    ranking = rank(method.scores[pool], truth.unknown[pool])
    findable = truth.findable[pool] & truth.unknown[pool]
    places = _places(method.scores[pool])
    rows = [
        ("precision", *bootstrap(ranking, lambda one: one.precision(top))),
        ("average_precision", *bootstrap(ranking, Ranking.average_precision)),
        ("recall", *bootstrap(ranking, lambda one: one.recall(top))),
        ("recall_findable", *_share(places[findable] <= top)),
        ("enrichment", *bootstrap(ranking, lambda one: one.enrichment(top))),
        ("roc_area", *bootstrap(ranking, Ranking.roc_area)),
    ]
    return [(method.name, *row) for row in rows]


def judge_random(
    pool: NDArray[np.bool_], truth: Truth, top: int, seed: int, draws: int = 100
) -> list[tuple[str, str, float, float, float]]:
    """The same figures for random orders: mean, 16 % and 84 % of many."""
    figures = []
    for draw in range(draws):
        scores = np.random.default_rng([seed, draw]).random(len(pool)).astype(np.float32)
        ranking = rank(scores[pool], truth.unknown[pool])
        found = _places(scores[pool])[(truth.findable & truth.unknown)[pool]] <= top
        figures.append(
            (
                ranking.precision(top),
                ranking.average_precision(),
                ranking.recall(top),
                found.mean() if len(found) else np.nan,
                ranking.enrichment(top),
                ranking.roc_area(),
            )
        )
    low, high = np.quantile(figures, [0.16, 0.84], axis=0)
    middle = np.mean(figures, axis=0)
    return [
        ("random", name, float(middle[place]), float(low[place]), float(high[place]))
        for place, name in enumerate(FIGURES)
    ]


def judge_all(
    methods: Sequence[Method], pool: NDArray[np.bool_], truth: Truth, top: int, seed: int
) -> list[tuple[str, str, float, float, float]]:
    """Rows of METHODS for every method, and for random orders."""
    rows = [row for method in methods for row in judge(method, pool, truth, top)]
    return rows + judge_random(pool, truth, top, seed)


def average(
    rounds: Sequence[Sequence[tuple[str, str, float, float, float]]],
) -> list[tuple[str, str, float, float, float]]:
    """Mean of value, low and high over rounds of the same methods.

    The range stays that of one round: rounds share most of their lenses, so it does not shrink with their number.
    """
    means = np.mean([[row[2:] for row in rows] for rows in rounds], axis=0)
    return [(first[0], first[1], *map(float, mean)) for first, mean in zip(rounds[0], means, strict=True)]  # type: ignore[misc]


def recall_rows(
    method: Method, pool: NDArray[np.bool_], truth: Truth, top: int, quantity: str, edges: Sequence[float]
) -> list[tuple[str, str, float, float, int, int]]:
    """Lenses and those found among the top N, in bins of arc_mag_g or theta_e_arcsec, as rows of RECALL."""
    lenses = truth.unknown[pool]
    values = {"arc_mag_g": truth.arc_mag_g, "theta_e_arcsec": truth.theta_e_arcsec}[quantity][pool][lenses]
    there, found = recall_by(values, _places(method.scores[pool])[lenses] <= top, np.asarray(edges))
    return [
        (method.name, quantity, low, high, int(one), int(two))
        for (low, high), one, two in zip(pairwise(edges), there, found, strict=True)
    ]


def table(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    """Rows as a table."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table(
        [pa.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def count_lenses(truth: Truth, pool: NDArray[np.bool_]) -> dict[str, int]:
    """How many lenses there are, of which kind."""
    return {
        "all": int(truth.is_lens.sum()),
        "listed": int((truth.is_lens & truth.known_lens).sum()),
        "unknown": int(truth.unknown.sum()),
        "unknown_in_pool": int((truth.unknown & pool).sum()),
        "findable_in_pool": int((truth.unknown & truth.findable & pool).sum()),
    }


def summarise_methods(rows: Sequence[tuple[str, str, float, float, float]]) -> list[dict[str, Any]]:
    """Rows of METHODS as JSON: an entry a method, with each figure's value, low and high."""
    found: dict[str, dict[str, Any]] = {}
    for method, figure, *values in rows:
        entry = found.setdefault(method, {"method": method})
        entry[figure] = {name: finite(value) for name, value in zip(("value", "low", "high"), values, strict=True)}
    return list(found.values())


def judge_candidates(candidates: Artifact, cutouts: Artifact, truth: Truth) -> dict[str, Any]:
    """The ranked list that people would inspect: unknown lenses among its first objects.

    Args:
        candidates: with columns rank and ls_id.
        cutouts: the release that the truth is of; candidates of others are left out.
        truth: of its rows.

    Returns:
        Length, unlisted lenses found (and findable ones), precision and recall, also at each tenth of the list. An object
        in the field of an unlisted lens is not counted as found: its image shows the lens, its rank does not.
    """
    listed = candidates.table("candidates").read(["rank", "ls_id"])
    order = np.argsort(listed["rank"].to_numpy(), kind="stable")
    ids = listed["ls_id"].to_numpy()[order]
    all_ids = cutouts.table("catalogue").read(["ls_id"])["ls_id"].to_numpy()
    by_id = np.argsort(all_ids)
    places = by_id[np.minimum(np.searchsorted(all_ids[by_id], ids), len(all_ids) - 1)]
    places = places[all_ids[places] == ids]
    hits, findable = truth.unknown[places], (truth.unknown & truth.findable)[places]
    steps = sorted({max(1, round(len(places) * tenth / 10)) for tenth in range(1, 11)}) if len(places) else []
    return {
        "length": len(places),
        "found": int(hits.sum()),
        "found_findable": int(findable.sum()),
        "precision": finite(hits.mean() if len(hits) else np.nan),
        "recall": finite(hits.sum() / max(1, truth.unknown.sum())),
        "recall_findable": finite(findable.sum() / max(1, (truth.unknown & truth.findable).sum())),
        "found_among_first": {str(step): int(hits[:step].sum()) for step in steps},
    }


def _places(scores: Floats) -> Ints:
    """Place of each object from 1; among equals the pessimistic one; NaN comes last."""
    values = np.where(np.isnan(scores), -np.inf, scores)
    return len(values) - np.searchsorted(np.sort(values), values, side="left")


def _share(found: NDArray[np.bool_]) -> tuple[float, float, float]:
    """A share with its binomial 68 % range (Jeffreys)."""
    from scipy.stats import beta

    if not len(found):
        return float("nan"), float("nan"), float("nan")
    low, high = beta.ppf([0.16, 0.84], found.sum() + 0.5, (~found).sum() + 0.5)
    return float(found.mean()), float(low), float(high)
