"""What is imported when: jobs' configurations and flows need no torch, GalSim or faiss."""

import subprocess
import sys

import pytest

SPECS = """
from jobs.specs import JOBS
for spec in JOBS:
    spec.config_class()
"""
FLOWS = """
import flows.discover, flows.rescore, flows.publish, flows.launchers, flows.launchers.kubernetes, flows.register
from flows.settings import Settings
Settings({"run": {"survey": "s", "releases": ["demo-dr1"], "training_release": "demo-dr1", "model": "m"}})
"""
COMMANDS = """
from typer.testing import CliRunner
from lenscore.cli.app import app
for words in (["job", "list"], ["config", "explain"], ["artifacts", "ls", "--store", "{store}"]):
    assert CliRunner().invoke(app, words).exit_code == 0, words
"""


@pytest.mark.parametrize("code", [SPECS, FLOWS, COMMANDS], ids=["configurations", "flows", "commands"])
def test_no_torch_is_loaded(code: str, tmp_path) -> None:
    report = "\nimport sys\nprint(*(name for name in ('torch', 'galsim', 'faiss') if name in sys.modules))"
    script = code.replace("{store}", str(tmp_path)) + report
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_configurations_need_only_pydantic() -> None:
    script = SPECS + "\nimport sys\nprint(*(name for name in ('numpy', 'pyarrow', 'zarr') if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == []
