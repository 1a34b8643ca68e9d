"""Jobs as Prefect tasks: readable names, retries, progress, and references that flow from one to the next."""

from collections.abc import Mapping, Sequence
from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import ProgressArtifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.exceptions import UnfinishedRun
from prefect.futures import PrefectFuture
from prefect.states import State
from prefect.tasks import Task

from flows.launchers import Launcher, Request
from flows.settings import Settings
from jobs.tasks import find_finished, make_task
from lenscore.artifacts import Artifact, Reference, Store
from lenscore.config import Config
from lenscore.errors import DamagedError, InputError, NotFoundError

RETRIES = 2
STEP = 0.05
RETRY_SECONDS = [5.0, 30.0]

Made = PrefectFuture[str]
"""An artifact in the making: its kind/id, once the job is done."""

Given = Made | str
"""An artifact in the making, or kind/id of one that was made before."""


def _may_help(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Running again helps where the input is right: a lost store or a killed process."""
    try:
        state.result()
    except (InputError, NotFoundError, DamagedError):
        return False
    except Exception:
        return True
    return False


@task(
    name="job",
    task_run_name="{label}",
    retries=RETRIES,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=_may_help,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def run_job(
    label: str,
    job: str,
    config: Config,
    inputs: Mapping[str, Sequence[str]],
    store: str,
    launcher: Launcher,
    release: str = "",
) -> str:
    """Run one job, or find that its artifact exists.

    Args:
        label: name of the task run.
        job: name of the job.
        config: its configuration.
        inputs: kind/id by input name.
        store: the store's address.
        launcher: what runs it.
        release: that it works on, for people.

    Returns:
        kind/id of the artifact.
    """
    logger = get_run_logger()
    references = {name: tuple(parse_reference(item) for item in items) for name, items in inputs.items()}
    planned = make_task(job, config, references)
    if find_finished(Store.open(store), planned) is not None:
        logger.info("%s is there already: %s", job, planned.reference)
        return str(planned.reference)
    show = _Bar(f"progress-{job.replace('_', '-')}", label)
    request = Request(job, config.model_dump(mode="json"), references, store, release)
    return str(launcher.run(request, logger.info, show))


class _Bar:
    """A progress bar in the UI, moved in steps of 5 %."""

    def __init__(self, key: str, label: str) -> None:
        self.label, self.shown = label, 0.0
        self.artifact = ProgressArtifact(key=key, progress=0.0, description=label)
        self.artifact.create()

    def __call__(self, share: float, line: str) -> None:
        if share - self.shown < STEP and share < 1:
            return
        self.shown = share
        ProgressArtifact(
            key=self.artifact.key, progress=round(100 * share, 1), description=f"{self.label}: {line}"
        ).create()


class Steps:
    """Submits jobs of one run.

    Args:
        settings: the run's.
        store: address of the store.
        launcher: what runs the jobs.
    """

    def __init__(self, settings: Settings, store: str, launcher: Launcher) -> None:
        self.settings, self.store, self.launcher = settings, store, launcher
        self._submitted: list[Made] = []

    def make(
        self,
        job: str,
        *,
        release: str | None = None,
        label: str | None = None,
        changes: Mapping[str, Any] | None = None,
        **inputs: Any,
    ) -> Made:
        """Submit a job.

        Args:
            job: its name.
            release: whose settings apply.
            label: what the task run is called; the job and release by default.
            changes: settings that differ from the file's.
            inputs: artifacts made before, one or a list each; None for none.

        Returns:
            A future of kind/id.
        """
        config = self.settings.config(job, release, **(changes or {}))
        given = {name: _as_list(value) for name, value in inputs.items() if value is not None}
        title = label or " ".join(part for part in (job, release) if part)
        made = run_job.submit(title, job, config, given, self.store, self.launcher, release or "")
        self._submitted.append(made)
        return made

    def results(self, made: Mapping[str, Given]) -> dict[str, str]:
        """kind/id of artifacts, once all submitted jobs have ended.

        Raises:
            LensError: of the first job that failed, not of those that waited for it.
        """
        for future in self._submitted:
            try:
                future.result()
            except UnfinishedRun:
                continue
            except BaseException as error:
                if not isinstance(error, Exception):  # the flow is cancelled: its jobs must not go on
                    self.launcher.stop()
                raise
        return {name: result_of(item) for name, item in made.items()}


def parse_reference(text: str) -> Reference:
    """kind/id as a reference."""
    kind, _, id = text.partition("/")
    return Reference(kind=kind, id=id)


def open_made(store: Store, text: str) -> Artifact:
    """The artifact of a kind/id."""
    reference = parse_reference(text)
    return Artifact.open(store, reference.kind, reference.id)


def result_of(given: Given) -> str:
    """kind/id of an artifact, once it is made."""
    return given if isinstance(given, str) else given.result()


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
