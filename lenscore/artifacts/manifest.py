"""Manifests: what an artifact is, how it was made, and what it cost."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lenscore.errors import DamagedError


class Reference(BaseModel):
    """Points at an artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.id}"


class Manifest(BaseModel):
    """Written last: an artifact with a manifest is complete."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: Literal[1] = 1
    kind: str
    id: str
    job: str
    job_version: int
    config: dict[str, Any]
    inputs: dict[str, tuple[Reference, ...]]
    source_sha256: str | None = None
    rows: int | None = None
    files: int
    bytes: int
    files_sha256: str
    metrics: dict[str, Any] = Field(default_factory=dict)
    software: str
    image_digest: str | None = None
    created: str
    seconds: float
    gpu_seconds: float = 0.0
    peak_memory_gib: float
    checksum: str | None = None

    def sealed(self) -> "Manifest":
        """The same with its checksum, which covers all else that it says."""
        return self.model_copy(update={"checksum": self._sha256()})

    @property
    def whole(self) -> bool:
        """Whether it says what it said when it was sealed; one that was never sealed cannot tell."""
        return self.checksum is None or self.checksum == self._sha256()

    def _sha256(self) -> str:
        return sha256(canonical_json(self.model_dump(mode="json", exclude={"checksum"})))

    @property
    def reference(self) -> Reference:
        """What other manifests call this one."""
        return Reference(kind=self.kind, id=self.id)


def artifact_id(
    job: str,
    version: int,
    config: Mapping[str, Any],
    inputs: Mapping[str, Sequence[Reference]],
    source_sha256: str | None = None,
) -> str:
    """The identity of what a job will make.

    Args:
        job: the job's name.
        version: the job's VERSION.
        config: the values that can change the result (`Config.identity()`).
        inputs: artifacts by input name, in order.
        source_sha256: hash of the listing of a source outside the store.

    Returns:
        64 hexadecimal digits.
    """
    content = {
        "job": job,
        "version": version,
        "config": config,
        "source": source_sha256,
        "inputs": {name: [str(item) for item in items] for name, items in sorted(inputs.items()) if items},
    }
    return sha256(canonical_json(content))


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces; NaN and infinity are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def sha256(data: bytes | memoryview) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_manifest(data: bytes, where: str) -> Manifest:
    """Read a manifest.

    Raises:
        DamagedError: it is not one, or not as it was written.
    """
    try:
        found = Manifest.model_validate_json(data)
    except ValueError as error:
        raise DamagedError(f"{where} is no valid manifest", "remove the artifact and run its job again") from error
    if not found.whole:
        raise DamagedError(f"{where} fails its checksum", "restore it from a copy, or make the artifact again")
    return found
