"""What is in a store: listing, verification, lineage, removal of what no name reaches."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lenscore.artifacts.artifact import Artifact, artifact_prefix
from lenscore.artifacts.kinds import KINDS
from lenscore.artifacts.manifest import Reference, file_sha256
from lenscore.artifacts.names import all_names
from lenscore.artifacts.store import Store
from lenscore.errors import DamagedError, InputError, NotFoundError

READERS = 8
GRACE_SECONDS = 24 * 3600.0
MIN_PREFIX = 4


@dataclass(frozen=True)
class Fault:
    """A file that is not as its manifest says."""

    path: str
    what: str


def list_artifacts(store: Store, kind: str | None = None) -> Iterator[Artifact]:
    """Complete artifacts, by kind and id."""
    for name in KINDS if kind is None else (kind,):
        for id in store.folders(f"artifacts/{name}"):
            try:
                yield Artifact.open(store, name, id)
            except NotFoundError:
                continue


def resolve(store: Store, text: str) -> Artifact:
    """Find an artifact from what a person types.

    Args:
        store: where.
        text: kind/id or id, where the first four or more digits of the id are enough.

    Raises:
        NotFoundError: nothing fits.
        InputError: several fit.
    """
    kind, _, start = text.rpartition("/")
    if len(start) < MIN_PREFIX:
        raise InputError(f"{text!r} is too short", f"give at least {MIN_PREFIX} digits of the id")
    kinds = [kind] if kind else list(KINDS)
    found = [(name, id) for name in kinds for id in store.folders(f"artifacts/{name}") if id.startswith(start)]
    if len(found) > 1:
        raise InputError(f"{text!r} fits {len(found)} artifacts", "give more digits of the id")
    if not found:
        raise NotFoundError(f"no artifact {text!r} in {store.url}", "list them with `lenscore artifacts ls`")
    return Artifact.open(store, *found[0])


def verify(artifact: Artifact) -> Iterator[Fault]:
    """Read every byte of an artifact and compare it with the manifest. Memory: some pieces of 16 MiB a reader."""
    try:
        files = artifact.files
    except (DamagedError, NotFoundError) as error:
        yield Fault("files.parquet", str(error))
        return

    def check(path: str) -> Fault | None:
        info = files[path]
        try:
            digest, size = artifact.store.sha256(artifact.key(path))
        except NotFoundError:
            return Fault(path, "missing")
        if digest != info.sha256:
            return Fault(path, f"checksum differs ({size} bytes, {info.size} expected)")
        return None

    with ThreadPoolExecutor(READERS) as pool:
        yield from (fault for fault in pool.map(check, files) if fault)


def lineage(store: Store, reference: Reference) -> dict[Reference, tuple[tuple[str, Reference], ...]]:
    """An artifact and all that it came from.

    Returns:
        For each artifact, newest first, its (input name, artifact) pairs.
    """
    found: dict[Reference, tuple[tuple[str, Reference], ...]] = {}
    waiting = [reference]
    while waiting:
        current = waiting.pop(0)
        if current in found:
            continue
        manifest = Artifact.open(store, current.kind, current.id).manifest
        found[current] = tuple((name, item) for name, items in manifest.inputs.items() for item in items)
        waiting += [item for _, item in found[current]]
    return found


def unreachable(store: Store, grace_seconds: float = GRACE_SECONDS) -> list[Artifact]:
    """Artifacts that no name reaches, not even as an input, older than the grace time."""
    kept: set[Reference] = set()
    for name in all_names(store):
        kept |= set(lineage(store, name.reference))
    horizon = time.time() - grace_seconds
    return [
        artifact
        for artifact in list_artifacts(store)
        if artifact.reference not in kept and _completed(artifact) <= horizon
    ]


def remove(artifact: Artifact) -> int:
    """Delete an artifact, the manifest first, so that a half removed one is not taken for whole; and what is left of its
    run, so that it can be made again.

    Returns:
        Bytes freed.
    """
    store, prefix = artifact.store, artifact_prefix(artifact.kind, artifact.id)
    store.delete(f"{prefix}/manifest.json")
    freed = 0
    for info in store.list(prefix):
        store.delete(info.key)
        freed += info.size
    for info in store.list(f"work/{artifact.id}"):
        store.delete(info.key)
    return freed


def _completed(artifact: Artifact) -> float:
    info = artifact.store.head(f"{artifact.prefix}/manifest.json")
    return info.modified if info else time.time()


def copy_out(artifact: Artifact, folder: Path, paths: Sequence[str] | None = None) -> Iterator[tuple[str, bool]]:
    """Copy files of an artifact to a folder, verified.

    Args:
        artifact: whose files.
        folder: where to; made if it is not there.
        paths: which; None for all.

    Yields:
        (path, whether it was fetched; False where the right bytes were there already).
    """
    for path in artifact.files if paths is None else paths:
        info, target = artifact.file(path), folder / path
        if target.is_file() and target.stat().st_size == info.size and file_sha256(target) == info.sha256:
            yield path, False
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        artifact.check(path, part)
        part.rename(target)
        yield path, True
