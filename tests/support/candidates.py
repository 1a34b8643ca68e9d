"""Small artifacts without images, for the jobs that read tables only."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lenscore.artifacts import ArraySpec, Artifact, Manifest, Sink, Store
from lenscore.artifacts.artifact import FILES, artifact_prefix, manifest_key
from lenscore.artifacts.manifest import artifact_id, canonical_json, sha256
from lenscore.survey.ids import encode
from lenscore.survey.release import Release, find_release
from lenscore.survey.schema import catalogue_schema


def put_artifact(
    store: Store,
    kind: str,
    *,
    tables: Mapping[str, pa.Table] | None = None,
    jsons: Mapping[str, Any] | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
    config: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Sequence[Artifact]] | None = None,
) -> Artifact:
    """Store an artifact of any kind as if a job had made it."""
    references = {name: tuple(item.reference for item in items) for name, items in (inputs or {}).items()}
    content = [str(table.to_pydict()) for table in (tables or {}).values()]
    content += [array.tobytes().hex() for array in (arrays or {}).values()]
    id = artifact_id("test", 1, config or {}, references, sha256("".join([kind, *content, str(jsons)]).encode()))
    with tempfile.TemporaryDirectory() as folder:
        sink = Sink(store, kind, id, Path(folder))
        _write(sink, tables or {}, jsons or {}, arrays or {})
    data = _files_table(sink)
    store.put(f"{artifact_prefix(kind, id)}/files.parquet", data)
    manifest = Manifest(
        kind=kind,
        id=id,
        job="test",
        job_version=1,
        config=dict(config or {}),
        inputs=references,
        rows=None,
        files=len(sink.files),
        bytes=sum(info.size for info in sink.files.values()),
        files_sha256=sha256(data),
        software="tests",
        created="2026-01-01T00:00:00+00:00",
        seconds=0,
        peak_memory_gib=0,
    )
    store.put(manifest_key(kind, id), canonical_json(manifest.model_dump(mode="json")))
    return Artifact.open(store, kind, id)


def _write(
    sink: Sink, tables: Mapping[str, pa.Table], jsons: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    for name, table in tables.items():
        sink.write_table(name, table)
    for path, value in jsons.items():
        sink.write_json(path, value)
    for path, array in arrays.items():
        spec = ArraySpec(
            rows=len(array), row_shape=array.shape[1:], dtype=str(array.dtype), chunk_rows=16, shard_rows=64
        )
        sink.declare_array(path, spec)
        sink.write_rows(path, 0, array)


def _files_table(sink: Sink) -> bytes:
    rows = [asdict(sink.files[path]) for path in sorted(sink.files)]
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=FILES), buffer)
    return buffer.getvalue().to_pybytes()


def catalogue_rows(
    ra: Sequence[float],
    dec: Sequence[float],
    *,
    release: Release | str = "dr9-south",
    first_objid: int = 0,
    **columns: Any,
) -> pa.Table:
    """A full catalogue at given positions; any column can be set by name."""
    release = find_release(release) if isinstance(release, str) else release
    number = len(ra)
    release_number = release.release_numbers[0] if release.release_numbers else 9100
    objid = first_objid + np.arange(number)
    values: dict[str, Any] = {
        "ls_id": encode(np.full(number, release_number), np.full(number, 7), objid),
        "release": [release_number] * number,
        "brickid": [7] * number,
        "objid": objid,
        "region": [release.region] * number,
        "ra": ra,
        "dec": dec,
        "type": ["SER"] * number,
        "ebv": [0.03] * number,
        "maskbits": [0] * number,
        "z_phot": [0.5] * number,
        "z_spec": [np.nan] * number,
    }
    for band, mag in zip(release.bands, (20.5, 19.5, 19.0), strict=False):
        flux = 10 ** (0.4 * (22.5 - mag))
        values |= {
            f"flux_{band}": [flux] * number,
            f"fiberflux_{band}": [flux / 2] * number,
            f"mag_{band}": [mag] * number,
        }
        values |= {
            f"psfsize_{band}": [1.3] * number,
            f"psfdepth_{band}": [800.0] * number,
            f"nobs_{band}": [3] * number,
        }
    values |= columns
    schema = catalogue_schema(release.bands)
    return pa.table({name: pa.array(np.asarray(values[name]), type=schema.field(name).type) for name in schema.names})


def put_cutouts(store: Store, catalogue: pa.Table, release: Release | str = "dr9-south") -> Artifact:
    """A cutouts artifact that holds the catalogue only."""
    release = find_release(release) if isinstance(release, str) else release
    return put_artifact(
        store, "cutouts", tables={"catalogue": catalogue}, jsons={"release.json": release.model_dump(mode="json")}
    )


def put_scores(
    store: Store, cutouts: Artifact, scores: Sequence[float], *, method: str = "linear", model: Artifact | None = None
) -> Artifact:
    """A scores artifact of a model of some type."""
    model = model or put_model(store, method)
    values = np.asarray(scores, dtype=np.float32)
    table = pa.table(
        {
            "row": np.arange(len(values)),
            "ls_id": cutouts.table("catalogue").read(["ls_id"])["ls_id"],
            "score": values,
            "probability": (1 / (1 + np.exp(-values))).astype(np.float32),
        }
    )
    return put_artifact(store, "scores", tables={"scores": table}, inputs={"cutouts": [cutouts], "model": [model]})


def put_model(store: Store, method: str = "linear", seed: int = 0) -> Artifact:
    """A model artifact with its type only."""
    return put_artifact(store, "model", jsons={"model.json": {"type": method}}, config={"seed": seed})


def put_labels(store: Store, cutouts: Artifact, labels: Mapping[int, str]) -> Artifact:
    """A labels artifact: label by row; each names its lens after the row."""
    rows = sorted(labels)
    catalogue = cutouts.table("catalogue").read(["ls_id", "ra", "dec"]).take(pa.array(rows, pa.int64()))
    table = pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            **{name: catalogue[name] for name in ("ls_id", "ra", "dec")},
            "label": pa.array([labels[row] for row in rows], pa.string()),
            "system_id": pa.array([f"system {row}" for row in rows], pa.string()),
            "separation_arcsec": pa.array([1.0] * len(rows), pa.float64()),
        }
    )
    return put_artifact(store, "labels", tables={"labels": table}, inputs={"cutouts": [cutouts]})


def put_neighbours(store: Store, cutouts: Artifact, rows: np.ndarray, similarity: np.ndarray) -> Artifact:
    """A neighbours artifact, with the embeddings and model behind it."""
    embeddings = put_artifact(
        store, "embeddings", inputs={"cutouts": [cutouts], "model": [put_model(store, "encoder")]}
    )
    order = np.arange(len(rows), dtype=np.uint32)[::-1].copy()  # stored by magnitude: here, back to front
    arrays = {
        "neighbours.zarr/rows": np.asarray(rows, np.uint32)[order],
        "neighbours.zarr/similarity": np.asarray(similarity, np.float16)[order],
        "neighbours.zarr/position": order,
    }
    return put_artifact(
        store,
        "neighbours",
        arrays=arrays,
        jsons={"neighbours.json": {"embeddings": embeddings.id}},
        inputs={"cutouts": [cutouts], "embeddings": [embeddings]},
    )


def put_grades(store: Store, grades: Mapping[int, str], candidates: Artifact | None = None) -> Artifact:
    """A grades artifact: grade by ls_id, as given on candidates where there are any."""
    table = pa.table(
        {"ls_id": pa.array(list(grades), pa.int64()), "grade": pa.array(list(grades.values()), pa.string())}
    )
    inputs = {"candidates": [candidates]} if candidates else {}
    return put_artifact(store, "grades", tables={"grades": table, "votes": table}, inputs=inputs)
