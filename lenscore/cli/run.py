"""lenscore run and lenscore demo: whole flows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lenscore.cli.output import DEFAULT_STORE, ClusterOption, JsonOption, StoreOption, print_json

if TYPE_CHECKING:
    from flows.launchers import Launcher

app = typer.Typer(no_args_is_help=True, help="Run a whole flow, here or on a cluster.")

ConfigOption = Annotated[Path, typer.Option("--config", help="The run's TOML file; see configs/.")]
LauncherOption = Annotated[
    Literal["local", "kubernetes"], typer.Option("--launcher", help="Jobs as processes here, or as Kubernetes Jobs.")
]
ParallelOption = Annotated[int, typer.Option(min=1, help="Jobs at once.")]
WorkersOption = Annotated[int, typer.Option(min=1, help="Processes that a job may start.")]
ThreadsOption = Annotated[int, typer.Option(min=1, help="Threads of a job.")]
MemoryOption = Annotated[float, typer.Option(min=0.5, help="Memory that a job may fill, in GiB.")]


@app.command("discover")
def discover(
    config: ConfigOption,
    store: StoreOption = DEFAULT_STORE,
    parallel: ParallelOption = 2,
    workers: WorkersOption = 2,
    threads: ThreadsOption = 2,
    memory_gib: MemoryOption = 4.0,
    launcher: LauncherOption = "local",
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """From survey files to a published, versioned catalogue of candidates. Finished jobs are not run again.

    Example: lenscore run discover --config configs/demo.toml
    """
    from lenscore.cli.prefect import embedded_server

    with embedded_server():
        from flows.discover import discover as run

        chosen = _launcher(launcher, cluster, workers, threads, memory_gib)
        made = run(config, _address(store), chosen, parallel)
    _print_made(made, as_json)


@app.command("rescore")
def rescore(
    release: Annotated[str, typer.Option(help="The new release.")],
    config: ConfigOption,
    store: StoreOption = DEFAULT_STORE,
    parallel: ParallelOption = 2,
    workers: WorkersOption = 2,
    threads: ThreadsOption = 2,
    memory_gib: MemoryOption = 4.0,
    launcher: LauncherOption = "local",
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """A new release through the current models, and what changed since the last candidates.

    Example: lenscore run rescore --release demo-dr2 --config configs/demo.toml
    """
    from lenscore.cli.prefect import embedded_server

    with embedded_server():
        from flows.rescore import rescore as run

        chosen = _launcher(launcher, cluster, workers, threads, memory_gib)
        made = run(config, release, _address(store), chosen, parallel)
    _print_made(made, as_json)


@app.command("publish")
def publish(
    survey: Annotated[str, typer.Argument(help="Survey or release whose newest candidates are published.")],
    config: ConfigOption,
    grades: Annotated[
        list[Path] | None, typer.Option("--grades", help="Tables of people's grades; repeat for more.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Publish the newest candidates again, with people's grades.

    Example: lenscore run publish demo --config configs/demo.toml --grades grades.csv
    """
    from lenscore.cli.prefect import embedded_server

    with embedded_server():
        from flows.publish import publish as run

        made = run(config, survey, grades or [], _address(store))
    _print_made(made, as_json)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the store and the results.")] = Path("demo"),
    config: Annotated[
        Path | None, typer.Option("--config", help="Another run file; the project's demo.toml by default.")
    ] = None,
) -> None:
    """The whole story on a simulated sky, in about ten minutes on two cores: no data, no server, no GPU.

    Example: lenscore demo --out demo
    """
    from lenscore.cli.prefect import embedded_server

    with embedded_server():
        from flows.demo import run_demo

        run_demo(out, config)


def _launcher(name: str, cluster: Path | None, workers: int, threads: int, memory_gib: float) -> "Launcher":
    if name == "local":
        from flows.launchers import LocalLauncher

        return LocalLauncher(workers, threads, memory_gib)
    from flows.launchers.cluster import ClusterSettings
    from flows.launchers.kubernetes import KubernetesLauncher

    return KubernetesLauncher(ClusterSettings.read(cluster))


def _address(store: str) -> str:
    from lenscore.artifacts import Store

    return Store.open(store).url


def _print_made(made: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json(made)
    else:
        for name, reference in made.items():
            typer.echo(f"{name}: {reference}")
