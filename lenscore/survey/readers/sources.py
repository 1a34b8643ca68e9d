"""Where a survey's files lie: a folder, a prefix of an S3 bucket, a web address, or a data set of the hub."""

import hashlib
import io
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

from lenscore.artifacts.manifest import file_sha256
from lenscore.artifacts.store import Store
from lenscore.errors import DamagedError, InputError, NotFoundError
from lenscore.survey.readers.cache import Cache
from lenscore.survey.settings import Transfer

PIECE = 8 << 20
SAMPLE = 1 << 20
CHECKSUM_LINE = re.compile(r"^([0-9a-fA-F]{64})\s+\*?(.+)$")
BRICK_NAME = re.compile(r"(?<![0-9])(\d{4}[pm]\d{3})(?![0-9])")


@dataclass(frozen=True)
class SourceFile:
    """A file's path below its source, its size in bytes (-1: not told) and a checksum (or what stands for one)."""

    path: str
    size: int
    checksum: str


class Source(ABC):
    """A tree of files to read."""

    published = False
    """It is somebody's archive: too large to list, and not changed once published."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self._published = lru_cache(256)(self._find_checksums)

    @abstractmethod
    def files(self, under: str = "") -> list[str]:
        """Paths of the files below a folder of the source, sorted."""

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Whether there is such a file."""

    @abstractmethod
    def stat(self, path: str) -> SourceFile:
        """Size and checksum of a file, for the identity of what is made of it."""

    @abstractmethod
    def local(self, path: str) -> Path:
        """A file as a local path, fetched if need be, its published checksum verified.

        Raises:
            NotFoundError: there is no such file.
            StoreError: it cannot be fetched now.
            DamagedError: it is not what the survey published.
        """

    @abstractmethod
    def open(self, path: str) -> BinaryIO:
        """A file for reading anywhere in it, without fetching the whole."""

    def direct(self, path: str) -> Path | BinaryIO:
        """A large file for reading parts of it: its path where it is local; not verified as a whole."""
        return self.open(path)

    def published_sha256(self, path: str) -> str | None:
        """The sha256 that the survey publishes for a file, or None."""
        folder, name = path.rpartition("/")[::2]
        brick = BRICK_NAME.search(name)
        region = folder.partition("coadd/")[0] if "coadd/" in folder else ""
        own = f"{region}tractor/{brick[1][:3]}/brick-{brick[1]}.sha256sum" if brick else ""
        return self._published(own).get(name) or self._published(f"{folder}/").get(name)

    def _find_checksums(self, where: str) -> dict[str, str]:
        """Checksums by file name, from one .sha256sum file, or (where ends with /) from those of a folder."""
        if not where:
            return {}
        if where.endswith("/"):
            paths = [path for path in self.siblings(where.rstrip("/")) if path.endswith(".sha256sum")]
        else:
            paths = [where] if self.exists(where) else []
        return {name: digest for path in paths for name, digest in parse_checksums(self.text(path)).items()}

    def siblings(self, folder: str) -> list[str]:
        """Files right in a folder."""
        return [path for path in self.files(folder) if path.rpartition("/")[0] == folder]

    def text(self, path: str) -> str:
        """A small text file."""
        with self.open(path) as file:
            return file.read().decode(errors="replace")


def parse_checksums(text: str) -> dict[str, str]:
    """Read a .sha256sum file.

    Returns:
        sha256 by file name (without folders: the survey's names are unique).
    """
    found = (CHECKSUM_LINE.match(line.strip()) for line in text.splitlines())
    return {PurePosixPath(match[2]).name: match[1].lower() for match in found if match}


