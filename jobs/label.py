"""label: tell lenses, objects near them, ambiguous ones and nonlenses apart (paper 2.2).

Without grades only the pairs are read: time and memory grow with the known lenses. With grades the catalogue is
streamed to find the graded objects, by position: a Dask task for each million rows, constant memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lenscore.config import Config, field
from lenscore.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

    from lenscore.artifacts import Artifact, Checkpoints, Inputs, Runtime, Sink

VERSION = 1


class LabelConfig(Config):
    """What makes a lens."""

    lens_votes: tuple[str, ...] = field(
        ("A", "B", "kept", "lens"),
        unit="",
        source="paper 4.3",
        description="people's grades that keep an object as a lens; any other leaves a listed one ambiguous",
    )
    lens_grades: tuple[str, ...] = field(
        ("A", "B", "confident"),
        unit="",
        source="assumed: lists' own words for a clear lens",
        description="lists' grades that make a lens where nobody has voted; any other leaves it ambiguous",
    )
    ungraded_are_lenses: bool = field(
        True,
        unit="",
        source="assumed: lists without grades hold confirmed lenses",
        description="whether a listed lens without any grade counts as a lens where nobody has voted",
    )
    match_arcsec: float = field(
        1.0,
        unit="arcsec",
        source="FACTS: Survey",
        description="a vote goes to the object nearest to its position, within this",
        gt=0,
        le=60,
    )
    near_arcsec: float = field(
        25.15,
        unit="arcsec",
        source="paper 2.2: 96 px",
        description="objects within this of a kept lens are near it",
        gt=0,
        le=36000,
    )


def run(config: LabelConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Write tables labels and vetting, and vetting.csv for people."""
    from lenscore.candidates.labels import accepted_systems, count_labels, label_objects, vetting_sheet
    from lenscore.survey.crossmatch import write_table

    cutouts, matches = inputs.one("cutouts"), inputs.one("matches")
    _check_belongs(matches, cutouts)
    pairs = matches.table("pairs").read()
    accepted = accepted_systems(pairs["grades"].to_pylist(), config.lens_grades, config.ungraded_are_lenses)
    voted, around_kept = _votes(config, cutouts, inputs.many("grades"), sink, runtime)
    labels = label_objects(pairs, accepted, voted, around_kept)
    vetting = vetting_sheet(labels, pairs, voted)
    sink.write_table("labels", labels)
    sink.write_table("vetting", vetting)
    with sink.file("vetting.csv") as path:
        write_table(_joined(vetting), path)
    counts = count_labels(labels, cutouts.table("catalogue").num_rows)
    sink.metrics(rows=labels.num_rows, to_vet=vetting.num_rows, voted=voted.num_rows, **counts)


def _check_belongs(matches: Artifact, cutouts: Artifact) -> None:
    if cutouts.reference not in matches.manifest.inputs.get("cutouts", ()):
        raise InputError(f"matches {matches.id[:12]} are not of cutouts {cutouts.id[:12]}", "crossmatch these cutouts")


def _votes(
    config: LabelConfig, cutouts: Artifact, grades: tuple[Artifact, ...], sink: Sink, runtime: Runtime
) -> tuple[pa.Table, pa.Table]:
    """Objects that were voted on, and pairs of objects and the positions that people kept."""
    from lenscore.candidates.labels import VOTED, around_kept, find_votes
    from lenscore.candidates.votes import find_graded
    from lenscore.survey.matching import FOUND, match_table
    from lenscore.survey.sky_geometry import TargetIndex

    catalogue = cutouts.table("catalogue")
    graded = find_graded(grades, catalogue, config.lens_votes)
    sink.reject(_lost(graded.lost))
    if len(graded.ra_v) == 0:
        return VOTED.empty_table(), FOUND.empty_table()
    index = TargetIndex(graded.ra_v, graded.dec_v, max(config.near_arcsec, config.match_arcsec))
    found, _ = match_table(
        catalogue, index, scheduler=runtime.dask_scheduler, threads=runtime.threads, done=sink.progress
    )
    voted = find_votes(found, graded.kept_v, config.match_arcsec)
    return voted, around_kept(found, graded.kept_v, voted, config.match_arcsec)


def _lost(ids: tuple[int, ...]) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    from lenscore.survey.schema import REJECTED

    nowhere, number = np.full(len(ids), np.nan), len(ids)
    reason = "graded, but neither in this catalogue nor among the graded candidates"
    columns = [[-1] * number, list(ids), nowhere, nowhere, ["grades"] * number, [reason] * number]
    return pa.table(columns, schema=REJECTED)


def _joined(table: pa.Table) -> pa.Table:
    """Lists as text, for a flat file."""
    import pyarrow as pa

    for name in ("names", "grades"):
        texts = pa.array([" | ".join(items) for items in table[name].to_pylist()], pa.string())
        table = table.set_column(table.schema.get_field_index(name), name, texts)
    return table
