"""A flipped byte in any stored file of any kind of artifact is found by verify, and never used."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lenscore.artifacts import Artifact, Reference, Store, find_name, take_name
from lenscore.artifacts.kinds import KINDS
from lenscore.artifacts.lifecycle import verify
from lenscore.cutouts.shards import ShardReader
from lenscore.errors import DamagedError
from tests.support.candidates import put_artifact

TABLE = pa.table({"row": range(3000), "word": [f"word {row % 7}" for row in range(3000)]})
ARRAY = np.arange(300 * 6, dtype=np.float32).reshape(300, 6)
DATA = bytes(range(256)) * 20


def whole(store: Store, kind: str) -> Artifact:
    """An artifact with all that its kind must hold."""
    holds = KINDS[kind]
    arrays = {path.replace("zarr.json", "values"): ARRAY for path in holds.files if path.endswith(".zarr/zarr.json")}
    texts = {path: {"text": DATA.hex()} for path in holds.files if "zarr" not in path}
    return put_artifact(store, kind, tables=dict.fromkeys(holds.tables, TABLE), jsons=texts, arrays=arrays)


@pytest.fixture(params=KINDS)
def artifact(request: pytest.FixtureRequest, file_store: Store) -> Artifact:
    return whole(file_store, request.param)


def flips(data: bytes) -> Iterator[bytes]:
    """The bytes with one of them changed: the first, the last, and some between."""
    for place in sorted({0, len(data) - 1, *range(len(data) // 8, len(data), max(1, len(data) // 5))}):
        yield data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :]


def test_every_file_of_every_kind(artifact: Artifact) -> None:
    assert list(verify(artifact)) == []
    for path in artifact.files:
        key = artifact.key(path)
        data = artifact.store.get(key)
        for flipped in flips(data):
            artifact.store.put(key, flipped)
            opened = Artifact.open(artifact.store, artifact.kind, artifact.id)
            assert [fault.path for fault in verify(opened)] == [path]
            refused(opened, path)
        artifact.store.put(key, data)
    assert list(verify(artifact)) == []


def refused(artifact: Artifact, path: str) -> None:
    """Whole files are refused; of tables and arrays some bytes are never looked at, and the rest is refused."""
    with pytest.raises(DamagedError):
        artifact.read_bytes(path)
    with pytest.raises(DamagedError), artifact.local(path):
        pass
    try:
        if "/part-" in path:
            assert artifact.table(path.partition("/part-")[0]).read() == TABLE
        elif "/c/" in path or path.endswith("values/zarr.json"):
            array = path.partition("/values")[0] + "/values"
            assert (artifact.array(array)[:] == ARRAY).all()
            reader = ShardReader(artifact, array)
            assert (np.concatenate([reader.read(chunk) for chunk in range(19)])[:300] == ARRAY).all()
    except DamagedError:
        return


def test_the_list_of_files_and_each_byte_of_the_manifest(file_store: Store) -> None:
    made = whole(file_store, "sky")
    file_store.put(f"{made.prefix}/manifest.json", made.manifest.sealed().model_dump_json(indent=2).encode())
    for name in ("files.parquet", "manifest.json"):
        key = f"{made.prefix}/{name}"
        data = file_store.get(key)
        for place in range(0, len(data), 1 if name == "manifest.json" else 97):
            file_store.put(key, data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :])
            with pytest.raises(DamagedError):
                _ = Artifact.open(file_store, made.kind, made.id).files
        file_store.put(key, data)
    assert Artifact.open(file_store, made.kind, made.id).files == made.files


def test_a_file_cut_short_is_damage(file_store: Store) -> None:
    made = whole(file_store, "embeddings")
    for path in made.files:
        key = made.key(path)
        data = file_store.get(key)
        for size in (0, 1, len(data) // 2, len(data) - 1):
            file_store.put(key, data[:size])
            opened = Artifact.open(file_store, made.kind, made.id)
            assert [fault.path for fault in verify(opened)] == [path]
            refused(opened, path)
        file_store.put(key, data)


def test_a_name(file_store: Store) -> None:
    made = whole(file_store, "model")
    take_name(file_store, "demo", Reference(kind="model", id=made.id))
    file_store.put("names/model/demo/v0001.json", b'{"id"')
    with pytest.raises(DamagedError, match=r"the name file:.*names/model/demo/v0001\.json cannot be read"):
        find_name(file_store, "model", "demo")


def test_verify_reads_files_piece_by_piece(file_store: Store, tmp_path: Path) -> None:
    made = whole(file_store, "model")
    assert file_store.sha256(made.key("model.json")) == (made.file("model.json").sha256, made.file("model.json").size)
