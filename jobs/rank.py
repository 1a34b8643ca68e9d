"""rank: the best of each method merged into one list, known lenses and duplicates left out, with evidence (paper 4.3).

Scores are streamed twice, a quarter of a million rows at a time; memory is that of one such range and of the pools (a
few times the budgets): 0.3 GiB for the paper's. Time grows linearly with the rows: a second for a million and two methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lenscore.candidates.strata import PAPER_STRATA, Stratum
from lenscore.config import Config, field
from lenscore.errors import InputError

if TYPE_CHECKING:
    from lenscore.artifacts import Checkpoints, Inputs, Runtime, Sink
    from lenscore.candidates.sources import Searched

VERSION = 1


class RankConfig(Config):
    """Budgets, and what is left out."""

    strata: tuple[Stratum, ...] = field(
        PAPER_STRATA, unit="", source="paper 4.3", description="parts of the survey with their budgets", min_length=1
    )
    radius_arcsec: float = field(
        25.15, unit="arcsec", source="paper 2.2: 96 px", description="one candidate is kept within this", gt=0, le=36000
    )
    drop_known: bool = field(
        True, unit="", source="paper 4.3", description="leave known lenses out; else they are kept and flagged"
    )
    drop_ambiguous: bool = field(
        True, unit="", source="paper 2.2", description="leave listed but ambiguous ones out; else kept and flagged"
    )
    drop_near: bool = field(
        True, unit="", source="paper 4.3", description="leave objects near known lenses out; else kept and flagged"
    )
    queries: tuple[int, ...] = field(
        (), unit="", source="paper 4.3", description="ls_id of similarity queries; empty: the known lenses themselves"
    )
    similar_per_query: int = field(
        512,
        unit="objects",
        source="paper 4.1: 512 looked at for each query",
        description="similar objects of each",
        ge=1,
    )
    similar_limit: int = field(
        1536,
        unit="objects",
        source="paper 4.1: 3 queries of 512 each",
        description="the most objects that the similarity search may bring into a stratum",
        ge=1,
    )


def run(config: RankConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Write tables candidates and dropped, and sources.json."""
    from lenscore.candidates.evidence import candidate_table, dropped_table
    from lenscore.candidates.labels import AMBIGUOUS, LENS, NEAR
    from lenscore.candidates.ranking import rank_objects
    from lenscore.candidates.similar import SIMILARITY

    searched = _open(config, inputs)
    methods = list(dict.fromkeys(name for item in searched for name in item.methods))
    drops = {LENS: config.drop_known, AMBIGUOUS: config.drop_ambiguous, NEAR: config.drop_near}
    ranking = rank_objects(
        searched,
        config.strata,
        methods,
        limits={SIMILARITY: config.similar_limit},
        drop=[label for label, dropped in drops.items() if dropped],
        radius_arcsec=config.radius_arcsec,
        done=sink.progress,
    )
    candidates = candidate_table(ranking, searched, config.strata, methods)
    dropped = dropped_table(ranking, searched, config.strata)
    sink.write_table("candidates", candidates)
    sink.write_table("dropped", dropped)
    sink.write_json("sources.json", {"methods": methods, "releases": [item.provenance() for item in searched]})
    sink.metrics(
        rows=candidates.num_rows,
        candidates=candidates.num_rows,
        dropped=dropped.num_rows,
        budgets_filled=ranking.complete,
        objects=sum(item.catalogue.num_rows for item in searched),
    )


def _open(config: RankConfig, inputs: Inputs) -> list[Searched]:
    from lenscore.candidates.similar import add_similarity
    from lenscore.candidates.sources import open_searched

    searched = open_searched(inputs.many("cutouts"), inputs.many("scores"), inputs.many("labels"))
    add_similarity(searched, inputs.many("similarity"), config.queries, config.similar_per_query)
    for item in searched:
        if not item.methods:
            raise InputError(f"release {item.name} has neither scores nor neighbours", "classify it, or leave it out")
    return searched
