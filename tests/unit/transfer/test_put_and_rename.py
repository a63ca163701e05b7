"""File systems behind fsspec that write in place: a file gets its name when it is whole."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from planet_provider.exceptions import IncompleteTransferError, StorageError
from planet_provider.transfer.stores.base import read, write
from planet_provider.transfer.stores.spool import ObjectStore, _renames


class InPlaceFileSystem(LocalFileSystem):  # type: ignore[misc]
    """Behaves as SFTP does: no folder is made for a put, and what is put is seen as it comes."""

    protocol = "inplace"
    cachable = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.puts: list[str] = []
        self.lose = 0
        self.fail = False
        self.rename = "replaces"

    def put_file(self, lpath: str, rpath: str, callback: Any = None, **options: Any) -> None:
        self.puts.append(rpath)
        content = Path(lpath).read_bytes()
        Path(rpath).write_bytes(content[: len(content) - self.lose])
        if self.fail:
            raise OSError("connection lost")

    def mv(self, path1: str, path2: str, **options: Any) -> None:
        if self.rename != "replaces" and os.path.exists(path2):
            if self.rename == "silent":
                return
            raise OSError("File exists")
        shutil.move(path1, path2)


@pytest.fixture
def fs() -> InPlaceFileSystem:
    return InPlaceFileSystem()


@pytest.fixture
def store(fs: InPlaceFileSystem, tmp_path: Path) -> ObjectStore:
    spool = tmp_path / "spool"
    spool.mkdir()
    return ObjectStore(fs, str(tmp_path / "remote/order"), uri="sftp://host/order", spool_dir=spool)


def seen(store: ObjectStore) -> list[str]:
    return sorted(path.name for path in Path(store.path).rglob("*") if path.is_file())


def test_a_file_is_put_under_another_name(store: ObjectStore, fs: InPlaceFileSystem) -> None:
    write(store, "PSScene/a.tif", b"abc")
    [put] = fs.puts
    folder, _, name = put.rpartition("/")
    assert folder == f"{store.path}/PSScene"
    assert name.startswith(".planet-transfer-")
    assert read(store, "PSScene/a.tif", 10) == b"abc"
    assert seen(store) == ["a.tif"]


@pytest.mark.parametrize("rename", ["replaces", "refuses", "silent"])
def test_an_older_file_is_replaced(store: ObjectStore, fs: InPlaceFileSystem, rename: str) -> None:
    fs.rename = rename
    write(store, "a.tif", b"old")
    write(store, "a.tif", b"new")
    assert read(store, "a.tif", 10) == b"new"
    assert seen(store) == ["a.tif"]


@pytest.mark.parametrize(("trouble", "kind"), [("lose", IncompleteTransferError), ("fail", StorageError)])
def test_the_older_file_stays_if_the_put_breaks(
    store: ObjectStore, fs: InPlaceFileSystem, trouble: str, kind: type[Exception]
) -> None:
    write(store, "a.tif", b"old")
    setattr(fs, trouble, 1)
    with pytest.raises(kind):
        write(store, "a.tif", b"longer")
    assert read(store, "a.tif", 10) == b"old"
    assert seen(store) == ["a.tif"]


def test_a_rename_that_breaks_leaves_nothing(
    store: ObjectStore, fs: InPlaceFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any) -> None:
        raise OSError("connection lost")

    monkeypatch.setattr(fs, "mv", lost)
    with pytest.raises(StorageError, match="connection lost"):
        write(store, "a.tif", b"abc")
    assert seen(store) == []


def test_what_killed_transfers_left_goes_after_a_day(store: ObjectStore) -> None:
    folder = Path(store.path)
    folder.mkdir(parents=True)
    old, young, other = (
        folder / name for name in (".planet-transfer-1.part", ".planet-transfer-2.part", "x")
    )
    for path in (old, young, other):
        path.write_bytes(b"x")
    for path in (old, other):
        os.utime(path, (time.time() - 2 * 86400,) * 2)
    write(store, "a.tif", b"abc")
    assert seen(store) == [young.name, "a.tif", "x"]


class OneConnection(LocalFileSystem):  # type: ignore[misc]
    """Behaves as paramiko's client does when two threads use it, but fails where that hangs."""

    protocol = ("sftp", "ssh")
    cachable = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._busy = threading.Lock()

    def _alone(self, work: Callable[[], Any]) -> Any:
        if not self._busy.acquire(blocking=False):
            raise AssertionError("two threads at once")
        try:
            time.sleep(0.005)
            return work()
        finally:
            self._busy.release()

    def info(self, path: str, **options: Any) -> Any:
        return self._alone(lambda: LocalFileSystem.info(self, path, **options))

    def put_file(self, lpath: str, rpath: str, callback: Any = None, **options: Any) -> None:
        self._alone(lambda: shutil.copyfile(lpath, rpath))

    def mv(self, path1: str, path2: str, **options: Any) -> None:
        self._alone(lambda: os.replace(path1, path2))

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        stream = self._alone(lambda: Path(path).open("rb"))  # noqa: SIM115 - the caller closes it
        alone = self._alone

        class Stream:
            def read(self, count: int) -> Any:
                return alone(lambda: stream.read(count))

            def close(self) -> None:
                alone(stream.close)

        return Stream()


def test_threads_take_turns_where_there_is_one_connection(tmp_path: Path) -> None:
    fs = OneConnection()

    def use(number: int) -> bytes | None:
        # A store each: what they share is the connection.
        store = ObjectStore(DirFileSystem(str(tmp_path), fs), "order", uri="sftp://host/order")
        write(store, f"{number % 3}/{number}.tif", b"%d" % number * 100)
        return read(store, f"{number % 3}/{number}.tif", 1000)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(use, range(24))) == [b"%d" % number * 100 for number in range(24)]


def test_the_two_kinds_of_file_systems() -> None:
    import s3fs

    in_place = InPlaceFileSystem()
    assert _renames(in_place)
    assert _renames(DirFileSystem("/x", in_place))
    for fs in (MemoryFileSystem(), s3fs.S3FileSystem(anon=True)):
        assert not _renames(fs)
        assert not _renames(DirFileSystem("/x", fs))
