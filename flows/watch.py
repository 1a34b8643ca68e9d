"""Looks for announced releases that have no candidates from the current models, and scores each of them once.

A schedule and an announcement's event may start it at the same moment: of all runs one holds a release at a time, and
looks again once it holds it. A release that waits for a person is left alone until one has spoken.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flows.discover import PARALLEL
from flows.launchers import Launcher
from flows.pipeline import Models
from flows.report import describe_changes
from flows.rescore import FarFromTrainingError, current_models, rescore, settings_of
from flows.settings import Settings
from flows.slots import release_slot
from flows.steps import open_made
from lenscore.artifacts import Reference, Store, list_names
from lenscore.artifacts.announcements import drift_is_accepted, list_announcements
from lenscore.errors import ConflictError, LensError, NotFoundError

SCORED, RESCORED, BUSY = "has candidates", "re-scored", "another run is at it"
WAITS, NO_MODEL, FAILED = "waits for a person", "waits for models", "failed"


@dataclass(frozen=True)
class Outcome:
    """What became of a release: a state, and what there is to say."""

    release: str
    state: str
    says: str = ""

    @property
    def is_news(self) -> bool:
        """Whether people should be told."""
        return self.state in (RESCORED, FAILED) or (self.state == WAITS and bool(self.says))

    def __str__(self) -> str:
        return f"{self.release}: {self.state}" + (f": {self.says}" if self.says else "")


@dataclass(frozen=True)
class Watch:
    """What to look at, and how to score.

    Args:
        config: the run's TOML file.
        store: address of the store.
        launcher: what runs the jobs.
        parallel: jobs at once.
    """

    config: Path
    store: str
    launcher: Launcher | None = None
    parallel: int = PARALLEL

    def run(self, tell: Callable[[Outcome], None]) -> list[Outcome]:
        """Go through all announcements, oldest first.

        Args:
            tell: gets each outcome as it comes.
        """
        outcomes = []
        for announcement in list_announcements(Store.open(self.store)):
            outcomes.append(self._look_after(announcement.release))
            tell(outcomes[-1])
        return outcomes

    def _look_after(self, release: str) -> Outcome:
        try:
            settled = self._settled(release)
            if settled is not None:
                return settled
            with release_slot(release, wait=False):
                # Another run may have scored it between the look and the slot.
                return self._settled(release) or self._score(release)
        except ConflictError:
            return Outcome(release, BUSY)
        except LensError as error:
            return Outcome(release, FAILED, str(error))

    def _settled(self, release: str) -> Outcome | None:
        """Why there is nothing to do for a release, if so."""
        opened, settings = Store.open(self.store), settings_of(self.config, release, self.store)
        try:
            models = current_models(self.store, settings.run.model)
        except NotFoundError:
            return Outcome(release, NO_MODEL)
        if has_candidates(opened, settings.run.survey, release, models):
            return Outcome(release, SCORED)
        return Outcome(release, WAITS) if _is_stopped(opened, settings, release, models) else None

    def _score(self, release: str) -> Outcome:
        try:
            made = rescore(self.config, release, self.store, self.launcher, self.parallel)
        except FarFromTrainingError as error:
            return Outcome(release, WAITS, str(error))
        if "comparison" not in made:
            return Outcome(release, RESCORED, "there was nothing to compare with")
        summary = open_made(Store.open(self.store), made["comparison"]).read_json("summary.json")
        return Outcome(release, RESCORED, describe_changes(summary))


def has_candidates(store: Store, survey: str, release: str, models: Models) -> bool:
    """Whether a release has named candidates, of its own or among the survey's, scored by these models."""
    wanted = {str(model) for model in (models.linear, models.finetuned) if model is not None}
    cutouts = {name.reference for name in list_names(store, "cutouts", release)}
    return any(
        wanted <= {str(model) for model in _scored_by(store, name.reference, cutouts)}
        for subject in (release, survey)
        for name in reversed(list_names(store, "candidates", subject))
    )


def _scored_by(store: Store, candidates: Reference, cutouts: set[Reference]) -> set[Reference]:
    """Models by whose scores of these cutouts the candidates were chosen."""
    scores = open_made(store, str(candidates)).manifest.inputs.get("scores", ())
    inputs = [open_made(store, str(item)).manifest.inputs for item in scores]
    return {model for given in inputs if cutouts & set(given["cutouts"]) for model in given["model"]}


def _is_stopped(store: Store, settings: Settings, release: str, models: Models) -> bool:
    """Whether the release was found to be far from what these models were trained on, and nobody accepted that."""
    names = list_names(store, "drift", release)
    if not names or settings.run.on_drift == "continue":
        return False
    drift = open_made(store, str(names[-1].reference))
    trained_on = open_made(store, str(models.linear)).manifest.inputs["embeddings"][:1]
    if drift.manifest.inputs["training_embeddings"] != trained_on or not drift.read_json("drift.json")["far"]:
        return False
    return not drift_is_accepted(store, release, drift.reference)
