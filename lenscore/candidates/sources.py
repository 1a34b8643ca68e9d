"""What a ranking draws on: for each searched release its catalogue, scores, labels and similar objects."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.artifacts import Artifact, Table
from lenscore.errors import InputError, LensError

RANGE_ROWS = 1 << 18
"""Rows that are held at a time, with all that is made of them: some 50 MB."""


class Scores(Protocol):
    """Scores of one method for the objects of one release."""

    @property
    def artifact(self) -> Artifact:
        """Where they come from."""

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Scores of rows start..stop, the higher the better; NaN for none."""


@dataclass(frozen=True)
class ScoreTable:
    """Scores of a classifier, one a row."""

    artifact: Artifact

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Scores of rows start..stop; NaN for none."""
        column = self.artifact.table("scores").read(["score"], start, stop)["score"]
        return np.asarray(column.to_numpy(), dtype=np.float64)

    def probabilities(self, start: int, stop: int) -> NDArray[np.float64]:
        """Calibrated probabilities of rows start..stop; NaN for none."""
        column = self.artifact.table("scores").read(["probability"], start, stop)["probability"]
        return np.asarray(column.to_numpy(), dtype=np.float64)


@dataclass(frozen=True)
class Searched:
    """One release as it is searched.

    Attributes:
        name: the release's.
        bands: its bands.
        cutouts: its catalogue (and images).
        labels: who is a lens or near one; None where nobody looked.
        methods: scores by method.
    """

    name: str
    bands: tuple[str, ...]
    cutouts: Artifact
    labels: Artifact | None
    methods: dict[str, Scores] = field(default_factory=dict)

    @property
    def catalogue(self) -> Table:
        """Its table of objects."""
        return self.cutouts.table("catalogue")

    def known(self) -> pa.Table:
        """Its labelled rows; none where nobody looked."""
        columns = ["row", "label", "system_id", "separation_arcsec"]
        if self.labels is not None:
            return self.labels.table("labels").read(columns)
        types = [pa.int64(), pa.string(), pa.string(), pa.float64()]
        return pa.schema(list(zip(columns, types, strict=True))).empty_table()

    def provenance(self) -> dict[str, Any]:
        """Which artifacts and models are behind it, as JSON types."""
        methods = {
            name: {"artifact": str(item.artifact.reference), "models": models_of(item.artifact)}
            for name, item in self.methods.items()
        }
        labels = str(self.labels.reference) if self.labels else None
        return {"release": self.name, "cutouts": str(self.cutouts.reference), "labels": labels, "methods": methods}


def open_searched(
    cutouts: Sequence[Artifact], scores: Sequence[Artifact], labels: Sequence[Artifact]
) -> list[Searched]:
    """Sort artifacts by the cutouts that they belong to.

    A method is named after its model's type (linear, finetuned); a second model of one type gets a number.

    Args:
        cutouts: one a release.
        scores, labels: each made from one of these cutouts.

    Returns:
        The releases, in the order of the cutouts.

    Raises:
        InputError: cutouts were given twice, or an artifact belongs to none of them, or two to one.
    """
    searched = {item.id: _open_one(item, labels) for item in cutouts}
    if len(searched) != len(cutouts):
        raise InputError(f"{len(cutouts) - len(searched)} of the cutouts were given twice", "give each release once")
    for item in [*scores, *labels]:
        owner_of(item, searched)
    names: dict[tuple[str, str], str] = {}
    for item in scores:
        owner, name = owner_of(item, searched), _method_name(item, names)
        if name in owner.methods:
            raise InputError(f"method {name} has two scores for release {owner.name}", "give one of each model")
        if item.table("scores").num_rows != owner.catalogue.num_rows:
            raise InputError(
                f"scores {item.id[:12]} have {item.table('scores').num_rows} rows, their catalogue "
                f"{owner.catalogue.num_rows}",
                "classify these cutouts again",
            )
        owner.methods[name] = ScoreTable(item)
    return list(searched.values())


def row_ranges(rows: int) -> Iterator[tuple[int, int]]:
    """Cut a catalogue into ranges of rows."""
    for start in range(0, rows, RANGE_ROWS):
        yield start, min(start + RANGE_ROWS, rows)


def models_of(artifact: Artifact) -> list[str]:
    """Ids of the models behind scores, embeddings or neighbours."""
    inputs = artifact.manifest.inputs
    if "model" in inputs:
        return [item.id for item in inputs["model"]]
    return [model for item in inputs.get("embeddings", ()) for model in _models_of_stored(artifact, item.kind, item.id)]


def _models_of_stored(artifact: Artifact, kind: str, id: str) -> list[str]:
    try:
        return models_of(Artifact.open(artifact.store, kind, id))
    except LensError:
        return [id]


def _open_one(cutouts: Artifact, labels: Sequence[Artifact]) -> Searched:
    release = cutouts.read_json("release.json")
    own = [item for item in labels if cutouts.reference in item.manifest.inputs.get("cutouts", ())]
    if len(own) > 1:
        raise InputError(f"release {release['name']} has {len(own)} labels", "give one")
    return Searched(release["name"], tuple(release["bands"]), cutouts, own[0] if own else None)


def owner_of(item: Artifact, searched: dict[str, Searched]) -> Searched:
    """The release whose cutouts an artifact was made from.

    Raises:
        InputError: it is none of these.
    """
    for reference in item.manifest.inputs.get("cutouts", ()):
        if reference.id in searched:
            return searched[reference.id]
    raise InputError(f"{item.kind} {item.id[:12]} belongs to none of the cutouts given", "give its cutouts as well")


def _method_name(scores: Artifact, names: dict[tuple[str, str], str]) -> str:
    """The same name for the same models, in whatever order they come."""
    model = tuple(models_of(scores))
    kind = _model_type(scores)
    key = (kind, " ".join(model))
    if key not in names:
        number = 1 + sum(other == kind for other, _ in names)
        names[key] = kind if number == 1 else f"{kind}_{number}"
    return names[key]


def _model_type(scores: Artifact) -> str:
    for item in scores.manifest.inputs.get("model", ()):
        found = Artifact.open(scores.store, item.kind, item.id).read_json("model.json").get("type", "")
        return re.sub(r"[^a-z0-9]+", "_", str(found).lower()) or "scores"
    return "scores"
