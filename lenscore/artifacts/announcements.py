"""Releases that were announced, releases/<name>.json, and drift that a person has accepted, accepted/<release>/<id>.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lenscore.artifacts.manifest import Reference, canonical_json
from lenscore.artifacts.names import check_subject
from lenscore.artifacts.store import Store
from lenscore.errors import ConflictError, NotFoundError

PREFIX = "releases"
ACCEPTED = "accepted"


@dataclass(frozen=True)
class Announcement:
    """A release that is there to be searched.

    Args:
        release: its name.
        announced: when, ISO 8601 in UTC.
        settings: what a run's file would hold under [release.NAME]; empty where the run's file has it.
    """

    release: str
    announced: str
    settings: Mapping[str, Any]


def announce(store: Store, release: str, settings: Mapping[str, Any] | None = None) -> tuple[Announcement, bool]:
    """Announce a release; announcing it again in the same way changes nothing.

    Args:
        store: where.
        release: its name.
        settings: settings of its jobs, for a release that the run's file does not know.

    Returns:
        The announcement that holds, and whether it is new.

    Raises:
        InputError: the name is none.
        ConflictError: it was announced with other settings.
    """
    content = {"release": release, "announced": datetime.now(UTC).isoformat(timespec="seconds")}
    new = store.put(_key(release), canonical_json({**content, "settings": dict(settings or {})}), create_only=True)
    found = find_announcement(store, release)
    if settings is not None and dict(found.settings) != dict(settings):
        raise ConflictError(
            f"{release} was announced on {found.announced} with other settings",
            "what was announced stays: announce the new data under a name of its own",
        )
    return found, new


def find_announcement(store: Store, release: str) -> Announcement:
    """Look a release's announcement up.

    Raises:
        NotFoundError: it was not announced.
    """
    key = _key(release)
    if not store.exists(key):
        raise NotFoundError(f"{release} is not announced in {store.url}", f"run `lenscore release announce {release}`")
    return Announcement(**json.loads(store.get(key)))


def list_announcements(store: Store) -> list[Announcement]:
    """All announcements, oldest first."""
    keys = [info.key for info in store.list(PREFIX) if info.key.endswith(".json")]
    return sorted((Announcement(**json.loads(store.get(key))) for key in keys), key=lambda found: found.announced)


def accept_drift(store: Store, release: str, drift: Reference, by: str) -> bool:
    """Note that a person has seen a release's drift and lets it be scored.

    Returns:
        Whether that is new.
    """
    content = {"accepted": datetime.now(UTC).isoformat(timespec="seconds"), "by": by}
    return store.put(_accepted_key(release, drift), canonical_json(content), create_only=True)


def drift_is_accepted(store: Store, release: str, drift: Reference) -> bool:
    """Whether a person has accepted this drift of a release."""
    return store.exists(_accepted_key(release, drift))


def _key(release: str) -> str:
    return f"{PREFIX}/{check_subject(release)}.json"


def _accepted_key(release: str, drift: Reference) -> str:
    return f"{ACCEPTED}/{check_subject(release)}/{drift.id}.json"
