"""The flows as a Prefect server offers them: typed parameters that its UI shows as a form.

`prefect.yaml` says which deployments there are; `flows.register` creates them from it, as `prefect deploy` does.
"""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from flows.discover import discover_flow
from flows.launchers import Launcher, LocalLauncher
from flows.notify import notify as send
from flows.publish import publish_flow
from flows.rescore import rescore_flow, settings_of
from flows.settings import NAME, Settings
from flows.slots import release_slot
from flows.watch import FAILED, Outcome, Watch
from lenscore.artifacts import Store
from lenscore.errors import InputError, LensError

HOME = Path(__file__).resolve().parent.parent
PARALLEL = int(os.environ.get("LENSCORE_PARALLEL", "2"))
RUNNER: Any = ThreadPoolTaskRunner(max_workers=PARALLEL)

LauncherName = Literal["local", "kubernetes"]
ReleaseName = Annotated[str, Field(pattern=NAME)]


@flow(name="discover", flow_run_name="discover {config}", task_runner=RUNNER, persist_result=False)
def discover(config: str = "configs/demo.toml", store: str = "", launcher: LauncherName = "local") -> dict[str, str]:
    """From survey files to a published catalogue of candidates. Finished jobs are not run again.

    Args:
        config: the run's TOML file, in the flow's image or mounted into it.
        store: address of the store; the worker's LENSCORE_STORE if empty.
        launcher: where jobs run: in processes beside the flow, or as Kubernetes Jobs.
    """
    settings = Settings.read(config_path(config))
    with ExitStack() as stack:
        for release in sorted(settings.run.releases):  # in one order, so that two runs cannot wait for each other
            stack.enter_context(release_slot(release))
        return discover_flow.fn(config, store_address(store), settings, find_launcher(launcher))


@flow(name="rescore", flow_run_name="rescore {release}", task_runner=RUNNER, persist_result=False)
def rescore(
    release: ReleaseName,
    config: str = "configs/demo.toml",
    store: str = "",
    launcher: LauncherName = "local",
    accept_drift: bool = False,
) -> dict[str, str]:
    """Score a release by the current models, and say what changed.

    Args:
        release: the new release.
        config: the run's TOML file, in the flow's image or mounted into it.
        store: address of the store; the worker's LENSCORE_STORE if empty.
        launcher: where jobs run: in processes beside the flow, or as Kubernetes Jobs.
        accept_drift: go on although the release is far from what the models were trained on.
    """
    address = store_address(store)
    settings = settings_of(config_path(config), release, address)
    with release_slot(release):
        return rescore_flow.fn(release, address, settings, find_launcher(launcher), accept_drift)


@flow(name="publish", flow_run_name="publish {survey}", task_runner=RUNNER, persist_result=False)
def publish(
    survey: ReleaseName,
    grades: list[str] | None = None,
    config: str = "configs/demo.toml",
    store: str = "",
    launcher: LauncherName = "local",
) -> dict[str, str]:
    """Publish the newest candidates again, with people's grades.

    Args:
        survey: survey or release.
        grades: tables of votes that the jobs can read: paths, or s3:// addresses.
        config: the run's TOML file, in the flow's image or mounted into it.
        store: address of the store; the worker's LENSCORE_STORE if empty.
        launcher: where jobs run: in processes beside the flow, or as Kubernetes Jobs.
    """
    settings = Settings.read(config_path(config))
    with release_slot(survey):
        return publish_flow.fn(survey, grades or [], store_address(store), settings, find_launcher(launcher))


@flow(name="watch", persist_result=False)
def watch(
    config: str = "configs/demo.toml", store: str = "", launcher: LauncherName = "local", notify: str = ""
) -> list[str]:
    """Score each announced release that has no candidates from the current models, once.

    Args:
        config: the run's TOML file, in the flow's image or mounted into it.
        store: address of the store; the worker's LENSCORE_STORE if empty.
        launcher: where jobs run: in processes beside the flow, or as Kubernetes Jobs.
        notify: block that is told of news, such as webhook/lenscore; nobody if empty.
    """
    logger = get_run_logger()

    def tell(outcome: Outcome) -> None:
        logger.info("%s", outcome)
        if notify and outcome.is_news:
            send(notify, str(outcome), logger.warning)

    outcomes = Watch(config_path(config), store_address(store), find_launcher(launcher), PARALLEL).run(tell)
    rows = [{"release": item.release, "state": item.state, "says": item.says} for item in outcomes]
    create_table_artifact(table=rows, key="watch", description="Announced releases")
    failed = [outcome for outcome in outcomes if outcome.state == FAILED]
    if failed:
        raise LensError(f"{len(failed)} releases failed, the first is {failed[0]}", "the next run tries again")
    return [str(outcome) for outcome in outcomes]


def find_launcher(name: LauncherName) -> Launcher:
    """The launcher of a name; its settings come from the environment."""
    if name == "local":
        return LocalLauncher()
    from flows.launchers.kubernetes import KubernetesLauncher

    return KubernetesLauncher.from_environment()


def config_path(text: str) -> Path:
    """A run's file; a relative one lies below the installed project."""
    return HOME / text


def store_address(text: str) -> str:
    """The store's address: the one given, or the worker's own.

    Raises:
        InputError: neither is there.
    """
    address = text or os.environ.get("LENSCORE_STORE", "")
    if not address:
        raise InputError("no store is given", "set the parameter store, or LENSCORE_STORE where the worker runs")
    return Store.open(address).url
