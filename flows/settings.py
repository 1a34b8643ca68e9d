"""One TOML file describes a run: a [run] section, a section a job, and what differs from release to release."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from jobs.launch import parse_config, read_sections
from jobs.specs import JOBS
from lenscore.config import Config, field
from lenscore.errors import InputError

NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"


class RunConfig(Config):
    """What a run is about."""

    survey: str = field(
        unit="", source="DESIGN: words", description="releases searched together; names the catalogue", pattern=NAME
    )
    releases: tuple[str, ...] = field(unit="", source="DESIGN: words", description="releases to search", min_length=1)
    training_release: str = field(unit="", source="paper 2", description="release that the models are trained on")
    model: str = field(unit="", source="DESIGN: words", description="name of the models", pattern=NAME)
    simulated: bool = field(False, unit="", source="DESIGN: demo", description="the releases are simulated first")
    finetune: bool = field(True, unit="", source="paper 4.3", description="fine-tune the network as well")
    similar: bool = field(True, unit="", source="paper 4.1", description="find neighbours and build the index")
    on_drift: Literal["stop", "continue"] = field(
        "stop",
        unit="",
        source="assumed: scores of a model far from its training mean little",
        description="what rescore does with a release that is far from the training release",
    )
    baselines: bool = field(
        False,
        unit="",
        source="assumed: for comparison",
        description="also untrained network, pixels, and pixels beside the network",
    )


class Settings:
    """A run's settings, checked as a whole before anything starts.

    Args:
        sections: contents of the file.

    Raises:
        InputError: a section or value is not known or refused.
    """

    def __init__(self, sections: Mapping[str, Any]) -> None:
        known = {spec.name for spec in JOBS}
        unknown = sorted(set(sections) - known - {"run", "release"})
        if unknown:
            raise InputError(
                f"unknown section [{unknown[0]}]", f"use [run], [release.NAME] or a job: {', '.join(sorted(known))}"
            )
        self.sections = dict(sections)
        try:
            self.run = RunConfig.model_validate(sections.get("run", {}))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in ("run", *first["loc"]))
            raise InputError(f"{place}: {first['msg']}", "correct it in the run's file") from error
        for release, changes in self.sections.get("release", {}).items():
            for job in changes:
                if job not in known:
                    raise InputError(
                        f"unknown job {job!r} in [release.{release}]", f"use one of {', '.join(sorted(known))}"
                    )
                self.config(job, release)
        for job in set(sections) & known:
            self.config(job)

    @staticmethod
    def read(path: Path) -> "Settings":
        """Read a run's file."""
        return Settings(read_sections(path))

    def with_release(self, name: str, changes: Mapping[str, Any]) -> "Settings":
        """The same settings, with those of a release that the file does not know.

        Raises:
            InputError: a setting is refused.
        """
        releases = {name: dict(changes), **self.sections.get("release", {})}
        return Settings({**self.sections, "release": releases})

    def config(self, job: str, release: str | None = None, **changes: Any) -> Config:
        """A job's configuration.

        Args:
            job: its name.
            release: whose changes apply on top of the job's section.
            changes: applied last.
        """
        section = dict(self.sections.get(job, {}))
        if release is not None:
            section |= self.sections.get("release", {}).get(release, {}).get(job, {})
        return parse_config(job, section | changes)
