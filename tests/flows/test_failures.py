"""A flow that fails says which job, in one line, and leaves nothing running."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.processes import left_over

RUN = """
[run]
survey = "mine"
releases = ["dr9-south"]
training_release = "dr9-south"
model = "mine"

[ingest]
release = "dr9-south"
source = "{folder}/nowhere"

[lens_list]
files = [{{ name = "mine", path = "{folder}/lenses.csv" }}]
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**kept, "LENSCORE_SCRATCH": str(tmp_path / "scratch"), "PREFECT_HOME": str(tmp_path / "prefect")}


def test_the_first_job_that_fails_is_named(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "run.toml").write_text(RUN.format(folder=tmp_path))
    (tmp_path / "lenses.csv").write_text("name,ra,dec\nmine,10,0\n")
    command = [sys.executable, "-m", "lenscore", "run", "discover", "--config", str(tmp_path / "run.toml")]
    done = subprocess.run(
        [*command, "--store", str(tmp_path / "store"), "--parallel", "1"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "nowhere" in last
    assert "unexpected" not in last
    assert done.returncode in (3, 4)
    assert left_over(tmp_path) == []
