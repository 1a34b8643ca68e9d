"""Names, lineage, removal, checkpoints, and fetching."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lenscore.artifacts import Artifact, Checkpoints, Manifest, Reference, Store, find_name, list_names, take_name
from lenscore.artifacts.artifact import manifest_key
from lenscore.artifacts.lifecycle import copy_out, lineage, list_artifacts, remove, resolve, unreachable
from lenscore.artifacts.manifest import canonical_json, sha256
from lenscore.artifacts.sink import Sink
from lenscore.errors import DamagedError, InputError, NotFoundError


def _make(store: Store, tmp_path: Path, kind: str, id: str, **inputs: Reference) -> Artifact:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from lenscore.artifacts.artifact import FILES

    sink = Sink(store, kind, id, tmp_path)
    sink.write_json("model.json", {"id": id})
    sink.write_bytes("weights.safetensors", b"weights of " + id.encode())
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(sink.record()["files"], schema=FILES), buffer)
    data = buffer.getvalue().to_pybytes()
    sink.write_bytes("files.parquet", data)
    manifest = Manifest(
        kind=kind,
        id=id,
        job="test",
        job_version=1,
        config={},
        inputs={name: (item,) for name, item in inputs.items()},
        files=2,
        bytes=1,
        files_sha256=sha256(data),
        software="test",
        created="now",
        seconds=1,
        peak_memory_gib=1,
    )
    store.put(manifest_key(kind, id), manifest.model_dump_json().encode())
    return Artifact.open(store, kind, id)


def test_versions_count_up_and_an_artifact_keeps_its_name(file_store: Store, tmp_path: Path) -> None:
    first, second = (_make(file_store, tmp_path, "model", digit * 64) for digit in "ab")
    assert take_name(file_store, "demo", first.reference).label == "v1"
    assert take_name(file_store, "demo", second.reference).label == "v2"
    assert take_name(file_store, "demo", first.reference).label == "v1"
    assert find_name(file_store, "model", "demo").id == second.id
    assert find_name(file_store, "model", "demo", "v1").id == first.id
    with pytest.raises(NotFoundError, match="no version v9"):
        find_name(file_store, "model", "demo", "v9")
    with pytest.raises(NotFoundError, match="there are demo"):
        find_name(file_store, "model", "nothing")
    with pytest.raises(InputError, match="is no name"):
        take_name(file_store, "../demo", first.reference)


def test_takers_at_once_get_different_versions(file_store: Store, tmp_path: Path) -> None:
    made = [_make(file_store, tmp_path, "model", f"{number:064x}") for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        names = list(pool.map(lambda item: take_name(file_store, "demo", item.reference), made))
    assert sorted(name.version for name in names) == list(range(1, 13))
    assert len(list_names(file_store, "model", "demo")) == 12


def test_only_complete_artifacts_are_named(file_store: Store) -> None:
    with pytest.raises(NotFoundError, match="no complete artifact"):
        take_name(file_store, "demo", Reference(kind="model", id="c" * 64))


def test_resolve_by_the_beginning_of_an_id(file_store: Store, tmp_path: Path) -> None:
    made = _make(file_store, tmp_path, "model", "abcd" + "0" * 60)
    _make(file_store, tmp_path, "model", "abce" + "0" * 60)
    assert resolve(file_store, "abcd").id == made.id
    assert resolve(file_store, "model/abcd").id == made.id
    with pytest.raises(InputError, match="too short"):
        resolve(file_store, "abc")
    with pytest.raises(NotFoundError):
        resolve(file_store, "ffff")
    _make(file_store, tmp_path, "model", "abcd" + "1" * 60)
    with pytest.raises(InputError, match="fits 2 artifacts"):
        resolve(file_store, "abcd")


def test_gc_lists_what_no_name_reaches(file_store: Store, tmp_path: Path) -> None:
    origin = _make(file_store, tmp_path, "cutouts", "1" * 64)
    model = _make(file_store, tmp_path, "model", "2" * 64, cutouts=origin.reference)
    stray = _make(file_store, tmp_path, "model", "3" * 64)
    take_name(file_store, "demo", model.reference)
    assert set(lineage(file_store, model.reference)) == {model.reference, origin.reference}
    assert [item.id for item in unreachable(file_store, 0)] == [stray.id]
    assert unreachable(file_store, 3600) == []
    assert remove(stray) > 0
    assert {item.id for item in list_artifacts(file_store)} == {origin.id, model.id}


def test_fetching_resumes_and_verifies(file_store: Store, tmp_path: Path) -> None:
    made = _make(file_store, tmp_path, "model", "4" * 64)
    out = tmp_path / "out"
    assert [fetched for _, fetched in copy_out(made, out)] == [True, True]
    (out / "model.json").write_text("changed")
    assert dict(copy_out(made, out)) == {"model.json": True, "weights.safetensors": False}
    file_store.put(made.key("model.json"), b"damaged")
    (out / "model.json").unlink()
    with pytest.raises(DamagedError):
        list(copy_out(made, out))
    assert not (out / "model.json").exists()


def test_a_manifest_of_another_artifact_is_refused(file_store: Store, tmp_path: Path) -> None:
    made = _make(file_store, tmp_path, "model", "5" * 64)
    file_store.put(manifest_key("model", "6" * 64), made.manifest.model_dump_json().encode())
    with pytest.raises(DamagedError, match="describes"):
        Artifact.open(file_store, "model", "6" * 64)
    file_store.put(manifest_key("model", "5" * 64), b"{")
    with pytest.raises(DamagedError, match="no valid manifest"):
        Artifact.open(file_store, "model", "5" * 64)


def test_checkpoints_keep_two_and_skip_what_is_not_whole(file_store: Store) -> None:
    checkpoints = Checkpoints(file_store, "work/x")
    assert checkpoints.latest() is None
    for step in (1, 2, 3):
        checkpoints.save(step, {"state": str(step).encode(), "more": b"m"})
    assert checkpoints.latest() == (3, {"state": b"3", "more": b"m"})
    file_store.put("work/x/checkpoints/step-000000000003/state", b"half")
    assert checkpoints.latest() == (2, {"state": b"2", "more": b"m"})
    file_store.delete("work/x/checkpoints/step-000000000002/complete.json")
    assert checkpoints.latest() is None
    checkpoints.clear()
    assert canonical_json({"b": 1, "a": [1, None]}) == b'{"a":[1,null],"b":1}'
