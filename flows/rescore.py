"""The flow `rescore`: a new release through the current models, and what changed.

Before anything is scored the release is held against the one that the models were trained on; where it is too far
off, the flow stops for a person.
"""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows import pipeline
from flows.discover import PARALLEL
from flows.launchers import Launcher, LocalLauncher
from flows.names import name_artifacts, newest, take_names
from flows.pipeline import Models, Searched
from flows.report import show_candidates, show_changes, show_drift
from flows.settings import Settings
from flows.steps import Given, Steps, parse_reference
from lenscore.artifacts import Artifact, Store
from lenscore.artifacts.announcements import drift_is_accepted, find_announcement
from lenscore.errors import InputError, NotFoundError


class FarFromTrainingError(InputError):
    """A release is too far from what the models were trained on; a person decides."""


def rescore(
    config: Path,
    release: str,
    store: str,
    launcher: Launcher | None = None,
    parallel: int = PARALLEL,
    accept_drift: bool = False,
) -> dict[str, str]:
    """Score a release by the models of an earlier discover, and compare its candidates with the survey's last ones.

    Args:
        config: the run's TOML file.
        release: the new release.
        store: address of the store.
        launcher: what runs the jobs; processes on this machine if none is given.
        parallel: jobs at once.
        accept_drift: go on where the release is far from training.

    Returns:
        kind/id of the main artifacts by name, among them candidates, catalogue, drift and comparison.

    Raises:
        FarFromTrainingError: the release is far from training, and nobody has accepted that.
    """
    settings = settings_of(config, release, store)
    runner: Any = ThreadPoolTaskRunner(max_workers=parallel)
    run = rescore_flow.with_options(task_runner=runner)
    made: dict[str, str] = run(release, store, settings, launcher or LocalLauncher(), accept_drift)
    return made


@flow(name="rescore", flow_run_name="rescore {release}", persist_result=False, validate_parameters=False)
def rescore_flow(release: str, store: str, settings: Any, launcher: Any, accept_drift: bool = False) -> dict[str, str]:
    """A new release through the current models, and what changed."""
    steps, run = Steps(settings, store, launcher), settings.run
    models = current_models(store, run.model)
    lens_list = newest(store, "lens_list", run.survey)
    before = _candidates_before(store, run.survey, release)
    cutouts, sky = pipeline.ingest_release(steps, release)
    searched = Searched(release, cutouts, pipeline.find_known(steps, release, cutouts, lens_list), sky)
    pipeline.embed(steps, searched, models.encoder)
    drift = _held_against_training(steps, searched, models, accept_drift)
    pipeline.find_similar(steps, searched)
    pipeline.classify(steps, searched, models)
    candidates = pipeline.rank(steps, [searched])
    sheets, catalogue = pipeline.publish(steps, [searched], candidates, models)
    made: dict[str, Given] = {"candidates": candidates, "sheets": sheets, "catalogue": catalogue, "drift": drift}
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
    show_changes(store, results)
    return results


def settings_of(config: Path, release: str, store: str) -> Settings:
    """The run's settings; those of a release that its file does not know come from the announcement.

    Raises:
        InputError: neither has any.
    """
    settings = Settings.read(config)
    if release in settings.sections.get("release", {}) or release in settings.run.releases:
        return settings
    try:
        changes = find_announcement(Store.open(store), release).settings
    except NotFoundError:
        changes = {}
    if not changes:
        raise InputError(
            f"{config} has no [release.{release}]",
            f"add it, or announce the release with its settings: `lenscore release announce {release} --settings FILE`",
        )
    return settings.with_release(release, changes)


def _held_against_training(steps: Steps, release: Searched, models: Models, accept: bool) -> str:
    """Compare with the training release, and stop where it is too far off: kind/id of the drift."""
    drift = steps.make(
        "drift",
        release=release.name,
        cutouts=release.cutouts,
        embeddings=release.embeddings,
        training_cutouts=_inputs_of(steps.store, str(models.linear), "cutouts"),
        training_embeddings=_inputs_of(steps.store, str(models.linear), "embeddings")[:1],
    )
    made = steps.results({"drift": drift})["drift"]
    far = show_drift(steps.store, release.name, made)
    go_on = accept or steps.settings.run.on_drift == "continue"
    if far and not go_on and not drift_is_accepted(Store.open(steps.store), release.name, parse_reference(made)):
        name_artifacts(steps.store, [(release.name, made)])
        raise FarFromTrainingError(
            f"{release.name} is too far from what the models were trained on: {'; '.join(far)}",
            f"look at `lenscore artifacts show {made}`, then go on with `lenscore release accept {release.name}`",
        )
    return made


def current_models(store: str, model: str) -> Models:
    """The newest models of a name.

    Raises:
        NotFoundError: there is none yet.
    """
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
