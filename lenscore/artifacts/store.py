"""Object stores behind one small interface: a folder (file://) or S3 (s3://)."""

import functools
import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec
import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import LocalStore, ObjectStore, S3Store

from lenscore.errors import InputError, LensError, NotFoundError, StoreError

KEY = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._=~+-]*(/[A-Za-z0-9_][A-Za-z0-9._=~+-]*)*$")
TIMEOUT = timedelta(seconds=60)
RETRY_FOR = timedelta(seconds=180)
MAX_RETRIES = 10
PIECE_BYTES = 16 << 20
REFUSALS = ("403 Forbidden", "401 Unauthorized", "Permission denied", "Read-only file system")
MAX_PIECES = 10_000
PIECES_AT_ONCE = 4
PRECONDITION_FAILED = 412
INSTANCE_METADATA = "169.254.169.254"  # where the client looks for credentials that are nowhere else

_REFUSED = (PermissionDeniedError, UnauthenticatedError, PermissionError)


@dataclass(frozen=True)
class ObjectInfo:
    """An object's key (below the store's address), size in bytes, and time of its last change in unix seconds."""

    key: str
    size: int
    modified: float


class Store:
    """A store of immutable objects.

    Credentials, endpoint and region of S3 come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    AWS_SESSION_TOKEN, AWS_ENDPOINT_URL, AWS_REGION) and are never part of the address.
    """

    def __init__(self, url: str, backend: ObjectStore) -> None:
        self.url = url.rstrip("/")
        self.backend = backend

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Store.open, (self.url,)

    @staticmethod
    def open(url: str) -> "Store":
        """Open a store.

        Args:
            url: file:///folder, a plain folder, or s3://bucket/prefix.

        Returns:
            The store.

        Raises:
            InputError: the address is of another scheme, or carries credentials.
            StoreError: the folder cannot be made.
        """
        parts = urlsplit(url)
        if parts.username or parts.password:
            raise InputError(
                f"the address of store {parts.hostname!r} carries credentials", "put them into AWS_* variables"
            )
        if parts.scheme == "s3":
            return Store(url, _s3(url))
        if parts.scheme not in ("", "file"):
            raise InputError(
                f"store {url!r} has the unknown scheme {parts.scheme!r}", "use file:///folder or s3://bucket/prefix"
            )
        folder = Path(unquote(parts.path) if parts.scheme else url).absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot make the store's folder {folder}: {error.strerror}", "choose another place"
            ) from error
        return Store(folder.as_uri(), LocalStore(folder))

    @property
    def is_local(self) -> bool:
        """Whether the store is a folder of this machine."""
        return self.url.startswith("file:")

    def path(self, key: str) -> Path:
        """Where an object of a local store lies."""
        return Path(unquote(urlsplit(self.url).path)) / check_key(key)

    def get(self, key: str) -> bytes:
        """Read a whole object.

        Raises:
            NotFoundError: there is none.
            StoreError: the store is away or refuses.
        """
        with store_errors(self.url, key):
            return bytes(obstore.get(self.backend, check_key(key)).bytes())

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Read `length` bytes of an object from byte `start`."""
        with store_errors(self.url, key):
            return bytes(obstore.get_range(self.backend, check_key(key), start=start, length=length))

    def get_ranges(self, key: str, starts: Sequence[int], lengths: Sequence[int]) -> Sequence[memoryview]:
        """Read several ranges of an object at once; near ones are merged into one request."""
        with store_errors(self.url, key):
            found = obstore.get_ranges(self.backend, check_key(key), starts=starts, lengths=lengths)
            return [memoryview(part) for part in found]

    def chunks(self, key: str) -> Iterator[bytes]:
        """An object in pieces, for those that need not fit into memory.

        Raises:
            NotFoundError: there is none.
            StoreError: the store is away or refuses.
        """
        with store_errors(self.url, key):
            found = obstore.get(self.backend, check_key(key))
            size = found.meta["size"]
            if size <= PIECE_BYTES:
                yield bytes(found.bytes())
                return
            # a request a piece: the time that one may take must not limit the size of an object
            for start in range(0, size, PIECE_BYTES):
                yield bytes(obstore.get_range(self.backend, key, start=start, end=min(start + PIECE_BYTES, size)))

    def sha256(self, key: str) -> tuple[str, int]:
        """SHA-256 (64 hexadecimal digits) and size in bytes of an object; memory is that of a piece."""
        digest, size = hashlib.sha256(), 0
        for piece in self.chunks(key):
            digest.update(piece)
            size += len(piece)
        return digest.hexdigest(), size

    def put(self, key: str, data: bytes, create_only: bool = False) -> bool:
        """Write an object, whole or not at all.

        Args:
            key: where.
            data: its bytes.
            create_only: leave an object that is already there.

        Returns:
            False if create_only and it was already there.

        Raises:
            StoreError: the store is away, full or refuses.
        """
        with store_errors(self.url, key):
            try:
                obstore.put(self.backend, check_key(key), data, mode="create" if create_only else "overwrite")
            except (AlreadyExistsError, PreconditionError):
                return False
            return True

    def put_file(self, key: str, path: Path) -> bool:
        """Write a file as an object, whole or not at all, and leave an object that is already there.

        Memory is that of some pieces, and there is no limit to the size but the store's own.

        Returns:
            False if it was already there.

        Raises:
            StoreError: the store is away, full or refuses.
        """
        size = path.stat().st_size
        if size <= PIECE_BYTES:
            return self.put(key, path.read_bytes(), create_only=True)
        with store_errors(self.url, key):
            try:
                _link_copy(path, self.path(key)) if self.is_local else self._upload(key, path, size)
            except FileExistsError:
                return False
            return True

    def _upload(self, key: str, path: Path, size: int) -> None:
        """Put a file in several pieces; S3 looks whether the name is taken when it joins them."""
        filesystem, root = self.filesystem()
        piece = max(PIECE_BYTES, -(-size // MAX_PIECES))
        target = f"{root}/{check_key(key)}"
        try:
            filesystem.put_file(str(path), target, mode="create", chunksize=piece, max_concurrency=PIECES_AT_ONCE)
        except PermissionError:
            raise
        except Exception as error:
            answer = getattr(error.__cause__, "response", {}).get("ResponseMetadata", {})
            if answer.get("HTTPStatusCode") == PRECONDITION_FAILED:
                raise FileExistsError(key) from error
            raise ConnectionError(_first_line(error)) from error

    def head(self, key: str) -> ObjectInfo | None:
        """Size and time of an object, or None."""
        with store_errors(self.url, key):
            try:
                meta = obstore.head(self.backend, check_key(key))
            except FileNotFoundError:
                return None
            return ObjectInfo(key, meta["size"], meta["last_modified"].timestamp())

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        return self.head(key) is not None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Objects below a prefix (a folder, not part of a name), in the order of their keys."""
        with store_errors(self.url, prefix):
            found = [
                ObjectInfo(meta["path"], meta["size"], meta["last_modified"].timestamp())
                for page in obstore.list(self.backend, prefix=check_key(prefix), chunk_size=1000)
                for meta in page
            ]
        yield from sorted(found, key=lambda info: info.key)

    def folders(self, prefix: str) -> tuple[str, ...]:
        """Names of the folders right below a prefix."""
        with store_errors(self.url, prefix):
            found = obstore.list_with_delimiter(self.backend, prefix=check_key(prefix))["common_prefixes"]
        return tuple(sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in found))

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        with store_errors(self.url, key):
            try:
                obstore.delete(self.backend, check_key(key))
            except FileNotFoundError:
                return

    def filesystem(self) -> tuple[fsspec.AbstractFileSystem, str]:
        """The store for pyarrow and Dask: a file system and the path of the store in it."""
        protocol = "file" if self.is_local else "s3"
        filesystem = fsspec.filesystem(protocol, **self.storage_options)
        if not self.is_local:
            filesystem.retries = 1  # the client beneath it has its own, and they would multiply
        root = str(Path(unquote(urlsplit(self.url).path))) if self.is_local else self.url.removeprefix("s3://")
        return filesystem, root

    @property
    def storage_options(self) -> dict[str, Any]:
        """Options for fsspec; the credentials stay in the environment."""
        if self.is_local:
            return {}
        # fsspec shares one client among equal options, so the endpoint must be one of them.
        return {
            "endpoint_url": _endpoint(),
            "config_kwargs": {"retries": {"max_attempts": MAX_RETRIES, "mode": "adaptive"}},
        }


