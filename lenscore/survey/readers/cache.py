"""A folder of fetched files: resumed after a break, shared by processes, of limited size."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from lenscore.errors import StoreError


class Cache:
    """Files from elsewhere.

    Args:
        folder: where they lie.
        limit_bytes: when fetched files fill more, the longest unused are removed.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes

    def fetch(self, key: str, stream: Callable[[int], Iterator[bytes]], size: Callable[[], int]) -> Path:
        """A file, whole.

        Args:
            key: its path in the cache.
            stream: gives its bytes from a position on.
            size: tells its length.

        Returns:
            Its path. One process fetches, the others wait; a part left by a killed one is continued.
        """
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock(path):
            if not path.exists():
                part = path.with_name(f"{path.name}.part")
                self._complete(part, stream, size())
                part.replace(path)
            os.utime(path)
        self.trim(path)
        return path

    def drop(self, key: str) -> None:
        """Remove a file that is not what it should be."""
        (self.folder / key).unlink(missing_ok=True)

    def trim(self, keep: Path) -> None:
        """Remove the longest unused files beyond the limit, but not `keep`."""
        files = [file for file in self.folder.rglob("*") if file.is_file() and file.suffix not in (".part", ".lock")]
        found = []
        for file in files:
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                found.append((file.stat().st_mtime, file.stat().st_size, file))
        total = sum(size for _, size, _ in found)
        for _, size, file in sorted(found):
            if total <= self.limit_bytes:
                return
            if file != keep:
                file.unlink(missing_ok=True)
                total -= size

    @staticmethod
    def _complete(part: Path, stream: Callable[[int], Iterator[bytes]], size: int) -> None:
        if part.exists() and (size >= 0 and part.stat().st_size > size):
            part.unlink()
        start = part.stat().st_size if part.exists() else 0
        if start == size:
            part.touch()
            return
        with part.open("ab") as file:
            for piece in stream(start):
                file.write(piece)
        if size >= 0 and part.stat().st_size != size:
            got = part.stat().st_size
            raise StoreError(
                f"{part.name[:-5]} ended after {got} of {size} bytes", "run again, what was fetched is kept"
            )

    @contextlib.contextmanager
    def _lock(self, path: Path) -> Iterator[None]:
        with path.with_name(f"{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
