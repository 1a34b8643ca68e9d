"""lenscore deploy: create the Prefect deployments."""

import json
from typing import Annotated, Any

import typer

from lenscore.errors import InputError


def deploy(
    config: Annotated[str, typer.Option("--config", help="The run's TOML file, as the worker will see it.")],
    store: Annotated[
        str, typer.Option(envvar="LENSCORE_STORE", help="Address of the store; empty: the worker's LENSCORE_STORE.")
    ] = "",
    launcher: Annotated[str, typer.Option(help="Where jobs run: local or kubernetes.")] = "local",
    pool: Annotated[str, typer.Option(help="Work pool of the flow runs.")] = "lenscore",
    pool_type: Annotated[
        str, typer.Option(help="process (made if there is none), or that of a pool which its worker makes.")
    ] = "process",
    cron: Annotated[str | None, typer.Option(help="When the watch looks; hourly by default.")] = None,
    notify: Annotated[str, typer.Option(help="Block that is told of news, such as webhook/lenscore.")] = "",
    job_variables: Annotated[
        list[str] | None, typer.Option("--job-variable", help="Of the work pool, as name=value; repeat for more.")
    ] = None,
    wait_seconds: Annotated[float, typer.Option(min=0, help="The server may take that long to appear.")] = 0.0,
    only_check: Annotated[
        bool, typer.Option("--check", help="Create nothing: see that store, server and deployments are there.")
    ] = False,
) -> None:
    """Create or update the deployments discover, rescore, publish and watch on the Prefect server of PREFECT_API_URL.

    Example: lenscore deploy --config configs/demo.toml --store s3://bucket/prefix
    """
    if only_check:
        from flows.register import check

        for line in check(config, store):
            typer.echo(line)
        return
    if launcher not in ("local", "kubernetes"):
        raise InputError(f"unknown launcher {launcher!r}", "use local or kubernetes")
    variables: dict[str, Any] = {}
    for text in job_variables or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"job variable {text!r} is not of the form name=value", "write it so")
        variables[name] = json.loads(value) if value[:1] in "{[" else value
    from flows.register import register

    names = register(config, store, launcher, pool, cron, notify, variables, pool_type, wait_seconds)  # type: ignore[arg-type]
    for made in names:
        typer.echo(made)
