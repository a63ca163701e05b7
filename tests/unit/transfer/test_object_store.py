"""Files behind fsspec: one put of a whole file, and nothing else."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from planet_provider.exceptions import IncompleteTransferError, InvalidInputError, StorageError
from planet_provider.transfer.digests import Expected
from planet_provider.transfer.stores.base import read, write
from planet_provider.transfer.stores.local import LocalStore
from planet_provider.transfer.stores.open import open_store
from planet_provider.transfer.stores.spool import ObjectStore


class RecordingFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """Notes how objects are written."""

    cachable = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.puts: list[str] = []
        self.fail_after: int | None = None
        self.lose: int = 0

    def put_file(self, lpath: str, rpath: str, **options: Any) -> None:
        self.puts.append(rpath)
        content = Path(lpath).read_bytes()
        if self.fail_after is not None:
            self.pipe_file(rpath, content[: self.fail_after])
            raise OSError("connection lost")
        self.pipe_file(rpath, content[: len(content) - self.lose])


@pytest.fixture
def fs() -> RecordingFileSystem:
    return RecordingFileSystem()


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


@pytest.fixture
def store(fs: RecordingFileSystem, spool: Path) -> Iterator[ObjectStore]:
    prefix = f"/{uuid.uuid4().hex}"
    yield ObjectStore(fs, prefix, uri=f"memory://conn@{prefix}", spool_dir=spool)
    if fs.exists(prefix):
        fs.rm(prefix, recursive=True)


def test_an_object_appears_by_one_put(store: ObjectStore, fs: RecordingFileSystem, spool: Path) -> None:
    with store.stage("PSScene/a.tif", Expected()) as staging:
        staging.write(b"abc")
        assert b"".join(staging.replay()) == b"abc"
        staging.write(b"def")
        assert fs.puts == []
        assert store.size("PSScene/a.tif") is None
        staging.publish()
    assert fs.puts == [f"{store.path}/PSScene/a.tif"]
    assert read(store, "PSScene/a.tif", 100) == b"abcdef"
    assert store.child("PSScene").size("a.tif") == 6
    assert list(spool.iterdir()) == []


def test_nothing_appears_of_a_broken_file(store: ObjectStore, fs: RecordingFileSystem, spool: Path) -> None:
    def broken() -> None:
        with store.stage("a.tif", Expected()) as staging:
            staging.write(b"abc")
            raise ConnectionError("cut")

    with pytest.raises(ConnectionError):
        broken()
    assert fs.puts == []
    assert store.size("a.tif") is None
    assert list(spool.iterdir()) == []


def test_a_put_that_fails_leaves_nothing(store: ObjectStore, fs: RecordingFileSystem, spool: Path) -> None:
    fs.fail_after = 3
    with pytest.raises(StorageError, match="connection lost"):
        write(store, "a.tif", b"abcdef")
    assert store.size("a.tif") is None
    assert list(spool.iterdir()) == []


def test_an_object_of_the_wrong_size_is_removed(store: ObjectStore, fs: RecordingFileSystem) -> None:
    fs.lose = 2
    with pytest.raises(IncompleteTransferError, match="has 4 bytes after its upload, not 6"):
        write(store, "a.tif", b"abcdef")
    assert store.size("a.tif") is None


def test_spools_of_killed_tasks_are_swept_and_those_in_use_are_not(store: ObjectStore, spool: Path) -> None:
    killed, held, young = (spool / f".planet-transfer-{name}" for name in ("killed", "held", "young"))
    for folder in (killed, held, young):
        folder.mkdir()
        (folder / "a.tif").write_bytes(b"x")
    for folder in (killed, held):
        os.utime(folder, (0, 0))
    handle = os.open(held, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        write(store, "a.tif", b"abc")
        assert not killed.exists()
        assert held.exists()
        assert young.exists()
    finally:
        os.close(handle)


def test_uris_keep_the_connection(store: ObjectStore) -> None:
    assert store.child("order").uri("a/b.tif") == f"memory://conn@{store.path}/order/a/b.tif"


def test_what_is_not_there(store: ObjectStore) -> None:
    assert store.size("a") is None
    assert read(store, "a", 10) is None
    store.remove("a")
    write(store, "folder/a", b"x")
    assert store.size("folder") is None


def test_only_bounds_that_the_filesystem_knows_are_passed() -> None:
    import s3fs

    bounds = ObjectStore(s3fs.S3FileSystem(anon=True), "bucket")._put_bounds
    assert bounds == {"chunksize": 16 << 20, "max_concurrency": 2}
    assert ObjectStore(LocalFileSystem(), "bucket")._put_bounds == {}


class Storage(SimpleNamespace):
    """The part of Airflow's ObjectStoragePath that is used."""

    def __str__(self) -> str:
        return str(self.uri)


def test_destinations(tmp_path: Path, fs: RecordingFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store(tmp_path).uri() == str(tmp_path)
    assert open_store("sub/folder").uri() == str(tmp_path / "sub/folder")
    assert open_store(f"file://{tmp_path}").uri() == str(tmp_path)
    local = open_store(Storage(fs=LocalFileSystem(), path=str(tmp_path), uri=f"file://{tmp_path}"))
    assert isinstance(local, LocalStore)
    remote = open_store(Storage(fs=fs, path="/bucket/prefix/", uri="s3://conn@bucket/prefix/"))
    assert remote.uri("a") == "s3://conn@bucket/prefix/a"
    assert open_store(remote) is remote


@pytest.mark.parametrize("destination", [None, "", " ", 3, b"/tmp", "s3://bucket/prefix"])
def test_what_is_no_destination_is_refused(destination: Any) -> None:
    with pytest.raises(InvalidInputError, match="destination="):
        open_store(destination)
