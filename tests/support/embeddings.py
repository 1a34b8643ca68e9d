"""Small embeddings for tests, made through the real runner and sink."""

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from jobs.runner import run_task
from jobs.specs import JobSpec
from jobs.tasks import Task
from lenscore.artifacts import ArraySpec, Artifact, Checkpoints, Inputs, Runtime, Sink, Store
from lenscore.artifacts.manifest import artifact_id
from lenscore.config import Config, field

SHARD_ROWS = 1024
CHUNK_ROWS = 64


def small_embeddings(
    store: Store,
    cutouts: Artifact | None = None,
    rows: int = 64,
    dimension: int = 16,
    seed: int = 0,
    vectors: NDArray[np.floating] | None = None,
    valid: NDArray[np.bool_] | None = None,
    model_id: str = "0" * 64,
    info: dict[str, Any] | None = None,
) -> Artifact:
    """Make an embeddings artifact.

    Args:
        store: where.
        cutouts: gives the number of rows, ls_id and validity; without it ls_id counts from 10^16.
        rows: number of objects, without cutouts and vectors.
        dimension: length of a vector, where they are drawn (normal, seeded).
        seed: of the draw.
        vectors: (N, D) to store instead; rounded to float16.
        valid: (N,) bool; without it as in the cutouts, or all true.
        model_id: what embeddings.json says.
        info: more for embeddings.json.
    """
    ls_id = 10**16 + np.arange(len(vectors) if vectors is not None else rows)
    if cutouts is not None:
        ls_id = cutouts.table("catalogue").read(["ls_id"])["ls_id"].to_numpy()
        valid = cutouts.array("images.zarr/valid")[:] if valid is None else valid
    if vectors is None:
        vectors = np.random.default_rng(seed).standard_normal((len(ls_id), dimension))
    given = _Given(
        np.asarray(vectors, np.float16),
        np.ones(len(ls_id), bool) if valid is None else np.asarray(valid, bool),
        np.asarray(ls_id, np.int64),
        {"dimension": vectors.shape[1], "model": model_id, "cutouts": cutouts.id if cutouts else None, **(info or {})},
    )
    digest = hashlib.sha256(repr(given.info).encode())
    for array in (given.vectors, given.valid, given.ls_id):
        digest.update(np.ascontiguousarray(array).tobytes())
    config = GivenEmbeddings(digest=digest.hexdigest())
    spec = _GivenSpec("given", "store given embeddings", "GivenEmbeddings", (), "embeddings", unit_rows=SHARD_ROWS)
    object.__setattr__(spec, "given", given)
    task = Task(spec, config, {}, None, artifact_id("given", 1, config.identity(), {}))
    return run_task(store, task, Runtime(workers=1, threads=1, scratch=Path(tempfile.gettempdir())))


class GivenEmbeddings(Config):
    """Identity of given embeddings."""

    digest: str = field(unit="", source="tests", description="hash of the content")


@dataclass(frozen=True)
class _Given:
    """A job around given vectors."""

    vectors: NDArray[np.float16]
    valid: NDArray[np.bool_]
    ls_id: NDArray[np.int64]
    info: dict[str, Any]
    VERSION = 1

    def plan(self, config: GivenEmbeddings, inputs: Inputs, sink: Sink, runtime: Runtime) -> int:
        for name, array in self._arrays().items():
            spec = ArraySpec(len(array), array.shape[1:], array.dtype.name, CHUNK_ROWS, SHARD_ROWS)
            sink.declare_array(f"embeddings.zarr/{name}", spec)
        sink.write_json("embeddings.json", self.info)
        return len(self.ls_id)

    def run(
        self, config: GivenEmbeddings, inputs: Inputs, sink: Sink, checkpoints: Checkpoints, runtime: Runtime
    ) -> None:
        for name, array in self._arrays().items():
            sink.write_rows(f"embeddings.zarr/{name}", sink.rows.start, array[sink.rows.start : sink.rows.stop])

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"embeddings": self.vectors, "valid": self.valid, "ls_id": self.ls_id}


class _GivenSpec(JobSpec):
    given: _Given

    def module(self) -> ModuleType:
        return cast(ModuleType, self.given)