def check_key(key: str) -> str:
    """Refuse keys that could leave the store or confuse it.

    Raises:
        InputError: the key is empty, absolute, has "..", or odd characters.
    """
    if not KEY.fullmatch(key) or ".." in key.split("/"):
        raise InputError(f"{key!r} is no valid key in a store", "use letters, digits and . _ - = + ~ between slashes")
    return key


def _link_copy(source: Path, target: Path) -> None:
    """Copy a file and give the copy its name at the end, if nobody else has it.

    Raises:
        FileExistsError: somebody has.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # the name that the store's own unfinished files have, which no listing shows
    staged = target.with_name(f"{target.name}#{secrets.randbelow(10**15)}")
    try:
        with source.open("rb") as read, staged.open("xb") as write:
            while piece := read.read(PIECE_BYTES):
                write.write(piece)
        os.link(staged, target)
    finally:
        staged.unlink(missing_ok=True)


def _endpoint() -> str | None:
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


@functools.cache
def _s3(url: str) -> S3Store:
    endpoint = _endpoint()
    options: Any = {"timeout": TIMEOUT}
    if endpoint:
        options["allow_http"] = endpoint.startswith("http://")
    parts = urlsplit(url)
    if not parts.netloc:
        raise InputError(f"store {url!r} names no bucket", "use s3://bucket/prefix")
    retry: Any = {"max_retries": MAX_RETRIES, "retry_timeout": RETRY_FOR}
    config: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
    return S3Store(
        parts.netloc, prefix=parts.path.strip("/") or None, client_options=options, retry_config=retry, **config
    )


@contextmanager
def store_errors(url: str, key: str) -> Iterator[None]:
    """Turn what a store's client says into NotFoundError or StoreError."""
    try:
        yield
    except (BaseError, OSError) as error:
        raise _explain(url, key, error) from error


def _explain(url: str, key: str, error: Exception) -> LensError:
    text = str(error)
    if INSTANCE_METADATA in text:
        return StoreError(f"there are no credentials for {url}", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if "NoSuchBucket" in text or "bucket does not exist" in text:
        return StoreError(f"{url} names a bucket that does not exist", "create it, or correct the store's address")
    if isinstance(error, FileNotFoundError):
        return NotFoundError(f"{url}/{key} does not exist", "check the name with `lenscore artifacts ls`")
    if isinstance(error, _REFUSED) or any(word in text for word in REFUSALS):
        owner = "the folder's owner and mode" if url.startswith("file:") else "the credentials and the bucket's policy"
        return StoreError(f"{url} refuses access to {key}", f"check {owner}")
    return StoreError(f"{url} failed at {key}: {_first_line(error)}", _remedy(error))


def _remedy(error: Exception) -> str:
    text = str(error)
    if "No space left" in text or "os error 28" in text or "StorageFull" in text:
        return "the disk is full: free some space and run again, finished work is kept"
    return "check that the store is up and run again, finished work is kept"


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
