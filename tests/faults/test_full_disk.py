"""A disk that is full: one clear line, nothing lost, and once there is room the job goes on to the same bytes."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.runner import make_task
from jobs.sample import SampleConfig
from jobs.tasks import Task, done_units
from lenscore.artifacts import Artifact, Store
from lenscore.artifacts.lifecycle import verify
from tests.cli.runner import run_process
from tests.support.artifacts import run_job
from tests.support.cutouts import SMALL_RELEASE, small_cutouts

TINY = SMALL_RELEASE.model_copy(update={"stored_px": 16, "network_px": 12})
ROWS = 2000
CONFIG = SampleConfig(rows=ROWS)
ROOMY = 64 << 20

Resize = Callable[[int], None]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Resize]]:
    """A file system of its own, and what changes its size in bytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ROOMY}", "tmpfs", folder], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("a file system of a chosen size needs the right to mount one")

    def resize(size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)

    yield folder, resize
    subprocess.run(["umount", "--lazy", folder], check=True)


def _used(folder: Path) -> int:
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def _task(cutouts: Artifact) -> Task:
    return make_task("sample", CONFIG, {"cutouts": [cutouts.reference]})


def test_a_full_store_keeps_what_was_done_and_goes_on(disk: tuple[Path, Resize], tmp_path: Path) -> None:
    elsewhere = Store.open(str(tmp_path / "roomy"))
    expected = run_job(elsewhere, "sample", CONFIG, {"cutouts": [small_cutouts(elsewhere, ROWS, release=TINY)]})
    folder, resize = disk
    store = Store.open(str(folder / "store"))
    cutouts = small_cutouts(store, ROWS, release=TINY)
    resize(_used(folder) + expected.manifest.bytes * 3 // 4)  # room for the first of two units
    (tmp_path / "run.toml").write_text(f"[sample]\nrows = {ROWS}\n")
    words = ("job", "run", "sample", "--config", tmp_path / "run.toml", "--input", f"cutouts={cutouts.reference}")
    ended = run_process(*words, "--store", store.url, "--device", "cpu", LENSCORE_SCRATCH=str(tmp_path / "scratch"))
    assert ended.code == 5
    lines = ended.err.strip().splitlines()
    assert lines[-1].startswith("error: 1 of 2 units of sample failed, the first is 1: ")
    assert lines[-1].endswith("; the disk is full: free some space and run again, finished work is kept")
    assert not any("Traceback" in line for line in lines)
    assert list(verify(cutouts)) == []
    task = _task(cutouts)
    assert done_units(store, task) == {0}
    assert list(folder.rglob("*#*")) == []
    resize(ROOMY)
    made = run_job(store, "sample", CONFIG, {"cutouts": [cutouts]})
    assert made.files == expected.files
    assert list(verify(made)) == []


def test_full_scratch_is_one_clear_line(disk: tuple[Path, Resize], tmp_path: Path) -> None:
    folder, resize = disk
    store = Store.open(str(tmp_path / "store"))
    cutouts = small_cutouts(store, 200, release=TINY)
    resize(os.sysconf("SC_PAGE_SIZE") * 4)
    (tmp_path / "run.toml").write_text("[sample]\nrows = 200\n")
    words = ("job", "run", "sample", "--config", tmp_path / "run.toml", "--input", f"cutouts={cutouts.reference}")
    ended = run_process(*words, "--store", store.url, "--device", "cpu", LENSCORE_SCRATCH=str(folder / "scratch"))
    assert ended.code == 5
    assert ended.err.startswith("error: no space left for ")
    assert ended.err.count("\n") == 1
    assert list(verify(run_job(store, "sample", SampleConfig(rows=200), {"cutouts": [cutouts]}))) == []


def test_a_result_that_finds_no_room_is_one_clear_line(disk: tuple[Path, Resize], tmp_path: Path) -> None:
    (tmp_path / "objects.csv").write_text("ra,dec\n" + "10,0\n" * 3000)
    (tmp_path / "lenses.csv").write_text("ra,dec\n10,0\n")
    folder, resize = disk
    resize(os.sysconf("SC_PAGE_SIZE") * 4)
    ended = run_process("crossmatch", tmp_path / "objects.csv", tmp_path / "lenses.csv", "--out", folder / "pairs.csv")
    assert ended.code == 5
    assert ended.err.startswith("error: ")
    assert "no space left" in ended.err.lower()
    assert ended.err.count("\n") == 1
    assert list(folder.iterdir()) == []
