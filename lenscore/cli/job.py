"""lenscore job: single jobs, as containers run them."""

from pathlib import Path
from typing import Annotated

import typer

from lenscore.cli.output import (
    DEFAULT_STORE,
    ClusterOption,
    JsonOption,
    StoreOption,
    default_scratch,
    open_store,
    print_json,
    print_rows,
)

app = typer.Typer(no_args_is_help=True, help="Run and list single jobs; what containers run.")


@app.command("list")
def list_jobs(as_json: JsonOption = False) -> None:
    """List all jobs: what they read and make.

    Example: lenscore job list
    """
    from jobs.specs import JOBS

    rows = ((spec.name, ", ".join(item.name for item in spec.inputs) or "-", spec.output, spec.does) for spec in JOBS)
    print_rows(("job", "inputs", "makes", "does"), rows, as_json)


@app.command("status")
def job_status(
    name: Annotated[
        str | None, typer.Argument(help="Only this job, or Kubernetes Jobs whose name begins so; all by default.")
    ] = None,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the Jobs on a Kubernetes cluster: what each waits for, or why it failed, with the remedy.

    Example: lenscore job status embed
    """
    from dataclasses import astuple, fields

    from flows.launchers.cluster import ClusterSettings
    from flows.launchers.status import JobStatus, job_statuses

    rows = (astuple(item) for item in job_statuses(ClusterSettings.read(cluster), name))
    print_rows([item.name for item in fields(JobStatus)], rows, as_json)


@app.command("run")
def run_job(
    name: Annotated[str, typer.Argument(help="Name of the job; see `lenscore job list`.")],
    config: Annotated[Path | None, typer.Option(help="TOML or JSON file with a section of the job's name.")] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="An input, as name=kind/id; repeat for more.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    phase: Annotated[str, typer.Option(help="all, plan, units or finish; the last three for sharded jobs.")] = "all",
    units: Annotated[
        str | None,
        typer.Option(help="Units of a sharded job, as first:stop, or index*count: the index-th count of them."),
    ] = None,
    whole_up_to: Annotated[
        int, typer.Option(help="With --phase plan: do the whole job where it has at most so many units.")
    ] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that the job may start.")] = 2,
    threads: Annotated[int, typer.Option(min=1, help="Threads of its own process.")] = 2,
    memory_gib: Annotated[float, typer.Option(min=0.5, help="Memory that it may fill, in GiB.")] = 4.0,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    dask_scheduler: Annotated[
        str | None, typer.Option(envvar="LENSCORE_DASK_SCHEDULER", help="Address of a Dask scheduler.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run one job and print the artifact it made; does nothing if that exists.

    Example: lenscore job run embed --config run.toml --input cutouts=cutouts/1f3a… --input model=model/9c0d…
    """
    from jobs.launch import choose_runtime, read_config, read_inputs, run_phase
    from jobs.tasks import make_task

    opened = open_store(store)
    task = make_task(name, read_config(name, config), read_inputs(opened, inputs or []))
    runtime = choose_runtime(device, workers, threads, memory_gib, dask_scheduler, default_scratch())
    artifact = run_phase(opened, task, runtime, phase, units, whole_up_to)
    if as_json:
        print_json(artifact.manifest.model_dump(mode="json") if artifact else {"id": task.id, "phase": phase})
    else:
        typer.echo(str(task.reference))
