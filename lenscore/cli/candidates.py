"""lenscore candidates: fetch and compare candidate catalogues."""

from pathlib import Path
from typing import Annotated

import typer

from lenscore.cli.output import DEFAULT_STORE, JsonOption, StoreOption, open_store, print_json, print_rows

app = typer.Typer(no_args_is_help=True, help="Fetch and compare candidate catalogues.")

SUFFIXES = {"csv": "csv", "fits": "fits", "votable": "vot", "parquet": "parquet"}


@app.command("versions")
def versions(
    release: Annotated[str, typer.Argument(help="Release or survey.")],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """List the versions of a release's candidates.

    Example: lenscore candidates versions demo
    """
    from lenscore.artifacts import list_names

    rows = ((name.label, name.created, name.id) for name in list_names(open_store(store), "candidates", release))
    print_rows(("version", "created", "id"), rows, as_json)


@app.command("get")
def get(
    release: Annotated[str, typer.Argument(help="Release or survey.")],
    version: Annotated[str | None, typer.Option(help="Such as v3; the newest by default.")] = None,
    form: Annotated[str, typer.Option("--format", help="csv, fits, votable or parquet.")] = "csv",
    out: Annotated[Path | None, typer.Option(help="File to write; RELEASE-VERSION.FORMAT by default.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Fetch a published catalogue, verified.

    Example: lenscore candidates get demo --format fits
    """
    from lenscore.artifacts import Artifact, find_name
    from lenscore.errors import InputError

    if form not in SUFFIXES:
        raise InputError(f"unknown format {form!r}", f"use one of {', '.join(SUFFIXES)}")
    opened = open_store(store)
    name = find_name(opened, "catalogue_release", release, version)
    artifact = Artifact.open(opened, name.kind, name.id)
    target = out or Path(f"{release}-{name.label}.{SUFFIXES[form]}")
    part = target.with_name(f"{target.name}.part")
    data = artifact.read_bytes(f"catalogue.{SUFFIXES[form]}")
    try:
        part.write_bytes(data)
        part.rename(target)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}", "choose another place with --out") from error
    typer.echo(str(target))


@app.command("diff")
def diff(
    release: Annotated[str, typer.Argument(help="Release or survey.")],
    before: Annotated[str, typer.Argument(help="Version, such as v2.")],
    after: Annotated[str, typer.Argument(help="Version, such as v3.")],
    store: StoreOption = DEFAULT_STORE,
    limit: Annotated[int, typer.Option(min=0, help="Rows to print.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Say what changed between two versions, and why.

    Example: lenscore candidates diff demo v1 v2
    """
    from jobs.launch import parse_config
    from jobs.runner import make_task, run_task
    from lenscore.artifacts import Artifact, Reference, Runtime, find_name
    from lenscore.cli.output import default_scratch

    opened = open_store(store)
    first, second = (find_name(opened, "candidates", release, version).reference for version in (before, after))
    inputs: dict[str, tuple[Reference, ...]] = {"before": (first,), "after": (second,)}
    for name, reference in (("cutouts_before", first), ("cutouts_after", second)):
        inputs[name] = Artifact.open(opened, reference.kind, reference.id).manifest.inputs["cutouts"]
    artifact = run_task(
        opened, make_task("compare", parse_config("compare", {}), inputs), Runtime(scratch=default_scratch())
    )
    if as_json:
        print_json(artifact.read_json("summary.json"))
        return
    table = artifact.table("differences")
    typer.echo(f"{table.num_rows} differences between {before} and {after} of {release}")
    rows = table.read(stop=limit).to_pylist()
    print_rows(table.schema.names, (row.values() for row in rows))
