"""The same objects in two versions of the candidates (FACTS: Survey, on identity across releases)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.artifacts import Artifact, Table
from lenscore.candidates.sources import row_ranges
from lenscore.errors import InputError
from lenscore.survey.matching import mark_nearest, match_table
from lenscore.survey.sky_geometry import TargetIndex

Key = tuple[str, int]
"""Release name and ls_id."""


@dataclass(frozen=True)
class Catalogue:
    """A release's objects."""

    name: str
    region: str
    bands: tuple[str, ...]
    table: Table

    @staticmethod
    def open(cutouts: Artifact) -> "Catalogue":
        """Open the catalogue of cutouts."""
        release = cutouts.read_json("release.json")
        return Catalogue(release["name"], release["region"], tuple(release["bands"]), cutouts.table("catalogue"))


@dataclass(frozen=True)
class Version:
    """One version of the candidates with the catalogues that it was drawn from.

    Attributes:
        artifact: the candidates.
        rows: their table.
        keys: who each row is.
        catalogues: by release name.
        place: row in the table by release and ls_id.
        dropped: why others are not in it, by release and ls_id.
        models: models by release and method.
        cutouts: id of the cutouts by release.
    """

    artifact: Artifact
    rows: pa.Table
    keys: list[Key]
    catalogues: dict[str, Catalogue]
    place: dict[Key, int]
    dropped: dict[Key, str]
    models: dict[str, dict[str, list[str]]]
    cutouts: dict[str, str]

    @staticmethod
    def open(artifact: Artifact, cutouts: Sequence[Artifact]) -> "Version":
        """Open a version.

        Raises:
            InputError: the cutouts are not those that it was drawn from.
        """
        rows = artifact.table("candidates").read(["rank", "ls_id", "release_name", "row", "ra", "dec"])
        sources = artifact.read_json("sources.json")
        wanted = {item["cutouts"] for item in sources["releases"]}
        given = {str(item.reference) for item in cutouts}
        if wanted != given:
            odd = min(wanted ^ given)
            raise InputError(
                f"{odd} is not in both the candidates' sources and the cutouts given",
                "give those that sources.json names",
            )
        return Version(
            artifact=artifact,
            rows=rows,
            keys=(keys := _keys(rows)),
            catalogues={item.name: item for item in map(Catalogue.open, cutouts)},
            place={key: place for place, key in enumerate(keys)},
            dropped=_dropped(artifact),
            models=_models(sources),
            cutouts={item["release"]: item["cutouts"] for item in sources["releases"]},
        )


@dataclass(frozen=True)
class Twin:
    """The same object in the other version's releases."""

    release: str
    ls_id: int
    row: int
    ra: float
    dec: float


def find_twins(
    here: Version, there: Version, match_arcsec: float, *, scheduler: str | None = None, threads: int = 1
) -> list[Twin | None]:
    """Find each candidate of one version in the other version's catalogues.

    Within one release by ls_id; in another release of the same region as mutually nearest objects. The catalogues are
    streamed; memory grows with the candidates only.

    Args:
        here: whose candidates to look for.
        there: in whose catalogues.
        match_arcsec: largest separation of mutually nearest objects [arcsec].
        scheduler, threads: where Dask runs.

    Returns:
        For each candidate its twin, or None where the release has no such object.
    """
    twins: list[Twin | None] = [None] * here.rows.num_rows
    names = here.rows["release_name"].to_pylist()
    for name, catalogue in here.catalogues.items():
        places = np.array([place for place, other in enumerate(names) if other == name], dtype=np.int64)
        if len(places) == 0:
            continue
        mine = here.rows.take(places)
        if name in there.catalogues:
            found = _by_identity(mine, there.catalogues[name])
        else:
            others = [item for item in there.catalogues.values() if item.region == catalogue.region]
            found = _mutually_nearest(mine, catalogue, others, match_arcsec, scheduler, threads)
        for place, twin in zip(places.tolist(), found, strict=True):
            twins[place] = twin
    return twins


def _by_identity(mine: pa.Table, catalogue: Catalogue) -> list[Twin | None]:
    wanted = mine["ls_id"].to_numpy()
    found: dict[int, Twin] = {}
    for start, stop in row_ranges(catalogue.table.num_rows):
        part = catalogue.table.read(["ls_id", "ra", "dec"], start, stop)
        here = np.flatnonzero(np.isin(part["ls_id"].to_numpy(), wanted))
        for row, values in zip((start + here).tolist(), part.take(here).to_pylist(), strict=True):
            found[values["ls_id"]] = Twin(catalogue.name, values["ls_id"], row, values["ra"], values["dec"])
    return [found.get(ls_id) for ls_id in wanted.tolist()]


def _mutually_nearest(
    mine: pa.Table, own: Catalogue, others: list[Catalogue], match_arcsec: float, scheduler: str | None, threads: int
) -> list[Twin | None]:
    ahead = _nearest(mine["ra"].to_numpy(), mine["dec"].to_numpy(), others, match_arcsec, scheduler, threads)
    targets = [target for target, twin in enumerate(ahead) if twin]
    ra = np.array([twin.ra for twin in ahead if twin])
    dec = np.array([twin.dec for twin in ahead if twin])
    back = dict(zip(targets, _nearest(ra, dec, [own], match_arcsec, scheduler, threads), strict=True))
    ids = mine["ls_id"].to_pylist()
    return [
        twin if twin and (there := back[target]) and there.ls_id == ids[target] else None
        for target, twin in enumerate(ahead)
    ]


def _nearest(
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    catalogues: list[Catalogue],
    match_arcsec: float,
    scheduler: str | None,
    threads: int,
) -> list[Twin | None]:
    """The object nearest to each position, of all catalogues."""
    best: list[tuple[float, Twin] | None] = [None] * len(ra)
    if len(ra) == 0:
        return []
    index = TargetIndex(ra, dec, match_arcsec)
    for catalogue in catalogues:
        found, _ = match_table(catalogue.table, index, scheduler=scheduler, threads=threads)
        for pair in found.filter(pa.array(mark_nearest(found))).to_pylist():
            twin = Twin(catalogue.name, pair["ls_id"], pair["row"], pair["ra"], pair["dec"])
            so_far = best[pair["target"]]
            if so_far is None or pair["separation_arcsec"] < so_far[0]:
                best[pair["target"]] = pair["separation_arcsec"], twin
    return [item[1] if item else None for item in best]


def _keys(rows: pa.Table) -> list[Key]:
    return list(zip(rows["release_name"].to_pylist(), rows["ls_id"].to_pylist(), strict=True))


def _dropped(artifact: Artifact) -> dict[Key, str]:
    rows = artifact.table("dropped").read(["release_name", "ls_id", "reason"])
    return dict(zip(_keys(rows), rows["reason"].to_pylist(), strict=True))


def _models(sources: dict[str, Any]) -> dict[str, dict[str, list[str]]]:
    return {
        item["release"]: {name: method["models"] for name, method in item["methods"].items()}
        for item in sources["releases"]
    }
