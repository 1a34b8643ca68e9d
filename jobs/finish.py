"""The last step of a job: check what is really stored, then write the manifest."""

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import lenscore
from jobs.tasks import Task, done_units, load_record, unit_count, unit_key
from lenscore.artifacts import Artifact, Manifest, Store
from lenscore.artifacts.artifact import FILES, artifact_prefix, manifest_key, other_files_key
from lenscore.artifacts.kinds import find_kind
from lenscore.artifacts.manifest import sha256
from lenscore.errors import DamagedError, InputError

READERS = 16


def finish_task(store: Store, task: Task) -> Artifact:
    """Check what was stored, then write the table of files and the manifest.

    Returns:
        The complete artifact.

    Raises:
        DamagedError: a recorded file is missing or has another size.
        InputError: the job did not write what its kind must hold.
    """
    records = list(_records(store, task))
    files = {info["path"]: info for record in records for info in record["files"]}
    _check_contents(task, files)
    _check_stored(store, task, files)
    table = pa.Table.from_pylist([files[path] for path in sorted(files)], schema=FILES)
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    data = buffer.getvalue().to_pybytes()
    prefix = artifact_prefix(task.spec.output, task.id)
    digest = sha256(data)
    key = f"{prefix}/files.parquet"
    if not store.put(key, data, create_only=True) and sha256(store.get(key)) != digest:
        store.put(f"{prefix}/{other_files_key(digest)}", data, create_only=True)
    manifest = _manifest(task, records, files, digest).sealed()
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, allow_nan=False)
    store.put(manifest_key(task.spec.output, task.id), text.encode(), create_only=True)
    forget_work(store, task)
    return Artifact.open(store, task.spec.output, task.id)


def forget_work(store: Store, task: Task) -> None:
    """Remove the working state of a task that is complete."""
    for info in store.list(task.work):
        store.delete(info.key)


def _records(store: Store, task: Task) -> Iterator[dict[str, Any]]:
    if not task.spec.sharded:
        yield load_record(store, f"{task.work}/whole.json")
        return
    plan = load_record(store, f"{task.work}/plan.json")
    yield plan
    total = unit_count(task, plan["rows"])
    missing = sorted(set(range(total)) - done_units(store, task))
    if missing:
        raise InputError(
            f"{len(missing)} of {total} units are not done, the first is {missing[0]}", "run the units first"
        )
    with ThreadPoolExecutor(READERS) as pool:
        yield from pool.map(lambda unit: load_record(store, unit_key(task, unit)), range(total))


def _check_contents(task: Task, files: Mapping[str, Any]) -> None:
    kind = find_kind(task.spec.output)
    for name in kind.tables:
        if not any(path.startswith(f"{name}/part-") for path in files):
            raise InputError(f"job {task.spec.name} wrote no table {name!r}", f"a {kind.name} artifact must hold it")
    for path in kind.files:
        if path not in files:
            raise InputError(f"job {task.spec.name} wrote no {path}", f"a {kind.name} artifact must hold it")


def _check_stored(store: Store, task: Task, files: Mapping[str, Any]) -> None:
    prefix = artifact_prefix(task.spec.output, task.id)
    sizes = {info.key: info.size for info in store.list(prefix)}
    for info in files.values():
        found = sizes.get(f"{prefix}/{info['key']}")
        if found != info["size"]:
            raise DamagedError(
                f"{prefix}/{info['key']} has {found} bytes where {info['size']} were written",
                f"somebody changed the store: remove {prefix} and {task.work} from it and run again",
            )


def _manifest(task: Task, records: list[dict[str, Any]], files: Mapping[str, Any], files_sha256: str) -> Manifest:
    metrics: dict[str, Any] = {}
    for record in records:
        _merge_metrics(metrics, record["metrics"])
    return Manifest(
        kind=task.spec.output,
        id=task.id,
        job=task.spec.name,
        job_version=task.spec.module().VERSION,
        config=task.config.identity(),
        inputs=dict(task.inputs),
        source_sha256=task.source_sha256,
        rows=records[0].get("rows"),
        files=len(files),
        bytes=sum(info["size"] for info in files.values()),
        files_sha256=files_sha256,
        metrics=metrics,
        software=f"lenscore {lenscore.__version__}",
        image_digest=os.environ.get("LENSCORE_IMAGE_DIGEST"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(sum(record["seconds"] for record in records), 3),
        gpu_seconds=round(sum(record["gpu_seconds"] for record in records), 3),
        peak_memory_gib=max(record["peak_memory_gib"] for record in records),
    )


def _merge_metrics(metrics: dict[str, Any], new: Mapping[str, Any]) -> None:
    """Counts of units add up; maxima (names that begin with max_) stay maxima; other values keep the last."""
    for name, value in new.items():
        old = metrics.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and isinstance(old, int | float):
            metrics[name] = max(old, value) if name.startswith("max_") else old + value
        else:
            metrics[name] = value
