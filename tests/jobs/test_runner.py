"""The runner: identity, resume, units, retries, racing runs, and what the manifest says."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest

import jobs.specs
from jobs.finish import finish_task
from jobs.runner import plan_task, run_task, run_units
from jobs.specs import Input, JobSpec
from jobs.tasks import Task, find_finished, make_task
from lenscore.artifacts import Artifact, Reference, Runtime, Store
from lenscore.artifacts.kinds import KINDS, Kind
from lenscore.artifacts.lifecycle import verify
from lenscore.errors import DamagedError, InputError, StoreError
from tests.jobs import toy_sharded
from tests.jobs.toy_sharded import ToyConfig


class _ToySpec(JobSpec):
    def module(self) -> ModuleType:
        return toy_sharded


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = _ToySpec("toy", "squares", "ToyConfig", (Input("extra", ("toys",), "any"),), "toys", unit_rows=32)
    monkeypatch.setitem(jobs.specs._BY_NAME, "toy", spec)
    monkeypatch.setitem(KINDS, "toys", Kind("toys", "squares", ("objects",), ("release.json",)))
    toy_sharded.calls.clear()
    toy_sharded.stumbles.clear()


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    (tmp_path / "scratch").mkdir()
    return Runtime(scratch=tmp_path / "scratch")


def _task(**changes: int) -> Task:
    return make_task("toy", ToyConfig(**changes), {})


def _content(store: Store, artifact: Artifact) -> dict[str, str]:
    return {path: info.sha256 for path, info in artifact.files.items()}


def test_makes_a_complete_artifact(file_store: Store, runtime: Runtime) -> None:
    artifact = run_task(file_store, _task(), runtime)
    assert artifact.array("squares.zarr/square")[:].tolist() == [i * i for i in range(100)]
    assert artifact.table("objects").read()["square"].to_pylist() == [i * i for i in range(100)]
    assert artifact.table("rejected").read()["row"].to_pylist() == [-1, 0, 32, 64, 96]
    assert artifact.manifest.rows == 100
    assert artifact.manifest.metrics == {"rejected": 5, "count": 100, "max_row": 99}
    assert artifact.manifest.job == "toy"
    assert artifact.manifest.seconds > 0
    assert list(verify(artifact)) == []
    assert list(file_store.list("work")) == []


def test_a_finished_task_does_nothing(file_store: Store, runtime: Runtime) -> None:
    run_task(file_store, _task(), runtime)
    run_task(file_store, _task(), runtime)
    assert toy_sharded.calls == [0, 1, 2, 3]


def test_identity_is_made_of_what_can_change_the_result() -> None:
    assert _task().id == _task(workers=7).id
    assert _task().id != _task(rows=99).id
    other = make_task("toy", ToyConfig(), {"extra": [Reference(kind="toys", id="0" * 64)]})
    assert other.id != _task().id


def test_goes_on_where_it_was_left(file_store: Store, runtime: Runtime, tmp_path: Path) -> None:
    task = _task()
    assert plan_task(file_store, task, runtime) == 4
    run_units(file_store, task, runtime, [2])
    with pytest.raises(InputError, match="3 of 4 units are not done"):
        finish_task(file_store, task)
    again = run_task(file_store, task, runtime)
    assert toy_sharded.calls == [2, 0, 1, 3]
    elsewhere = Store.open(str(tmp_path / "other"))
    assert _content(elsewhere, run_task(elsewhere, task, runtime)) == _content(file_store, again)


def test_a_failed_unit_does_not_stop_the_others(file_store: Store, runtime: Runtime) -> None:
    task = _task(bad_unit=1)
    with pytest.raises(InputError, match=r"1 of 4 units of toy failed, the first is 1: unit 1 is bad; change bad_unit"):
        run_task(file_store, task, runtime)
    assert toy_sharded.calls == [0, 1, 2, 3]
    assert find_finished(file_store, task) is None


def test_a_store_that_stumbles_once_is_tried_again(file_store: Store, runtime: Runtime) -> None:
    toy_sharded.stumbles[1] = 1
    assert run_task(file_store, _task(), runtime).manifest.rows == 100
    toy_sharded.stumbles[1] = 2
    with pytest.raises(StoreError, match="the store stumbled"):
        run_task(file_store, _task(rows=99), runtime)


def test_two_runs_at_once_make_one_whole_artifact(file_store: Store, runtime: Runtime) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: run_task(file_store, _task(), runtime), range(4)))
    assert len({artifact.manifest.files_sha256 for artifact in made}) == 1
    assert list(verify(made[0])) == []
    assert made[0].table("objects").num_rows == 100


def test_a_file_changed_before_the_end_is_found(file_store: Store, runtime: Runtime) -> None:
    task = _task()
    plan_task(file_store, task, runtime)
    run_units(file_store, task, runtime)
    file_store.put(f"artifacts/toys/{task.id}/release.json", b"{}")
    with pytest.raises(DamagedError, match="somebody changed the store"):
        finish_task(file_store, task)


@pytest.mark.parametrize(
    "path", ["release.json", "squares.zarr/square/c/1", "objects/part-unit-000001.parquet", "files.parquet"]
)
def test_a_flipped_byte_is_found_and_never_used(file_store: Store, runtime: Runtime, path: str) -> None:
    artifact = run_task(file_store, _task(), runtime)
    key = f"{artifact.prefix}/{path}"
    data = bytearray(file_store.get(key))
    for position in range(0, len(data), max(1, len(data) // 40)):
        flipped = bytes(data[:position]) + bytes([data[position] ^ 1]) + bytes(data[position + 1 :])
        file_store.put(key, flipped)
        opened = Artifact.open(file_store, artifact.kind, artifact.id)
        assert [fault.path for fault in verify(opened)] == [path]
        _use_or_refuse(opened, path)
    file_store.put(key, bytes(data))
    assert list(verify(Artifact.open(file_store, artifact.kind, artifact.id))) == []


def _use_or_refuse(artifact: Artifact, path: str) -> None:
    """Whatever is read is either right, or refused: some bytes of a file are never looked at."""
    try:
        if path.endswith(".parquet"):
            assert artifact.table("objects").read()["square"].to_pylist() == [i * i for i in range(100)]
        elif path.endswith(".json"):
            artifact.read_json(path)
            pytest.fail("a damaged file was read")
        else:
            assert artifact.array("squares.zarr/square")[:].tolist() == [i * i for i in range(100)]
    except DamagedError:
        return


def test_a_lost_shard_is_damage_not_zeros(file_store: Store, runtime: Runtime) -> None:
    artifact = run_task(file_store, _task(), runtime)
    file_store.delete(f"{artifact.prefix}/squares.zarr/square/c/2")
    with pytest.raises(DamagedError, match="is missing"):
        artifact.array("squares.zarr/square")[:]


def test_wrong_inputs_are_refused() -> None:
    with pytest.raises(InputError, match="has no input 'more'"):
        make_task("toy", ToyConfig(), {"more": [Reference(kind="toys", id="0")]})
    with pytest.raises(InputError, match="got sky"):
        make_task("toy", ToyConfig(), {"extra": [Reference(kind="sky", id="0")]})
    with pytest.raises(InputError, match="unknown job 'tyo'"):
        make_task("tyo", ToyConfig(), {})


def test_a_job_that_leaves_its_kind_incomplete_is_refused(
    file_store: Store, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "toys", Kind("toys", "squares", ("objects", "truth"), ()))
    with pytest.raises(InputError, match="wrote no table 'truth'"):
        run_task(file_store, _task(), runtime)


def test_a_file_whose_path_was_taken_lies_beside_it(file_store: Store, runtime: Runtime) -> None:
    task = _task()
    file_store.put(f"artifacts/toys/{task.id}/release.json", b"of a run that was killed")
    artifact = run_task(file_store, task, runtime)
    assert artifact.read_json("release.json") == {"rows": 100}
    assert artifact.files["release.json"].key.startswith("again/")
    assert list(verify(artifact)) == []


def test_long_tables_are_cut_into_parts_that_do_not_depend_on_batches(file_store: Store, tmp_path: Path) -> None:
    from lenscore.artifacts.sink import Sink

    values = pa.table({"x": pa.array(range(150_000), pa.int64())})
    hashes = []
    for name, step in (("a", 150_000), ("b", 7919)):
        sink = Sink(file_store, "toys", name, tmp_path)
        with sink.table("objects", values.schema) as writer:
            for start in range(0, 150_000, step):
                writer.write(values.slice(start, step))
        hashes.append([info.sha256 for info in sink.files.values()])
    assert hashes[0] == hashes[1]
