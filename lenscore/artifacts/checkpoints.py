"""Progress of a run that can be killed at any moment and goes on where it was."""

import json
import re
from collections.abc import Mapping

from lenscore.artifacts.manifest import canonical_json, sha256
from lenscore.artifacts.store import Store
from lenscore.errors import NotFoundError

KEEP = 2
STEP = re.compile(r"/step-(\d{12})/complete\.json$")


class Checkpoints:
    """Checkpoints of one artifact in the making. A checkpoint counts once its complete.json is there.

    Args:
        store: where.
        prefix: folder of the run's working state.
    """

    def __init__(self, store: Store, prefix: str) -> None:
        self._store, self._prefix = store, f"{prefix}/checkpoints"

    def save(self, step: int, files: Mapping[str, bytes]) -> None:
        """Save a checkpoint and forget all but the last two.

        Args:
            step: grows from call to call.
            files: contents by name; no pickle.
        """
        folder = self._folder(step)
        for name, data in files.items():
            self._store.put(f"{folder}/{name}", data)
        hashes = {name: sha256(data) for name, data in files.items()}
        self._store.put(f"{folder}/complete.json", canonical_json(hashes))
        for old in self._steps()[:-KEEP]:
            self._forget(old)

    def latest(self) -> tuple[int, dict[str, bytes]] | None:
        """The last checkpoint that is whole: (step, files), or None."""
        for step in reversed(self._steps()):
            files = self._load(step)
            if files is not None:
                return step, files
        return None

    def clear(self) -> None:
        """Forget all."""
        for step in self._steps():
            self._forget(step)

    def _load(self, step: int) -> dict[str, bytes] | None:
        folder = self._folder(step)
        try:
            hashes: dict[str, str] = json.loads(self._store.get(f"{folder}/complete.json"))
            files = {name: self._store.get(f"{folder}/{name}") for name in hashes}
        except (NotFoundError, ValueError):
            return None
        whole = all(sha256(files[name]) == value for name, value in hashes.items())
        return files if whole else None

    def _steps(self) -> list[int]:
        found = (STEP.search(info.key) for info in self._store.list(self._prefix))
        return sorted(int(match[1]) for match in found if match)

    def _folder(self, step: int) -> str:
        return f"{self._prefix}/step-{step:012d}"

    def _forget(self, step: int) -> None:
        # complete.json goes first: a checkpoint half removed must not look whole.
        self._store.delete(f"{self._folder(step)}/complete.json")
        for info in self._store.list(self._folder(step)):
            self._store.delete(info.key)
