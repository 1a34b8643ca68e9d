"""The flow `publish`: the newest candidates again, with people's grades."""

from pathlib import Path
from typing import Any

from prefect import flow

from flows.launchers import Launcher, LocalLauncher
from flows.names import name_artifacts, newest
from flows.report import show_candidates
from flows.settings import Settings
from flows.steps import Steps, open_made, parse_reference
from jobs.tasks import make_task
from lenscore.artifacts import Store


def publish(
    config: Path, survey: str, grades: list[Path], store: str, launcher: Launcher | None = None
) -> dict[str, str]:
    """Publish the newest candidates of a survey or release, with people's grades.

    Args:
        config: the run's TOML file.
        survey: survey or release.
        grades: tables of votes; all that were given before are kept as well.
        store: address of the store.
        launcher: what runs the jobs; processes on this machine if none is given.

    Returns:
        kind/id of the candidates, grades and catalogue by name.
    """
    settings = Settings.read(config)
    made: dict[str, str] = publish_flow(
        survey, [str(path.absolute()) for path in grades], store, settings, launcher or LocalLauncher()
    )
    return made


@flow(name="publish", flow_run_name="publish {survey}", persist_result=False, validate_parameters=False)
def publish_flow(survey: str, grades: list[str], store: str, settings: Any, launcher: Any) -> dict[str, str]:
    """The newest candidates again, with people's grades."""
    steps = Steps(settings, store, launcher)
    last = _manifest(store, newest(store, "catalogue_release", survey))
    inputs: dict[str, Any] = {name: [str(item) for item in items] for name, items in last.inputs.items()}
    candidates = newest(store, "candidates", survey)
    made: dict[str, Any] = {"candidates": candidates}
    if grades:
        earlier = _votes_before(steps, grades, candidates, inputs.get("grades", []))
        made["grades"] = steps.make("grade", changes={"files": grades}, candidates=candidates, grades=earlier or None)
        inputs["grades"] = [made["grades"]]
    made["catalogue"] = steps.make("publish", **(inputs | {"candidates": [candidates]}))
    results = steps.results(made)
    name_artifacts(store, [(survey, results[name]) for name in ("grades", "catalogue") if name in results])
    show_candidates(store, results)
    return results


def _votes_before(steps: Steps, files: list[str], candidates: str, last: list[str]) -> list[str]:
    """Grades to add these files to: the last ones, or, where they hold these files already, what they were added to."""
    for text in last:
        before = _manifest(steps.store, text).inputs.get("grades", ())
        inputs = {"candidates": (parse_reference(candidates),), "grades": before}
        if str(make_task("grade", steps.settings.config("grade", files=files), inputs).reference) == text:
            return [str(item) for item in before]
    return last


def _manifest(store: str, text: str) -> Any:
    return open_made(Store.open(store), text).manifest
