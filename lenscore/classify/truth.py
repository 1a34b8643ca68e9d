"""The truth of a simulated sky beside a release's rows. Nothing but the evaluation may use it."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.artifacts import Artifact
from lenscore.errors import InputError

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """What is true of each row of a release's cutouts (N,).

    Args:
        is_lens: the deflector of a strong lens.
        findable: its arcs stand out from the noise.
        companion: in the field of a lens without being its deflector: neither right nor wrong.
        listed: labelled lens, near or ambiguous, so known before the search.
        known_lens: labelled lens.
        theta_e_arcsec: Einstein radius, NaN where there is no lens.
        arc_mag_g: g magnitude of the arcs, likewise.
    """

    is_lens: Flags
    findable: Flags
    companion: Flags
    listed: Flags
    known_lens: Flags
    theta_e_arcsec: Floats
    arc_mag_g: Floats

    @property
    def unknown(self) -> Flags:
        """Lenses that nobody has listed: what there is to find."""
        return self.is_lens & ~self.listed


def read_truth(sky: Artifact, cutouts: Artifact, labels: Artifact) -> Truth:
    """Put the truth of a sky beside the rows of its cutouts; memory grows with the rows.

    Args:
        sky: with table truth.
        cutouts: ingested from it.
        labels: of these cutouts.

    Returns:
        The truth.

    Raises:
        InputError: an object of the cutouts is not in the sky.
    """
    columns = ["ls_id", "is_lens", "findable", "system_id", "theta_e_arcsec", "arc_mag_g"]
    truth = sky.table("truth").read(columns)
    ids = cutouts.table("catalogue").read(["ls_id"])["ls_id"].to_numpy()
    truth = truth.take(pa.array(_places(truth["ls_id"].to_numpy(), ids, sky)))
    listed, known = np.zeros((2, len(ids)), bool)
    rows = labels.table("labels").read(["row", "label"])
    listed[rows["row"].to_numpy()] = True
    known[rows["row"].to_numpy()[np.array(rows["label"].to_pylist(), object) == "lens"]] = True
    is_lens = truth["is_lens"].to_numpy()
    in_system = ~np.asarray(truth["system_id"].is_null().to_numpy())
    return Truth(
        is_lens,
        truth["findable"].to_numpy() & is_lens,
        in_system & ~is_lens,
        listed,
        known,
        truth["theta_e_arcsec"].to_numpy().astype(float),
        truth["arc_mag_g"].to_numpy().astype(float),
    )


def _places(sky_ids: NDArray[np.int64], ids: NDArray[np.int64], sky: Artifact) -> NDArray[np.int64]:
    order = np.argsort(sky_ids, kind="stable")
    places = np.minimum(np.searchsorted(sky_ids[order], ids), len(sky_ids) - 1)
    wrong = sky_ids[order][places] != ids
    if wrong.any():
        raise InputError(
            f"object {ids[wrong][0]} is not in sky {sky.id[:12]}", "evaluate cutouts that were ingested from it"
        )
    return order[places]


def finite(value: float) -> float | None:
    """A number for JSON; None if there is none."""
    return float(value) if np.isfinite(value) else None
