"""The evaluation as rows of text, for a table at the end of a run."""

from typing import Any

HEADER = ("method", "precision", "average precision", "recall", "recall, findable", "lenses in first similar")


def rows(evaluation: dict[str, Any]) -> list[tuple[str, ...]]:
    """Rows of the table that a run ends with.

    Args:
        evaluation: evaluation.json.

    Returns:
        HEADER, then a row a method; "-" where a figure does not apply.
    """
    similar = {one["encoder"]: one for one in evaluation["similarity"]}
    names = list(dict.fromkeys([*(one["method"] for one in evaluation["methods"]), *similar]))
    methods = {one["method"]: one for one in evaluation["methods"]}
    return [HEADER, *(_row(name, methods.get(name, {}), similar.get(name, {})) for name in names)]


def headline(evaluation: dict[str, Any]) -> str:
    """One line: what was searched and what there was to find."""
    lenses = evaluation["lenses"]
    return (
        f"{lenses['unknown_in_pool']} unlisted lenses ({lenses['findable_in_pool']} findable) among {evaluation['pool']} "
        f"objects that no classifier was fitted to; the first {evaluation['top']} looked at"
    )


def _row(name: str, method: dict[str, Any], similar: dict[str, Any]) -> tuple[str, ...]:
    figures = [_figure(method.get(key)) for key in ("precision", "average_precision", "recall", "recall_findable")]
    found = f"{similar['found']:.1f} ({similar['enrichment']:.1f}x)" if similar else "-"
    return name, *figures, found


def _figure(figure: dict[str, float] | None) -> str:
    if figure is None or figure["value"] is None:
        return "-"
    return f"{figure['value']:.3f} ({figure['low']:.3f}-{figure['high']:.3f})"
