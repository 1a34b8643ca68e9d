"""The store contract on a folder, MinIO and versitygw; and what each store refuses."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from lenscore.artifacts import Store
from lenscore.errors import InputError, StoreError
from tests.artifacts.store_contract import StoreContract
from tests.support.s3 import BUCKET, s3_server

_numbers = itertools.count()


class TestFileStore(StoreContract):
    @pytest.fixture
    def store(self, file_store: Store) -> Store:
        return file_store


class _S3(StoreContract):
    server: str

    @pytest.fixture(scope="class")
    @classmethod
    def environment(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
        with s3_server(cls.server, tmp_path_factory.mktemp("s3")) as environment:
            yield environment

    @pytest.fixture
    def store(self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Store:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return Store.open(f"s3://{BUCKET}/test-{next(_numbers)}")

    def test_wrong_credentials_are_refused(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(StoreError, match="refuses access") as caught:
            Store.open(f"{store.url}-wrong").get("a")
        assert "wrong" not in str(caught.value).replace(f"{store.url}-wrong", "")


class TestMinio(_S3):
    server = "minio"


class TestVersitygw(_S3):
    server = "versitygw"


def test_full_or_unwritable_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot make the store's folder"):
        Store.open(str(tmp_path / "file" / "store"))


def test_credentials_in_the_address_are_refused() -> None:
    with pytest.raises(InputError, match="carries credentials"):
        Store.open("s3://key:secret@bucket/prefix")


@pytest.mark.parametrize("address", ["ftp://host/a", "s3:///prefix"])
def test_unknown_addresses_are_refused(address: str) -> None:
    with pytest.raises(InputError):
        Store.open(address)


def test_server_that_is_away_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lenscore.artifacts.store.MAX_RETRIES", 0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with pytest.raises(StoreError, match="check that the store is up"):
        Store.open("s3://away/prefix").get("a")