def sampled_sha256(size: int, read: Callable[[int, int], bytes]) -> str:
    """Hash of a small file; of a large one (over 4 MiB) four blocks spread over it, with its size."""
    if size <= 4 * SAMPLE:
        return f"sha256:{hashlib.sha256(read(0, size)).hexdigest()}" if size else "empty"
    starts = [(size - SAMPLE) * part // 3 for part in range(4)]
    return f"sampled:{hashlib.sha256(b''.join(read(start, SAMPLE) for start in starts)).hexdigest()}"


class FolderSource(Source):
    """A folder of this machine, or one file of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.only = folder.name if folder.is_file() else None
        self.folder = folder.parent if self.only else folder
        if not self.folder.is_dir():
            raise NotFoundError(f"source folder {folder} does not exist", "check the path")

    def files(self, under: str = "") -> list[str]:
        """Paths of the files below a folder of the source, sorted."""
        if self.only:
            return [] if under else [self.only]
        root = self.folder / under if under else self.folder
        return sorted(str(file.relative_to(self.folder)) for file in root.rglob("*") if file.is_file())

    def siblings(self, folder: str) -> list[str]:
        """Files right in a folder."""
        root = self.folder / folder
        return sorted(str(file.relative_to(self.folder)) for file in root.iterdir()) if root.is_dir() else []

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return (self.folder / path).is_file()

    def stat(self, path: str) -> SourceFile:
        """Size and checksum: the published one, else of a sample of the file."""
        size = self._path(path).stat().st_size
        published = self.published_sha256(path)
        return SourceFile(path, size, f"sha256:{published}" if published else sampled_sha256(size, self._reader(path)))

    def local(self, path: str) -> Path:
        """The file itself, its published checksum verified."""
        file = self._path(path)
        check_sha256(file, self.published_sha256(path), path)
        return file

    def open(self, path: str) -> BinaryIO:
        """The file."""
        return self._path(path).open("rb")

    def direct(self, path: str) -> Path | BinaryIO:
        """Its path."""
        return self._path(path)

    def _path(self, path: str) -> Path:
        if not self.exists(path):
            raise NotFoundError(f"{self.folder / path} does not exist", "check the source")
        return self.folder / path

    def _reader(self, path: str) -> Callable[[int, int], bytes]:
        def read(start: int, length: int) -> bytes:
            with self.open(path) as file:
                file.seek(start)
                return file.read(length)

        return read


def check_sha256(file: Path, published: str | None, name: str) -> None:
    """Compare a file with its published checksum.

    Raises:
        DamagedError: they differ.
    """
    if published and (found := file_sha256(file)) != published:
        raise DamagedError(f"{name} has sha256 {found[:16]}…, published is {published[:16]}…", "fetch the file again")


class RemoteSource(Source):
    """Files elsewhere, fetched into a cache when a whole one is needed."""

    def __init__(self, address: str, cache: Cache) -> None:
        super().__init__(address)
        self.cache = cache

    @abstractmethod
    def size(self, path: str) -> int:
        """Bytes of a file; NotFoundError if it is not there."""

    @abstractmethod
    def read(self, path: str, start: int, length: int) -> bytes:
        """A range of a file."""

    @abstractmethod
    def stream(self, path: str, start: int) -> Iterator[bytes]:
        """A file's bytes from a position on."""

    def local(self, path: str) -> Path:
        """The file in the cache: what is there is kept, what is missing is fetched, the checksum is verified."""
        published = self.published_sha256(path)
        key = f"{hashlib.sha256(self.address.encode()).hexdigest()[:16]}/{path}"
        for last in (False, True):
            file = self.cache.fetch(key, lambda start: self.stream(path, start), lambda: self.size(path))
            try:
                check_sha256(file, published, path)
            except DamagedError:
                self.cache.drop(key)
                if last:
                    raise
            else:
                return file
        raise NotFoundError(path, "unreachable")

    def open(self, path: str) -> BinaryIO:
        """The file through ranges of it."""
        raw = RangeFile(self.size(path), lambda start, length: self.read(path, start, length))
        return cast(BinaryIO, io.BufferedReader(raw, buffer_size=SAMPLE))


class RangeFile(io.RawIOBase):
    """A file elsewhere, read by ranges."""

    def __init__(self, size: int, read_range: Callable[[int, int], bytes]) -> None:
        super().__init__()
        self.size_bytes, self._read_range, self._position = size, read_range, 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move."""
        self._position = offset + (0, self._position, self.size_bytes)[whence]
        return self._position

    def tell(self) -> int:
        """Where it is."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read at the position."""
        length = min(len(buffer), self.size_bytes - self._position)
        if length <= 0:
            return 0
        data = self._read_range(self._position, length)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


class StoreSource(RemoteSource):
    """A prefix of an S3 bucket, read through Store."""

    def __init__(self, url: str, cache: Cache) -> None:
        super().__init__(url, cache)
        head, _, self.root = self.address.rpartition("/")
        if not urlsplit(head).netloc:
            raise InputError(f"{url} names a bucket only", "give a folder in it: s3://bucket/folder")
        self.store = Store.open(head)
        self._head = lru_cache(65536)(self._find_size)

    @cached_property
    def _sizes(self) -> dict[str, int]:
        skip = len(self.root) + 1
        return {info.key[skip:]: info.size for info in self.store.list(self.root)}

    def files(self, under: str = "") -> list[str]:
        """Paths of the files below a folder of the source, sorted."""
        return [path for path in self._sizes if not under or path.startswith(f"{under}/")]

    def siblings(self, folder: str) -> list[str]:
        """Files right in a folder; only that folder is listed."""
        skip = len(self.root) + 1
        paths = [info.key[skip:] for info in self.store.list(f"{self.root}/{folder}".rstrip("/"))]
        return [path for path in paths if path.rpartition("/")[0] == folder]

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return self._head(path) >= 0

    def stat(self, path: str) -> SourceFile:
        """Size and checksum: the published one, else of a sample of the file."""
        size, published = self.size(path), self.published_sha256(path)
        if published:
            return SourceFile(path, size, f"sha256:{published}")
        return SourceFile(path, size, sampled_sha256(size, lambda start, length: self.read(path, start, length)))

    def size(self, path: str) -> int:
        """Bytes of a file."""
        size = self._head(path)
        if size < 0:
            raise NotFoundError(f"{self.address}/{path} does not exist", "check the source")
        return size

    def _find_size(self, path: str) -> int:
        if "_sizes" in self.__dict__:  # listed already
            return self._sizes.get(path, -1)
        info = self.store.head(f"{self.root}/{path}")
        return info.size if info else -1

    def read(self, path: str, start: int, length: int) -> bytes:
        """A range of a file."""
        return self.store.get_range(f"{self.root}/{path}", start, length)

    def stream(self, path: str, start: int) -> Iterator[bytes]:
        """A file's bytes from a position on."""
        for position in range(start, self.size(path), PIECE):
            yield self.read(path, position, min(PIECE, self.size(path) - position))


def open_source(address: str, transfer: Transfer) -> Source:
    """Open a source of files.

    Args:
        address: a folder, a file, file:///folder, s3://bucket/folder, https://host/folder, or
            hf://datasets/OWNER/NAME[@REVISION][/FOLDER].
        transfer: how to fetch.

    Returns:
        The source.

    Raises:
        InputError: the address is of no known kind.
        NotFoundError: there is no such folder.
    """
    from lenscore.survey.readers.web import HubSource, WebSource

    scheme = urlsplit(address).scheme
    if scheme in ("", "file"):
        return FolderSource(Path(unquote(urlsplit(address).path) if scheme else address).expanduser())
    cache = Cache(cache_folder(transfer), int(transfer.cache_gib * 2**30))
    if scheme == "s3":
        return StoreSource(address, cache)
    if scheme in ("http", "https"):
        return WebSource(address, transfer, cache)
    if scheme == "hf":
        return HubSource(address, transfer, cache)
    raise InputError(f"source {address!r} has the unknown scheme {scheme!r}", "use a folder, s3://, https:// or hf://")


def cache_folder(transfer: Transfer) -> Path:
    """Where fetched files are kept."""
    if transfer.cache:
        return Path(transfer.cache).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lenscore" / "fetched"


def of_region(paths: Iterable[str], region: str) -> list[str]:
    """Keep a region's files where a source holds several, in folders north/ and south/ (FACTS: Survey)."""
    other = {"north", "south"} - {region}
    return sorted(path for path in paths if not other & set(path.split("/")[:-1]))
