"""Numbered, immutable names of artifacts: names/<kind>/<subject>/v0003.json."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from lenscore.artifacts.artifact import Artifact
from lenscore.artifacts.kinds import find_kind
from lenscore.artifacts.manifest import Reference, canonical_json
from lenscore.artifacts.store import Store
from lenscore.errors import ConflictError, DamagedError, InputError, NotFoundError

VERSION = re.compile(r"^v?(\d{1,8})$")
SUBJECT = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}$")
ATTEMPTS = 100


@dataclass(frozen=True)
class Name:
    """A name of an artifact: version 3 of the candidates of dr9-south, say."""

    kind: str
    subject: str
    version: int
    id: str
    created: str

    @property
    def label(self) -> str:
        """v3, as people write it."""
        return f"v{self.version}"

    @property
    def reference(self) -> Reference:
        """What it points at."""
        return Reference(kind=self.kind, id=self.id)


def take_name(store: Store, subject: str, reference: Reference) -> Name:
    """Give an artifact the next version of a subject; one that has a version of it already keeps that.

    Args:
        store: where.
        subject: a release, survey or model name.
        reference: the artifact; it must be complete.

    Returns:
        The name taken. Of two takers at once, one gets v3 and the other v4.

    Raises:
        NotFoundError: the artifact is not complete.
        ConflictError: others were faster a hundred times.
    """
    Artifact.open(store, reference.kind, reference.id)
    for _ in range(ATTEMPTS):
        names = list_names(store, reference.kind, subject)
        for name in names:
            if name.id == reference.id:
                return name
        version = names[-1].version + 1 if names else 1
        created = datetime.now(UTC).isoformat(timespec="seconds")
        content = {"kind": reference.kind, "id": reference.id, "created": created}
        if store.put(_key(reference.kind, subject, version), canonical_json(content), create_only=True):
            return Name(reference.kind, subject, version, reference.id, created)
    raise ConflictError(f"no version of {reference.kind}/{subject} could be taken in {ATTEMPTS} tries", "run again")


def list_names(store: Store, kind: str, subject: str) -> list[Name]:
    """All versions of a subject, oldest first."""
    prefix = f"names/{find_kind(kind).name}/{check_subject(subject)}"
    names = []
    for info in store.list(prefix):
        stem = info.key.rpartition("/")[2].removesuffix(".json")
        if VERSION.match(stem):
            names.append(_read(store, info.key, kind, subject, int(stem[1:])))
    return sorted(names, key=lambda name: name.version)


def find_name(store: Store, kind: str, subject: str, version: str | None = None) -> Name:
    """Look a version up.

    Args:
        store: where.
        kind: kind of artifact.
        subject: release, survey or model.
        version: such as v3; None for the newest.

    Raises:
        NotFoundError: there is none.
    """
    names = list_names(store, kind, subject)
    if not names:
        raise NotFoundError(
            f"no {kind} of {subject!r} in {store.url}", f"there are {', '.join(subjects(store, kind)) or 'none'}"
        )
    if version is None:
        return names[-1]
    match = VERSION.match(version)
    if not match:
        raise InputError(f"{version!r} is no version", "write it as v3")
    for name in names:
        if name.version == int(match[1]):
            return name
    raise NotFoundError(
        f"{kind} of {subject!r} has no version {version}", f"it has {', '.join(name.label for name in names)}"
    )


def subjects(store: Store, kind: str) -> tuple[str, ...]:
    """Subjects that have names of this kind."""
    return store.folders(f"names/{find_kind(kind).name}")


def all_names(store: Store) -> list[Name]:
    """Every name in the store."""
    return [
        name
        for kind in store.folders("names")
        for subject in store.folders(f"names/{kind}")
        for name in list_names(store, kind, subject)
    ]


def _read(store: Store, key: str, kind: str, subject: str, version: int) -> Name:
    try:
        content = json.loads(store.get(key))
        return Name(kind, subject, version, content["id"], content["created"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"the name {store.url}/{key} cannot be read", "restore it from a copy") from error


def _key(kind: str, subject: str, version: int) -> str:
    return f"names/{kind}/{check_subject(subject)}/v{version:04d}.json"


def check_subject(subject: str) -> str:
    """Refuse what is no name of a release, survey or model.

    Raises:
        InputError: it has other than lower-case letters, digits and dashes.
    """
    if not SUBJECT.fullmatch(subject):
        raise InputError(f"{subject!r} is no name", "use lower-case letters, digits and dashes")
    return subject
