"""A sky whose rows and images are given, not simulated."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lenscore.artifacts import Artifact, Store
from lenscore.survey.ids import encode
from lenscore.survey.release import Release
from tests.support.candidates import catalogue_rows, put_artifact


def put_sky(store: Store, images: NDArray[np.float32], columns: Mapping[str, Any], release: Release) -> Artifact:
    """Store one; columns as of `tests.survey.layouts.object_columns`, and those that they lack are left out."""
    rows = len(images)
    names = ("ra", "dec", "release", "brickid", "objid")
    given = {name: np.asarray(columns[name]) for name in names if name in columns}
    objects = catalogue_rows([0.0] * max(rows, 1), [0.0] * max(rows, 1), release=release).slice(0, rows)
    given["ls_id"] = encode(given["release"], given["brickid"], given["objid"])
    for name, values in given.items():
        place = objects.schema.get_field_index(name)
        objects = objects.set_column(place, objects.schema.field(place), pa.array(values, objects.schema.types[place]))
    objects = objects.drop_columns([name for name in names if name not in columns])
    arrays = {
        "images.zarr/images": np.ascontiguousarray(images),
        "images.zarr/step": np.ones((rows, len(release.bands)), np.float32),
        "images.zarr/valid": np.ones(rows, bool),
    }
    return put_artifact(
        store,
        "sky",
        tables={"objects": objects, "lenses": pa.table({"ra": [1.0]}), "truth": pa.table({"row": [0]})},
        arrays=arrays,
        jsons={"release.json": release.model_dump(mode="json")},
    )
