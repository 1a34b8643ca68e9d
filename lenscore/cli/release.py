"""lenscore release: announce releases, so that they are scored by themselves."""

import os
from pathlib import Path
from typing import Annotated

import typer

from lenscore.cli.output import DEFAULT_STORE, JsonOption, StoreOption, open_store, print_json, print_rows

app = typer.Typer(no_args_is_help=True, help="Announce releases, so that the deployed watch scores them.")

ReleaseArgument = Annotated[str, typer.Argument(help="Name of the release.")]


@app.command("announce")
def announce(
    release: ReleaseArgument,
    settings: Annotated[
        Path | None,
        typer.Option(help="TOML or JSON file with the settings of its jobs, for a release not in the run's file."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Say that a release is there: writes releases/RELEASE.json, and tells Prefect where PREFECT_API_URL is set.

    Example: lenscore release announce demo-dr2
    """
    from jobs.launch import parse_config, read_sections
    from lenscore.artifacts.announcements import announce as write

    sections = read_sections(settings) if settings is not None else None
    for job, section in (sections or {}).items():
        parse_config(job, section)
    opened = open_store(store)
    announcement, new = write(opened, release, sections)
    from flows.events import emit_announced

    try:
        told = emit_announced(announcement, opened.url)
        why = "no Prefect server is configured"
    except Exception as error:
        told, why = False, f"Prefect could not be told ({type(error).__name__})"
    if as_json:
        print_json({"release": release, "announced": announcement.announced, "new": new, "event": told})
        return
    said = "Prefect was told" if told else f"{why}: a scheduled watch finds it in any case"
    typer.echo(f"{release} is announced{'' if new else f' since {announcement.announced}'}; {said}")


@app.command("list")
def list_releases(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """List announced releases and their newest candidates.

    Example: lenscore release list
    """
    from lenscore.artifacts import list_names
    from lenscore.artifacts.announcements import list_announcements

    opened = open_store(store)
    rows = []
    for found in list_announcements(opened):
        names = list_names(opened, "candidates", found.release)
        rows.append((found.release, found.announced, f"{names[-1].label} {names[-1].created}" if names else "-"))
    print_rows(("release", "announced", "candidates"), rows, as_json)


@app.command("accept")
def accept(release: ReleaseArgument, store: StoreOption = DEFAULT_STORE) -> None:
    """Let a release be scored although it is far from what the models were trained on.

    Example: lenscore release accept demo-dr2
    """
    from lenscore.artifacts import Artifact, find_name
    from lenscore.artifacts.announcements import accept_drift

    opened = open_store(store)
    drift = find_name(opened, "drift", release)
    for line in Artifact.open(opened, drift.kind, drift.id).read_json("drift.json")["far"]:
        typer.echo(line)
    new = accept_drift(opened, release, drift.reference, os.environ.get("USER") or f"uid {os.getuid()}")
    typer.echo(f"{release}: {'accepted; the next watch or rescore goes on' if new else 'was accepted before'}")
