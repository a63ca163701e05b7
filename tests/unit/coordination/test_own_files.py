"""Files of ours: nothing but regular ones, and folders on file systems that can't sync them."""

from __future__ import annotations

import errno
import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from planet_provider.coordination.file_store import FileStore
from planet_provider.coordination.flock import LockedFile
from planet_provider.coordination.journal import FileJournal, Record, decode
from planet_provider.coordination.redis_url import redis_client
from planet_provider.exceptions import (
    ConfigurationError,
    CoordinationStoreError,
    StorageError,
    UnsafePathError,
)
from planet_provider.transfer.digests import Expected
from planet_provider.transfer.stores.base import read, write
from planet_provider.transfer.stores.local import LocalStore

VICTIM = b"mine"


def put_pipe(path: Path, victim: Path) -> None:
    os.mkfifo(path)


def put_socket(path: Path, victim: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


def put_hard_link(path: Path, victim: Path) -> None:
    os.link(victim, path)


def put_link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


ODD = pytest.mark.parametrize("put", [put_pipe, put_socket, put_hard_link, put_link])


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    file = tmp_path / "victim"
    file.write_bytes(VICTIM)
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


@ODD
@pytest.mark.parametrize("name", ["a.tif.part", "a.tif.part.json"])
def test_what_stands_in_a_part_s_place_is_refused(
    folder: Path, victim: Path, put: Callable[[Path, Path], None], name: str
) -> None:
    put(folder / name, victim)
    with (
        pytest.raises(StorageError, match=r"a\.tif") as caught,
        LocalStore(folder).stage("a.tif", Expected(size=1)) as staging,
    ):
        staging.remember('"e"')
    assert str(folder) in str(caught.value)
    assert victim.read_bytes() == VICTIM


@pytest.mark.parametrize("put", [put_pipe, put_socket])
def test_a_pipe_in_a_file_s_place_is_refused(
    folder: Path, victim: Path, put: Callable[[Path, Path], None]
) -> None:
    put(folder / "a.tif", victim)
    with pytest.raises(StorageError):
        LocalStore(folder).stage("a.tif", Expected(size=1))
    with pytest.raises(StorageError):
        read(LocalStore(folder), "a.tif", 100)


@ODD
def test_what_stands_in_a_lock_s_place_is_refused(
    folder: Path, victim: Path, put: Callable[[Path, Path], None]
) -> None:
    put(folder / "lock", victim)
    with pytest.raises(OSError, match=r"lock|No such device"), LockedFile(str(folder / "lock"), 0.1):
        pass
    assert victim.read_bytes() == VICTIM


@ODD
def test_what_stands_in_a_ledger_s_place_is_refused(
    folder: Path, victim: Path, put: Callable[[Path, Path], None]
) -> None:
    put(folder / "key.part", victim)
    with pytest.raises(CoordinationStoreError):
        FileJournal(folder).write("key", Record(1.0))
    put(folder / "other.json", victim)
    assert FileJournal(folder).read("other")[0].order_id is None
    assert victim.read_bytes() == VICTIM


def test_an_order_s_folder_that_leads_elsewhere_is_refused(tmp_path: Path, folder: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "manifest.json").write_bytes(VICTIM)
    (folder / "order").symlink_to(elsewhere)
    store = LocalStore(folder).child("order")
    for act in (
        lambda: store.stage("PSScene/a.tif", Expected(size=1)),
        lambda: store.size("manifest.json"),
        lambda: store.open("manifest.json"),
        lambda: store.remove("manifest.json"),
    ):
        with pytest.raises(UnsafePathError, match=str(folder / "order")):
            act()
    assert [path.name for path in elsewhere.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_folders_serves_as_well(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    sync = os.fsync

    def fsync(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(number, os.strerror(number))
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write(LocalStore(folder), "new/a.tif", b"x")
    LocalStore(folder).remove("new/a.tif")
    FileJournal(folder / "orders").write("key", Record(1.0))
    assert FileJournal(folder / "orders").read("key") == [Record(1.0)]


def test_a_disk_that_fails_to_sync_a_folder_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageError):
        write(LocalStore(folder), "a.tif", b"x")


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "null", '{"etag": 1}', "\xff", '{"held": -1}'])
def test_a_part_s_record_that_is_not_understood_starts_over(folder: Path, content: str) -> None:
    (folder / "a.tif.part").write_bytes(b"x" * 10)
    (folder / "a.tif.part.json").write_text(content, encoding="latin-1")
    with LocalStore(folder).stage("a.tif", Expected(10, None, "0" * 64)) as staging:
        assert staging.position == 0


def test_a_folder_in_a_record_s_place_is_an_error_that_says_so(folder: Path) -> None:
    (folder / "a.tif.part.json").mkdir()
    with (
        pytest.raises(StorageError, match="A folder stands where the file has to be"),
        LocalStore(folder).stage("a.tif", Expected(size=1)) as staging,
    ):
        staging.remember(None)


def test_a_nested_ledger_record_is_doubt() -> None:
    assert decode('{"at":' * 100_000).order_id is None


def test_a_rate_limit_s_file_with_nan_starts_anew(folder: Path) -> None:
    store = FileStore(folder)
    store.reserve("key", 1.0, 10.0)
    file = next(folder.iterdir())
    body = bytearray(file.read_bytes()[:-4])
    body[-8:] = struct.pack("<d", float("nan"))
    file.write_bytes(bytes(body) + struct.pack("<I", zlib.crc32(body)))
    assert store.reserve("key", 1.0, 10.0).wait_seconds == 0


def test_a_redis_url_with_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="frobnicate"):
        redis_client("redis://localhost:1/0?frobnicate=1")
