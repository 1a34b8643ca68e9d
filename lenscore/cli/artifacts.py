"""lenscore artifacts: what is in a store."""

from pathlib import Path
from typing import Annotated

import typer

from lenscore.cli.output import DEFAULT_STORE, JsonOption, StoreOption, open_store, print_json, print_rows

app = typer.Typer(no_args_is_help=True, help="List, show, fetch, verify and remove artifacts.")

ArtifactArgument = Annotated[str, typer.Argument(help="kind/id or id; its first digits are enough.")]


@app.command("ls")
def ls(
    kind: Annotated[str | None, typer.Argument(help="Only this kind.")] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """List complete artifacts and their names.

    Example: lenscore artifacts ls candidates
    """
    from lenscore.artifacts.lifecycle import list_artifacts
    from lenscore.artifacts.names import all_names

    opened = open_store(store)
    names: dict[str, list[str]] = {}
    for name in all_names(opened):
        names.setdefault(name.id, []).append(f"{name.subject}:{name.label}")
    rows = (
        (
            item.kind,
            item.id if as_json else item.id[:12],
            item.manifest.created,
            item.manifest.rows or "-",
            item.manifest.bytes,
            ", ".join(names.get(item.id, [])),
        )
        for item in list_artifacts(opened, kind)
    )
    print_rows(("kind", "id", "created", "rows", "bytes", "names"), rows, as_json)


@app.command("show")
def show(artifact: ArtifactArgument, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Print an artifact's manifest and its files.

    Example: lenscore artifacts show model/9c0d
    """
    from lenscore.artifacts.lifecycle import resolve

    found = resolve(open_store(store), artifact)
    print_json(found.manifest.model_dump(mode="json"))
    if not as_json:
        print_rows(
            ("path", "bytes", "sha256"), ((info.path, info.size, info.sha256[:16]) for info in found.files.values())
        )


@app.command("get")
def get(
    artifact: ArtifactArgument,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("."),
    paths: Annotated[list[str] | None, typer.Option("--path", help="Only this file; repeat for more.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Copy an artifact's files, verified; files that are already there and right are left.

    Example: lenscore artifacts get catalogue_release/77ab --out catalogue
    """
    from lenscore.artifacts.lifecycle import copy_out, resolve

    found = resolve(open_store(store), artifact)
    for path, fetched in copy_out(found, out, paths):
        typer.echo(f"{'fetched' if fetched else 'there  '} {out / path}")


@app.command("verify")
def verify(
    artifacts: Annotated[list[str] | None, typer.Argument(help="Artifacts; all of the store if none is given.")] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Read every byte and compare it with the manifests; exit code 6 if anything is damaged.

    Example: lenscore artifacts verify
    """
    from lenscore.artifacts.lifecycle import list_artifacts, resolve
    from lenscore.artifacts.lifecycle import verify as find_faults
    from lenscore.errors import DamagedError

    opened = open_store(store)
    wanted = [resolve(opened, text) for text in artifacts] if artifacts else list(list_artifacts(opened))
    faults = [(str(item.reference), fault.path, fault.what) for item in wanted for fault in find_faults(item)]
    if faults or as_json:
        print_rows(("artifact", "file", "fault"), faults, as_json)
    if faults:
        raise DamagedError(
            f"{len(faults)} damaged files in {len(wanted)} artifacts", "restore them, or remove and make again"
        )
    if not as_json:
        typer.echo(f"{len(wanted)} artifacts are whole")


@app.command("lineage")
def lineage(artifact: ArtifactArgument, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Print what an artifact was made from, down to the sources.

    Example: lenscore artifacts lineage candidates/03fe
    """
    from lenscore.artifacts.lifecycle import lineage as find_lineage
    from lenscore.artifacts.lifecycle import resolve

    opened = open_store(store)
    found = find_lineage(opened, resolve(opened, artifact).reference)
    rows = (
        (
            str(item) if as_json else f"{item.kind}/{item.id[:12]}",
            name,
            str(origin) if as_json else f"{origin.kind}/{origin.id[:12]}",
        )
        for item, origins in found.items()
        for name, origin in (origins or ())
    )
    print_rows(("artifact", "input", "made from"), rows, as_json)


@app.command("gc")
def gc(
    store: StoreOption = DEFAULT_STORE,
    delete: Annotated[bool, typer.Option("--delete", help="Remove what is listed.")] = False,
    grace_hours: Annotated[float, typer.Option(min=0, help="Keep what is younger, in hours.")] = 24.0,
    as_json: JsonOption = False,
) -> None:
    """List artifacts that no name reaches; remove them with --delete.

    Example: lenscore artifacts gc --delete
    """
    from lenscore.artifacts.lifecycle import remove, unreachable

    found = unreachable(open_store(store), grace_hours * 3600)
    print_rows(("kind", "id", "bytes"), ((item.kind, item.id, item.manifest.bytes) for item in found), as_json)
    freed = sum(remove(item) for item in found) if delete else 0
    if not as_json:
        typer.echo(f"{freed} bytes freed" if delete else f"{len(found)} artifacts; remove them with --delete")
