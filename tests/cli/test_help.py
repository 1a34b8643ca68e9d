"""Help: every command explains itself, with an example, and without loading what it does not need."""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
import typer

from lenscore.cli.app import app
from tests.cli.runner import run

HEAVY = ("torch", "galsim", "faiss", "numpy", "pyarrow", "astropy", "dask", "prefect")

HELP_IN_A_PROCESS = f"""
import sys
from tests.cli.test_help import leaves
from typer.testing import CliRunner
from lenscore.cli.app import app
for path in leaves():
    assert CliRunner().invoke(app, [*path, "--help"]).exit_code == 0, path
print(*(name for name in {HEAVY} if name in sys.modules))
"""


def leaves(command: click.Command | None = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of all commands that do something."""
    command = command or typer.main.get_command(app)
    children = getattr(command, "commands", {})
    if not children:
        yield path
    for name, child in children.items():
        yield from leaves(child, (*path, name))


def find(path: tuple[str, ...]) -> click.Command:
    """A command by its path."""
    command = typer.main.get_command(app)
    for name in path:
        command = command.commands[name]  # type: ignore[attr-defined]
    return command


@pytest.mark.parametrize("path", list(leaves()), ids=" ".join)
def test_every_command_has_an_example_and_says_what_each_option_means(path: tuple[str, ...]) -> None:
    text = run(*path, "--help").out
    assert f"Example: lenscore {' '.join(path)}" in " ".join(text.split())
    for parameter in find(path).params:
        if parameter.name != "help":
            assert getattr(parameter, "help", None), f"{parameter.name} is not explained"


@pytest.mark.parametrize("path", list(leaves()), ids=" ".join)
def test_examples_are_accepted(path: tuple[str, ...]) -> None:
    example = " ".join((find(path).help or "").partition("Example: lenscore ")[2].split())
    words = example.split()
    assert tuple(words[: len(path)]) == path
    find(path).make_context(path[-1], words[len(path) :])


def test_the_top_tells_a_newcomer_where_to_start() -> None:
    text = " ".join(run("--help").out.split())
    assert "lenscore demo" in text
    assert "lenscore ingest --help" in text
    for name in ("crossmatch", "artifacts", "candidates", "doctor"):
        assert name in text


def test_help_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", HELP_IN_A_PROCESS], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_version() -> None:
    assert run("--version").out.startswith("lenscore ")
