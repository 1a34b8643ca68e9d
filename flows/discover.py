"""The flow `discover`: from survey files to a published, versioned catalogue of candidates."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows import pipeline
from flows.baselines import embed_baselines
from flows.launchers import Launcher, LocalLauncher
from flows.names import take_names
from flows.pipeline import Searched
from flows.report import show_candidates
from flows.settings import Settings
from flows.steps import Given, Steps

PARALLEL = 2


def discover(config: Path, store: str, launcher: Launcher | None = None, parallel: int = PARALLEL) -> dict[str, str]:
    """Run discover in this process.

    Args:
        config: the run's TOML file.
        store: address of the store.
        launcher: what runs the jobs; processes on this machine if none is given.
        parallel: jobs at once.

    Returns:
        kind/id of the main artifacts by name, among them candidates, catalogue, sheets, evaluation.
    """
    settings = Settings.read(config)
    runner: Any = ThreadPoolTaskRunner(max_workers=parallel)
    run = discover_flow.with_options(task_runner=runner)
    made: dict[str, str] = run(str(config), store, settings, launcher or LocalLauncher())
    return made


@flow(name="discover", flow_run_name="discover {config}", persist_result=False, validate_parameters=False)
def discover_flow(config: str, store: str, settings: Any, launcher: Any) -> dict[str, str]:
    """From survey files to a catalogue of lens candidates."""
    steps, run = Steps(settings, store, launcher), settings.run
    read = {name: pipeline.ingest_release(steps, name) for name in run.releases}
    skies = [sky for _, sky in read.values() if sky is not None]
    lens_list = steps.make("lens_list", sky=skies or None)
    releases = {
        name: Searched(name, cutouts, pipeline.find_known(steps, name, cutouts, lens_list), sky)
        for name, (cutouts, sky) in read.items()
    }
    training = releases[run.training_release]
    encoder, sample, fits = pipeline.pretrain(steps, training)
    for release in releases.values():
        pipeline.embed(steps, release, encoder)
        pipeline.find_similar(steps, release)
    models = pipeline.fit_classifiers(steps, training, encoder, fits)
    for release in releases.values():
        pipeline.classify(steps, release, models)
    candidates = pipeline.rank(steps, list(releases.values()))
    sheets, catalogue = pipeline.publish(steps, list(releases.values()), candidates, models, sample)
    made: dict[str, Given] = {
        "lens_list": lens_list,
        "encoder": encoder,
        "linear": models.linear,
        "candidates": candidates,
        "sheets": sheets,
        "catalogue": catalogue,
        "sample": sample,
        "fits": fits,
    }
    if models.finetuned is not None:
        made["finetuned"] = models.finetuned
    if training.sky is not None:
        embeddings = [training.embeddings, *(embed_baselines(steps, training, sample) if run.baselines else ())]
        made["evaluation"] = steps.make(
            "evaluate",
            sky=training.sky,
            cutouts=training.cutouts,
            labels=training.labels,
            scores=list(training.scores.values()),
            embeddings=embeddings,
            candidates=candidates,
            changes={"scores": list(training.scores)}
            | ({} if run.baselines else {"encoders": ["pretrained"], "combinations": [["pretrained"]]}),
        )
    results = steps.results(made)
    take_names(store, run, releases, results)
    show_candidates(store, results)
    return results
