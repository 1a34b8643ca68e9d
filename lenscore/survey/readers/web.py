"""Files of a web server, read politely: a limited rate, new attempts, continued by range."""

import os
import re
import time
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

import httpx

from lenscore.errors import InputError, NotFoundError, StoreError
from lenscore.survey.readers.cache import Cache
from lenscore.survey.readers.sources import RemoteSource, SourceFile
from lenscore.survey.settings import Transfer

HREF = re.compile(r'href\s*=\s*["\']([^"\'?#]+)["\']', re.IGNORECASE)
LONGEST_WAIT_S = 60.0


class Polite:
    """A client that keeps a distance between its requests and tries again."""

    def __init__(self, transfer: Transfer, headers: dict[str, str] | None = None) -> None:
        self.transfer = transfer
        self._next = 0.0
        self._client = httpx.Client(
            timeout=transfer.timeout_s, follow_redirects=True, headers={"User-Agent": "lenscore", **(headers or {})}
        )

    def head(self, url: str) -> httpx.Response:
        """Ask for a file's size."""
        return self._attempts(
            lambda: self._checked(self._client.head(url, headers={"Accept-Encoding": "identity"}), url), url
        )

    def get(self, url: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """Fetch something small, or a range."""
        return self._attempts(lambda: self._checked(self._client.get(url, headers=headers), url), url)

    def stream(self, url: str, start: int) -> Iterator[bytes]:
        """A file's bytes from a position on, continued where a connection breaks."""
        position, failures = start, 0
        while True:
            begun = position
            try:
                for piece in self._pieces(url, position):
                    position += len(piece)
                    yield piece
                return
            except (httpx.TransportError, _AgainError) as error:
                failures = 1 if position > begun else failures + 1  # progress earns new attempts
                self._wait_or_fail(error, failures, url)

    def _pieces(self, url: str, start: int) -> Iterator[bytes]:
        self._pause()
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        with self._client.stream("GET", url, headers=headers) as response:
            if response.status_code == 416:
                raise InputError(
                    f"{url} is shorter than the {start} bytes already fetched", "empty the cache and run again"
                )
            self._checked(response, url)
            skip = start if response.status_code == 200 else 0  # a server without ranges sends everything again
            for piece in response.iter_raw():
                dropped = min(skip, len(piece))
                skip -= dropped
                if len(piece) > dropped:
                    yield piece[dropped:]

    def _attempts(self, request: Any, url: str) -> httpx.Response:
        failures = 0
        while True:
            self._pause()
            try:
                response: httpx.Response = request()
                return response
            except (httpx.TransportError, _AgainError) as error:
                failures += 1
                self._wait_or_fail(error, failures, url)

    def _wait_or_fail(self, error: Exception, failures: int, url: str) -> None:
        if failures > self.transfer.retries:
            why = str(error) or type(error).__name__
            raise StoreError(
                f"{url} failed {failures} times: {why}", "run again later, what was fetched is kept"
            ) from error
        wait = min(self.transfer.first_wait_s * 2 ** (failures - 1), LONGEST_WAIT_S)
        time.sleep(max(wait, getattr(error, "wait_s", 0.0)))

    def _pause(self) -> None:
        now = time.monotonic()
        time.sleep(max(self._next - now, 0.0))
        self._next = max(self._next, now) + 1.0 / self.transfer.requests_per_second

    @staticmethod
    def _checked(response: httpx.Response, url: str) -> httpx.Response:
        status = response.status_code
        if status in (404, 410):
            raise NotFoundError(f"{url} does not exist (HTTP {status})", "check the address")
        if status in (408, 425, 429) or status >= 500:
            raise _AgainError(status, response.headers.get("Retry-After", ""))
        if status >= 400:
            raise StoreError(f"{url} refuses (HTTP {status})", "check the address and your access")
        return response


class _AgainError(Exception):
    """A server's answer that asks for another attempt."""

    def __init__(self, status: int, after: str) -> None:
        super().__init__(f"HTTP {status}")
        self.wait_s = min(float(after), LONGEST_WAIT_S) if after.isdigit() else 0.0


class WebSource(RemoteSource):
    """A web address laid out as the survey publishes it; folders are listed from the server's index pages."""

    published = True

    def __init__(self, address: str, transfer: Transfer, cache: Cache) -> None:
        super().__init__(address, cache)
        self.polite = Polite(transfer)
        self._index = lru_cache(1024)(self._read_index)
        self._head = lru_cache(4096)(self._read_head)

    def url(self, path: str) -> str:
        """Address of a file."""
        return f"{self.address}/{quote(path)}"

    def files(self, under: str = "") -> list[str]:
        """Paths of the files below a folder of the source, sorted: one request a folder."""
        found: list[str] = []
        waiting = [under.strip("/")]
        while waiting:
            folder = waiting.pop()
            for name in self._index(folder):
                path = f"{folder}/{name}".lstrip("/")
                (waiting if name.endswith("/") else found).append(path.rstrip("/"))
        return sorted(found)

    def siblings(self, folder: str) -> list[str]:
        """Files right in a folder."""
        return sorted(f"{folder}/{name}".lstrip("/") for name in self._index(folder) if not name.endswith("/"))

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        try:
            self._head(path)
        except NotFoundError:
            return False
        return True

    def stat(self, path: str) -> SourceFile:
        """Size and checksum: the published one, else the server's ETag or time of change."""
        published, headers = self.published_sha256(path), self._head(path)
        told = headers.get("ETag") or headers.get("Last-Modified") or ""
        return SourceFile(path, self.size(path), f"sha256:{published}" if published else told)

    def size(self, path: str) -> int:
        """Bytes of a file; -1 if the server does not tell."""
        return int(self._head(path).get("Content-Length", -1))

    def read(self, path: str, start: int, length: int) -> bytes:
        """A range of a file."""
        headers = {"Range": f"bytes={start}-{start + length - 1}", "Accept-Encoding": "identity"}
        response = self.polite.get(self.url(path), headers)
        return response.content if response.status_code == 206 else response.content[start : start + length]

    def stream(self, path: str, start: int) -> Iterator[bytes]:
        """A file's bytes from a position on."""
        return self.polite.stream(self.url(path), start)

    def _read_head(self, path: str) -> httpx.Headers:
        return self.polite.head(self.url(path)).headers

    def _read_index(self, folder: str) -> tuple[str, ...]:
        page = f"{self.url(folder) if folder else self.address}/"
        try:
            text = self.polite.get(page).text
        except NotFoundError:
            return ()
        links = {urljoin(page, link) for link in HREF.findall(text)}
        names = {unquote(link[len(page) :]) for link in links if link.startswith(page)}
        return tuple(sorted(name for name in names if name and "/" not in name.rstrip("/")))


class HubSource(WebSource):
    """A data set of the hub: hf://datasets/OWNER/NAME[@REVISION][/FOLDER]. HF_TOKEN, if set, is sent."""

    published = False

    def __init__(self, address: str, transfer: Transfer, cache: Cache) -> None:
        parts = [part for part in (urlsplit(address).netloc + urlsplit(address).path).split("/") if part]
        parts = parts[1:] if parts[:1] == ["datasets"] else parts
        if len(parts) < 2:
            raise InputError(f"{address!r} names no data set", "use hf://datasets/OWNER/NAME")
        name, _, revision = parts[1].partition("@")
        self.repository, self.revision, self.folder = f"{parts[0]}/{name}", revision or "main", "/".join(parts[2:])
        self.hub = transfer.hub.rstrip("/")
        base = f"{self.hub}/datasets/{self.repository}/resolve/{quote(self.revision, safe='')}"
        super().__init__(f"{base}/{self.folder}" if self.folder else base, transfer, cache)
        token = os.environ.get("HF_TOKEN")
        self.polite = Polite(transfer, {"Authorization": f"Bearer {token}"} if token else None)

    @cached_property
    def _tree(self) -> dict[str, SourceFile]:
        url: str | None = f"{self.hub}/api/datasets/{self.repository}/tree/{quote(self.revision, safe='')}"
        url = f"{url}{f'/{quote(self.folder)}' if self.folder else ''}?recursive=true"
        found: dict[str, SourceFile] = {}
        while url:
            response = self.polite.get(url)
            skip = len(self.folder) + 1 if self.folder else 0
            for entry in response.json():
                if entry.get("type") == "file":
                    path, large = entry["path"][skip:], entry.get("lfs") or {}
                    found[path] = SourceFile(path, int(entry["size"]), _checksum(large, entry))
            url = response.links.get("next", {}).get("url")
        return found

    def files(self, under: str = "") -> list[str]:
        """Paths of the files below a folder of the source, sorted."""
        return sorted(path for path in self._tree if not under or path.startswith(f"{under}/"))

    def siblings(self, folder: str) -> list[str]:
        """Files right in a folder."""
        return [path for path in self.files(folder) if path.rpartition("/")[0] == folder]

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return path in self._tree

    def stat(self, path: str) -> SourceFile:
        """Size and checksum as the hub tells them."""
        return self._tree[path]

    def size(self, path: str) -> int:
        """Bytes of a file."""
        if path not in self._tree:
            raise NotFoundError(f"{self.repository} has no file {path}", "check the name of the data set")
        return self._tree[path].size

    def published_sha256(self, path: str) -> str | None:
        """The sha256 that the hub tells for a large file."""
        kind, _, digest = self._tree[path].checksum.partition(":") if path in self._tree else ("", "", "")
        return digest if kind == "sha256" else None


def _checksum(large: dict[str, Any], entry: dict[str, Any]) -> str:
    return f"sha256:{large['oid'].removeprefix('sha256:')}" if "oid" in large else f"git:{entry.get('oid', '')}"
