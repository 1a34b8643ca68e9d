"""Creates the deployments of prefect.yaml on a Prefect server, and sees that all they need is there."""

import contextlib
import importlib
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.flows import EntrypointType
from prefect.schedules import Cron
from prefect.settings import PREFECT_API_URL

from flows.deployments import HOME, LauncherName, config_path, store_address
from flows.settings import Settings
from flows.slots import create_slot
from lenscore.artifacts import Store
from lenscore.errors import InputError, NotFoundError, StoreError

PAUSE_SECONDS = 2.0


def register(
    config: str,
    store: str = "",
    launcher: LauncherName = "local",
    pool: str = "lenscore",
    cron: str | None = None,
    notify: str = "",
    job_variables: Mapping[str, Any] | None = None,
    pool_type: str = "process",
    wait_seconds: float = 0.0,
) -> list[str]:
    """Create or update all deployments, and each release's concurrency limit, on the configured Prefect server.

    Args:
        config: the run's TOML file, as the flows will see it.
        store: address of the store; empty: the worker's own.
        launcher: where jobs run.
        pool: work pool.
        cron: when the watch looks; as in prefect.yaml by default.
        notify: block that the watch tells of news.
        job_variables: of the work pool, such as image for a Kubernetes pool.
        pool_type: a process pool is created if there is none; others are created by their workers.
        wait_seconds: the server, and a pool that its worker creates, may take that long to appear.

    Returns:
        Names of the deployments.

    Raises:
        InputError: the run's file is not there or wrong.
        StoreError: the Prefect server cannot be reached.
        NotFoundError: the pool did not appear.
    """
    if Path(config).is_file():
        config = str(Path(config).absolute())
    settings = Settings.read(config_path(config))
    store = Store.open(store).url if store else ""  # flow runs have working folders of their own
    given = {"config": config, "store": store, "launcher": launcher}
    try:
        _wait_for_server(wait_seconds)
        _find_pool(pool, pool_type, wait_seconds)
        for release in {*settings.run.releases, *settings.sections.get("release", {})}:
            create_slot(release)
        names = []
        for plan in read_plans():
            deployment = _deployment(plan, given | ({"notify": notify} if plan["name"] == "watch" else {}), cron)
            deployment.job_variables = {**(deployment.job_variables or {}), **(job_variables or {})}
            deployment.apply(work_pool_name=pool)
            names.append(deployment.full_name)
    except httpx.HTTPError as error:
        raise StoreError(f"the Prefect server failed: {error}", "check PREFECT_API_URL and that it is up") from error
    return names


def _deployment(plan: Mapping[str, Any], parameters: Mapping[str, Any], cron: str | None) -> RunnerDeployment:
    """A deployment of prefect.yaml, with the flow taken from the installed package."""
    module, _, name = plan["entrypoint"].partition(".py:")
    found = getattr(importlib.import_module(module.replace("/", ".")), name)
    schedules = [Cron(cron or item["cron"], timezone=item.get("timezone")) for item in plan.get("schedules", ())]
    made: RunnerDeployment = found.to_deployment(
        plan["name"],
        description=plan.get("description"),
        tags=plan["tags"],
        parameters={**plan.get("parameters", {}), **parameters},
        schedules=schedules or None,
        triggers=plan.get("triggers", []),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    return made


def check(config: str, store: str) -> list[str]:
    """See that flows could run: the run's file, the store, the server, and the deployments.

    Args:
        config: the run's TOML file.
        store: address of the store.

    Returns:
        A line on each.

    Raises:
        LensError: what is not well.
    """
    settings, opened = Settings.read(config_path(config)), Store.open(store_address(store))
    key = f"work/check/{uuid.uuid4().hex}"
    first, second = (opened.put(key, b"lenscore", create_only=True) for _ in range(2))
    opened.delete(key)
    if second or not first:
        raise StoreError(f"{opened.url} ignores create-only puts", "two writers could damage each other: use another")
    _wait_for_server(0)
    names = [f"{plan['name']}/{plan['name']}" for plan in read_plans()]
    with get_client(sync_client=True) as client:
        for name in names:
            try:
                client.read_deployment_by_name(name)
            except ObjectNotFound as error:
                raise NotFoundError(f"Prefect has no deployment {name}", "run `lenscore deploy`") from error
    return [
        f"config {config}: survey {settings.run.survey}",
        f"store {opened.url}: written, read and removed; create-only puts hold",
        f"prefect: {', '.join(names)}",
    ]


def read_plans() -> list[dict[str, Any]]:
    """The deployments of prefect.yaml."""
    found: list[dict[str, Any]] = yaml.safe_load((HOME / "prefect.yaml").read_text())["deployments"]
    return found


def _wait_for_server(seconds: float) -> None:
    if not PREFECT_API_URL.value():
        raise InputError("no Prefect server is configured", "set PREFECT_API_URL to its address, which ends in /api")
    end = time.monotonic() + seconds
    with get_client(sync_client=True) as client:
        while (error := client.api_healthcheck()) is not None:
            if time.monotonic() >= end:
                raise StoreError(
                    f"the Prefect server does not answer: {type(error).__name__}",
                    "check PREFECT_API_URL and that it is up",
                )
            time.sleep(PAUSE_SECONDS)


def _find_pool(name: str, kind: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    with get_client(sync_client=True) as client:
        if kind == "process":
            with contextlib.suppress(ObjectAlreadyExists):
                client.create_work_pool(WorkPoolCreate(name=name, type=kind))
            return
        while name not in {pool.name for pool in client.read_work_pools()}:
            if time.monotonic() >= end:
                raise NotFoundError(
                    f"there is no work pool {name}",
                    f"start its worker: `prefect worker start --pool {name} --type {kind}`",
                )
            time.sleep(PAUSE_SECONDS)
