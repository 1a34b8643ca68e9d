"""Options that commands share, and how they print."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lenscore.artifacts import Store

DEFAULT_STORE = "lenscore-store"

StoreOption = Annotated[
    str,
    typer.Option(
        "--store", envvar="LENSCORE_STORE", help="Where artifacts lie: a folder, file:///… or s3://bucket/prefix."
    ),
]
ClusterOption = Annotated[
    Path | None,
    typer.Option("--cluster", envvar="LENSCORE_CLUSTER", help="TOML file of the cluster's settings."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def open_store(address: str) -> "Store":
    """Open the store that a command was given."""
    from lenscore.artifacts import Store

    return Store.open(address)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False))


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]], as_json: bool = False) -> None:
    """Print a table, or a JSON list of objects."""
    found = [tuple(row) for row in rows]
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in found])
        return
    texts = [[_text(cell) for cell in row] for row in found]
    widths = [max(len(line[i]) for line in [list(columns), *texts]) for i in range(len(columns))]
    for line in [list(columns), *texts]:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def default_scratch() -> Path:
    """Folder for files in the making."""
    return Path(os.environ.get("LENSCORE_SCRATCH") or os.environ.get("TMPDIR") or "/tmp")


def _text(cell: Any) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
