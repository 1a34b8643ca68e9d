"""What goes into a published catalogue, and the page that says where it came from."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from lenscore.artifacts import Artifact, Inputs
from lenscore.candidates.formats import meaning_of
from lenscore.candidates.summary import as_markdown


def published_rows(candidates: Artifact, grades: Sequence[Artifact], wanted: Sequence[str]) -> pa.Table:
    """The candidates with people's grades, without those that people refused.

    Args:
        candidates: the ranked list.
        grades: merged grades; where several name an object, the last wins.
        wanted: grades that are published; "" is not graded.

    Returns:
        Rows in the order of rank.
    """
    table = candidates.table("candidates").read()
    known: dict[int, str] = {}
    for artifact in grades:
        merged = artifact.table("grades").read(["ls_id", "grade"])
        known |= dict(zip(merged["ls_id"].to_pylist(), merged["grade"].to_pylist(), strict=True))
    grade = pa.array([known.get(ls_id, "") for ls_id in table["ls_id"].to_pylist()], pa.string())
    place = table.column_names.index("grade") if "grade" in table.column_names else None
    table = table.append_column("grade", grade) if place is None else table.set_column(place, "grade", grade)
    return table.filter(pc.is_in(table["grade"], pa.array(list(wanted), pa.string())))


def provenance(inputs: Inputs, counts: pa.Table, figures: Sequence[str]) -> str:
    """The README of a catalogue.

    Args:
        inputs: what it was made from.
        counts: Table 1.
        figures: paths of the figures.

    Returns:
        Markdown.
    """
    candidates = inputs.one("candidates")
    columns = pa.table(
        {
            "column": candidates.table("candidates").schema.names,
            "unit": [meaning_of(name).unit or "-" for name in candidates.table("candidates").schema.names],
            "meaning": [meaning_of(name).says or "-" for name in candidates.table("candidates").schema.names],
        }
    )
    artifacts = [
        (name, item.kind, item.id, item.manifest.job, item.manifest.software)
        for name, references in inputs.references.items()
        for item in (inputs.many(name) if references else ())
    ]
    # No times: they are in the manifests, and the same inputs must give the same bytes wherever they were made.
    made_from = pa.table(
        dict(zip(("input", "kind", "id", "job", "software"), zip(*artifacts, strict=True), strict=True))
    )
    shown = "\n".join(f"![{path}]({path})" for path in figures)
    return (
        "# Strong lens candidates\n\n"
        "These are candidates: images with the features of strong lensing, ranked by machine. None is confirmed.\n\n"
        f"## By grade and region\n\n{as_markdown(counts)}\n"
        f"## Columns\n\n{as_markdown(columns)}\n"
        f"## Made from\n\n{as_markdown(made_from)}\n"
        "`lenscore artifacts lineage` follows each of these to its sources.\n\n"
        f"## Figures\n\n{shown}\n"
    )
