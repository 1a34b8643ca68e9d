"""What every store must do. Subclasses give the fixture `store`."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lenscore.artifacts import Store
from lenscore.artifacts.store import PIECE_BYTES
from lenscore.errors import InputError, NotFoundError


class StoreContract:
    """The contract suite."""

    def test_reads_what_was_put(self, store: Store) -> None:
        assert store.put("a/b", b"first")
        assert store.put("a/b", b"second")
        assert store.get("a/b") == b"second"
        assert store.get_range("a/b", 1, 3) == b"eco"
        assert [bytes(part) for part in store.get_ranges("a/b", [0, 4], [2, 2])] == [b"se", b"nd"]

    def test_large_and_empty_objects(self, store: Store) -> None:
        data = bytes(range(256)) * 65536
        store.put("large", data)
        store.put("empty", b"")
        assert store.get("large") == data
        assert store.get("empty") == b""

    @pytest.mark.parametrize("size", [0, 1000, PIECE_BYTES + 1])
    def test_files_are_put_once_and_read_in_pieces(self, store: Store, tmp_path: Path, size: int) -> None:
        path, key = tmp_path / "file", f"files/{size}"
        path.write_bytes(bytes(size))
        assert store.put_file(key, path)
        path.write_bytes(b"x" * (size + 1))
        assert not store.put_file(key, path)
        assert store.sha256(key) == (hashlib.sha256(bytes(size)).hexdigest(), size)
        assert b"".join(store.chunks(key)) == bytes(size)
        assert [info.key for info in store.list("files")] == [key]

    def test_of_racing_files_one_wins(self, store: Store, tmp_path: Path) -> None:
        start, sizes = threading.Barrier(3), [PIECE_BYTES + number for number in (1, 2, 3)]

        def write(size: int) -> bool:
            path = tmp_path / str(size)
            path.write_bytes(bytes(size))
            start.wait()
            return store.put_file("file-race", path)

        with ThreadPoolExecutor(3) as pool:
            won = list(pool.map(write, sizes))
        assert sum(won) == 1
        assert store.sha256("file-race")[1] == sizes[won.index(True)]

    def test_missing_objects(self, store: Store) -> None:
        with pytest.raises(NotFoundError, match="none/such"):
            store.get("none/such")
        with pytest.raises(NotFoundError, match="none/such"):
            store.sha256("none/such")
        assert store.head("none/such") is None
        assert not store.exists("none/such")
        store.delete("none/such")
        assert list(store.list("none")) == []
        assert store.folders("none") == ()

    def test_create_only_leaves_what_is_there(self, store: Store) -> None:
        assert store.put("once", b"first", create_only=True)
        assert not store.put("once", b"second", create_only=True)
        assert store.get("once") == b"first"

    def test_of_racing_writers_one_wins(self, store: Store) -> None:
        start = threading.Barrier(8)

        def write(number: int) -> bool:
            start.wait()
            return store.put("race", str(number).encode(), create_only=True)

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(write, range(8)))
        assert sum(won) == 1
        assert store.get("race") == str(won.index(True)).encode()

    def test_lists_in_order_below_a_folder(self, store: Store) -> None:
        for key in ("list/b", "list/a/1", "list/a/2", "listed"):
            store.put(key, b"x")
        assert [info.key for info in store.list("list")] == ["list/a/1", "list/a/2", "list/b"]
        assert [info.size for info in store.list("list")] == [1, 1, 1]
        assert store.folders("list") == ("a",)

    def test_deletes(self, store: Store) -> None:
        store.put("gone", b"x")
        store.delete("gone")
        assert not store.exists("gone")

    @pytest.mark.parametrize("key", ["", "/a", "a//b", "../a", "a/../b", "a/./b", "a b", "a\n", "é", "a/"])
    def test_refuses_odd_keys(self, store: Store, key: str) -> None:
        with pytest.raises(InputError, match="no valid key"):
            store.put(key, b"x")

    def test_file_system_sees_the_same(self, store: Store) -> None:
        store.put("fs/a", b"hello")
        filesystem, root = store.filesystem()
        filesystem.invalidate_cache()
        assert filesystem.cat_file(f"{root}/fs/a") == b"hello"
