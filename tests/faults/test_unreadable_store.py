"""A store that cannot be read: one clear line with what to do, exit code 5, and no credentials in it."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import lenscore.artifacts.store
from lenscore.artifacts import Artifact, Store
from lenscore.errors import LensError, StoreError
from tests.cli.runner import failure
from tests.support.candidates import put_artifact
from tests.support.s3 import BUCKET, SECRET, s3_server

NOBODY = 65534
BIG = 17 << 20


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may read everything: go on as nobody."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def small_artifact(store: Store) -> Artifact:
    """An artifact with a table and an array."""
    return put_artifact(
        store, "model", tables={"rows": pa.table({"x": range(100)})}, arrays={"a.zarr/v": np.arange(200)}
    )


def uses(store: Store, artifact: Artifact, big: Path) -> dict[str, Callable[[], object]]:
    """All ways to use a store."""
    table, array = artifact.table("rows"), artifact.array("a.zarr/v")
    return {
        "get": lambda: store.get(f"{artifact.prefix}/manifest.json"),
        "list": lambda: list(store.list("artifacts")),
        "folders": lambda: store.folders("artifacts"),
        "open": lambda: Artifact.open(store, artifact.kind, artifact.id),
        "table": lambda: table.read(),
        "array": lambda: array[:3],
        "stream": lambda: store.sha256(f"{artifact.prefix}/manifest.json"),
        "put": lambda: store.put("work/x", b"x", create_only=True),
        "put_file": lambda: store.put_file("work/big", big),
        "delete": lambda: store.delete(f"{artifact.prefix}/manifest.json"),
    }


def refused(use: Callable[[], object]) -> str:
    """The one line that a use ends with."""
    with pytest.raises(LensError) as caught:
        use()
    assert isinstance(caught.value, StoreError), caught.value
    line = str(caught.value)
    assert "\n" not in line
    assert SECRET not in line
    return line


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big"
    path.write_bytes(bytes(BIG))
    return path


@pytest.fixture
def no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lenscore.artifacts.store, "MAX_RETRIES", 0)


def test_wrong_permissions() -> None:
    with tempfile.TemporaryDirectory() as name, tempfile.NamedTemporaryFile() as file:
        folder, big = Path(name), Path(file.name)
        big.write_bytes(bytes(BIG))
        big.chmod(0o644)
        store = Store.open(str(folder / "store"))
        artifact = small_artifact(store)
        found = uses(store, artifact, big)
        folder.chmod(0o000)
        try:
            with without_privileges():
                for what, use in found.items():
                    assert refused(use).endswith("check the folder's owner and mode"), what
                assert "cannot make the store's folder" in refused(lambda: Store.open(str(folder / "store")))
        finally:
            folder.chmod(0o700)


def test_no_such_folder_and_none_can_be_made() -> None:
    line = refused(lambda: Store.open("/proc/nowhere/store"))
    assert line == "cannot make the store's folder /proc/nowhere/store: No such file or directory; choose another place"


@pytest.fixture(params=["versitygw", "minio"])
def server(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with s3_server(request.param, tmp_path) as environment:
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        yield f"{request.param}-{os.getpid()}"


@pytest.mark.usefixtures("no_retries")
def test_server_down(tmp_path: Path, big: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server("versitygw", tmp_path) as environment:
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        store = Store.open(f"s3://{BUCKET}/down-{os.getpid()}")
        found = uses(store, small_artifact(store), big)
        assert found["table"]()
    for what, use in found.items():
        line = refused(use)
        assert line.endswith("check that the store is up and run again, finished work is kept"), what
    assert failure("artifacts", "ls", "--store", store.url).exit_code == 5


@pytest.mark.usefixtures("no_retries")
def test_wrong_credentials(server: str, big: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = small_artifact(Store.open(f"s3://{BUCKET}/{server}"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    wrong = Store.open(f"s3://{BUCKET}/{server}/")  # the same place, with a client of its own
    for use in (
        lambda: wrong.get("a"),
        lambda: list(wrong.list("artifacts")),
        lambda: wrong.put("a", b"", create_only=True),
        lambda: wrong.head("a"),
        lambda: Artifact.open(wrong, artifact.kind, artifact.id),
    ):
        line = refused(use)
        assert "refuses access" in line
        assert line.endswith("check the credentials and the bucket's policy")
        assert "another-secret" not in line


@pytest.mark.usefixtures("no_retries")
def test_no_bucket(server: str, big: Path) -> None:
    store = Store.open(f"s3://nobody-has-this/{server}")
    for use in (
        lambda: store.get("a"),
        lambda: list(store.list("a")),
        lambda: store.folders("a"),
        lambda: store.put("a", b"", create_only=True),
        lambda: store.put_file("a", big),
        lambda: Artifact.open(store, "model", "0" * 64),
    ):
        assert refused(use).endswith("names a bucket that does not exist; create it, or correct the store's address")
    for words in (("ls",), ("verify",), ("show", "model/abcd")):
        assert failure("artifacts", *words, "--store", store.url).exit_code == 5
