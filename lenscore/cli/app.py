"""The tree of commands."""

import os
from typing import Annotated

import typer

from lenscore.cli import artifacts, candidates, config, deploy, doctor, files, job, release, run

app = typer.Typer(
    name="lenscore",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Find strong gravitational lenses, and other rare objects, in survey images.\n\n"
    "New here? `lenscore demo` runs the whole story on a simulated sky in about ten minutes. "
    "For your own files start with `lenscore ingest --help`.",
    epilog="Commands fail with one line and an exit code: 2 usage, 3 bad input, 4 not found, 5 store away or full, "
    "6 damaged, 7 conflict, 1 anything else.",
)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=lambda value: _version(value), help="Print the version."),
    ] = False,
) -> None:
    """Options of every command."""
    if debug:
        os.environ["LENSCORE_DEBUG"] = "1"


def _version(wanted: bool) -> None:
    if wanted:
        import lenscore

        typer.echo(f"lenscore {lenscore.__version__}")
        raise typer.Exit


app.command("demo")(run.demo)
app.add_typer(run.app, name="run")
app.add_typer(job.app, name="job")
app.command("crossmatch")(files.crossmatch)
app.command("ingest")(files.ingest)
app.command("query")(files.query)
app.add_typer(files.catalogue_app, name="catalogue")
app.add_typer(artifacts.app, name="artifacts")
app.add_typer(candidates.app, name="candidates")
app.add_typer(release.app, name="release")
app.command("deploy")(deploy.deploy)
app.add_typer(config.app, name="config")
app.command("doctor")(doctor.doctor)
