"""Large files and many rejected rows pass through in pieces: memory does not grow with them, and the bytes are the same."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lenscore.artifacts import Store
from lenscore.artifacts.sink import Sink
from lenscore.survey.schema import REJECTED
from tests.support.s3 import BUCKET, s3_server

LARGE = 512 << 20
BOUND = LARGE // 2
ROWS, BATCHES = 30_000, 40

WAYS = """
import resource, sys
from pathlib import Path
from lenscore.artifacts import Store
from lenscore.artifacts.artifact import Artifact
from lenscore.artifacts.lifecycle import copy_out, verify
from lenscore.artifacts.sink import Sink
from tests.support.candidates import put_artifact
from tests.support import candidates

url, folder, size = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) << 10

def sink_large(sink, tables, jsons, arrays):
    with sink.file("index.faiss") as path, path.open("wb") as file:
        file.truncate(size)

store = Store.open(url)
small = put_artifact(store, "index", jsons={"index.json": {}})
list(verify(small))
candidates._write = sink_large
size, wanted = 17 << 20, size
warm = put_artifact(store, "index", jsons={"warm": 1})  # clients are loaded
size = wanted
before = peak()
made = put_artifact(store, "index", jsons={"large": 1})
assert made.file("index.faiss").size == size
with made.local("index.faiss") as path:
    assert path.stat().st_size == size
assert list(verify(made)) == []
assert dict(copy_out(made, folder / "out")) == {"index.faiss": True}
assert dict(copy_out(made, folder / "out")) == {"index.faiss": False}
again = Sink(store, "index", made.id, folder)
sink_large(again, None, None, None)
assert again.files == made.files
print(peak() - before)
"""


@pytest.fixture(params=["file", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "file":
        yield str(tmp_path / "store")
        return
    with s3_server("versitygw", tmp_path) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield f"s3://{BUCKET}/memory"


def test_large_files(address: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WAYS, address, str(tmp_path), str(LARGE)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < BOUND


def test_rejected_rows(file_store: Store, tmp_path: Path) -> None:
    def batch(number: int) -> pa.Table:
        rows = np.arange(number * ROWS, (number + 1) * ROWS)
        words = pa.array([f"row {row} cannot be used" for row in rows])
        return pa.table([rows, rows, rows / 7, rows / 9, words, words], schema=REJECTED)

    spilled, held = (Sink(file_store, "cutouts", digit * 64, tmp_path) for digit in "ab")
    before, most = pa.total_allocated_bytes(), 0
    for number in range(BATCHES):
        spilled.reject(batch(number))
        most = max(most, pa.total_allocated_bytes() - before)
    spilled.close()
    whole = pa.concat_tables([batch(number) for number in range(BATCHES)])
    held.write_table("rejected", whole.combine_chunks())
    assert most < whole.nbytes / 4
    assert spilled.numbers == {"rejected": ROWS * BATCHES}
    assert [info.sha256 for info in spilled.files.values()] == [info.sha256 for info in held.files.values()]
