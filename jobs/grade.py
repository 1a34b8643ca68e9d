"""grade: people's votes merged into grades; every vote is kept (paper section 4.4).

Memory and time grow with the votes: some 300 bytes each.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lenscore.config import Config, field
from lenscore.errors import InputError

if TYPE_CHECKING:
    from lenscore.artifacts import Checkpoints, Inputs, Runtime, Sink

VERSION = 1


class GradeConfig(Config):
    """Where the votes are."""

    files: tuple[str, ...] = field(
        (),
        unit="",
        source="paper 4.4",
        identity=False,
        description="tables with columns ls_id and grade (A, B or X); grader and time if known",
    )


def listing(config: GradeConfig) -> list[tuple[str, int, str]]:
    """What the votes' files hold; their places do not matter."""
    from lenscore.artifacts.manifest import sha256

    found = []
    for name in config.files:
        try:
            data = Path(name).read_bytes()
        except OSError as error:
            raise InputError(f"cannot read the grades in {name}: {error.strerror}", "check the path") from error
        found.append((Path(name).name, len(data), sha256(data)))
    return found


def run(config: GradeConfig, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime) -> None:
    """Write tables votes, grades and, for votes that cannot be used, rejected."""
    import pyarrow as pa

    from lenscore.candidates.grades import merge_votes, read_votes
    from lenscore.survey.schema import REJECTED

    kind, listed = inputs.either("candidates", "labels")
    shown = listed.table({"candidates": "candidates", "labels": "vetting"}[kind])
    known = set(shown.read(["ls_id"])["ls_id"].to_pylist())
    votes = [item.table("votes").read() for item in inputs.many("grades")]
    refused: list[tuple[str, str, str]] = []
    for name in config.files:
        table, bad = read_votes(Path(name))
        votes.append(table)
        refused += [(Path(name).name, what, reason) for what, reason in bad]
    if not votes:
        raise InputError("there are no grades", "name at least one table under [grade] files")
    every = pa.concat_tables(votes)
    strangers = [ls_id for ls_id in every["ls_id"].to_pylist() if ls_id not in known]
    refused += [
        ("votes", str(ls_id), f"none of the {kind} shown has this ls_id; the vote is kept, but not published")
        for ls_id in strangers
    ]
    sink.write_table("votes", every)
    sink.write_table("grades", merge_votes(every))
    sink.reject(
        pa.Table.from_pylist(
            [
                {
                    "row": -1,
                    "ls_id": -1,
                    "ra": float("nan"),
                    "dec": float("nan"),
                    "source": source,
                    "reason": f"{what}: {reason}",
                }
                for source, what, reason in refused
            ],
            schema=REJECTED,
        )
    )
    sink.metrics(votes=every.num_rows, strangers=len(strangers))
