"""The flow `rescore`: a new release through the current models, and what changed."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows import pipeline
from flows.discover import PARALLEL
from flows.launchers import Launcher, LocalLauncher
from flows.names import newest, take_names
from flows.pipeline import Models, Searched
from flows.report import show_candidates
from flows.settings import Settings
from flows.steps import Steps
from lenscore.artifacts import Artifact, Store
from lenscore.errors import NotFoundError


def rescore(
    config: Path, release: str, store: str, launcher: Launcher | None = None, parallel: int = PARALLEL
) -> dict[str, str]:
    """Score a release by the models of an earlier discover, and compare its candidates with the survey's last ones.

    Args:
        config: the run's TOML file.
        release: the new release.
        store: address of the store.
        launcher: what runs the jobs; processes on this machine if none is given.
        parallel: jobs at once.

    Returns:
        kind/id of the main artifacts by name, among them candidates, catalogue and comparison.
    """
    settings = Settings.read(config)
    runner: Any = ThreadPoolTaskRunner(max_workers=parallel)
    run = rescore_flow.with_options(task_runner=runner)
    made: dict[str, str] = run(release, store, settings, launcher or LocalLauncher())
    return made


@flow(name="rescore", flow_run_name="rescore {release}", persist_result=False, validate_parameters=False)
def rescore_flow(release: str, store: str, settings: Any, launcher: Any) -> dict[str, str]:
    """A new release through the current models, and what changed."""
    steps, run = Steps(settings, store, launcher), settings.run
    models = _current_models(store, run.model)
    lens_list = newest(store, "lens_list", run.survey)
    before = _candidates_before(store, run.survey, release)
    cutouts, sky = pipeline.ingest_release(steps, release)
    searched = Searched(release, cutouts, pipeline.find_known(steps, release, cutouts, lens_list), sky)
    pipeline.embed(steps, searched, models.encoder)
    pipeline.classify(steps, searched, models)
    candidates = pipeline.rank(steps, [searched])
    sheets, catalogue = pipeline.publish(steps, [searched], candidates, models)
    made = {"candidates": candidates, "sheets": sheets, "catalogue": catalogue}
    if before is not None:
        made["comparison"] = steps.make(
            "compare",
            before=before,
            after=candidates,
            cutouts_before=_inputs_of(store, before, "cutouts"),
            cutouts_after=cutouts,
        )
    results = steps.results(made)
    take_names(store, run, {release: searched}, results)
    show_candidates(store, results)
    return results


def _current_models(store: str, model: str) -> Models:
    try:
        finetuned = newest(store, "model", f"{model}-finetuned")
    except NotFoundError:
        finetuned = None
    return Models(newest(store, "model", model), newest(store, "model", f"{model}-linear"), finetuned)


def _candidates_before(store: str, survey: str, release: str) -> str | None:
    """The survey's newest candidates that are not this release's own, so that a second run compares the same two."""
    from lenscore.artifacts import list_names

    opened = Store.open(store)
    own = {name.id for name in list_names(opened, "candidates", release)}
    names = [name for name in list_names(opened, "candidates", survey) if name.id not in own]
    return str(names[-1].reference) if names else None


def _inputs_of(store: str, text: str, name: str) -> list[str]:
    kind, _, id = text.partition("/")
    return [str(item) for item in Artifact.open(Store.open(store), kind, id).manifest.inputs.get(name, ())]
