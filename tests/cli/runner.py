"""Runs commands: in this process for what they print, in one of their own for how they end."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from lenscore.cli.app import app
from lenscore.errors import LensError


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str = ""

    @property
    def json(self) -> Any:
        """What it printed, parsed."""
        return json.loads(self.out)


def run(*arguments: object) -> Ended:
    """Run a command in this process; expected failures are raised, as `main` sees them."""
    result = CliRunner().invoke(app, [str(item) for item in arguments], env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)


def failure(*arguments: object) -> LensError:
    """Run a command that must fail in an expected way."""
    try:
        ended = run(*arguments)
    except LensError as error:
        return error
    raise AssertionError(f"{arguments} ended with {ended.code}")


def run_process(*arguments: object, **environment: str) -> Ended:
    """Run the command as people do."""
    command = [sys.executable, "-m", "lenscore", *(str(item) for item in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=120)
    return Ended(done.returncode, done.stdout, done.stderr)
