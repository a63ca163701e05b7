"""The store in a folder."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import time
from pathlib import Path

import pytest

from planet_provider.coordination import file_store
from planet_provider.coordination.file_store import FileStore
from planet_provider.coordination.flock import LockedFile
from planet_provider.exceptions import CoordinationStoreError
from ratelimit_support import Clock

KEY = "0123456789abcdef:orders.create"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a" / "slots"


def state_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_two_stores_share_the_slots_of_a_folder(folder: Path) -> None:
    clock = Clock()
    one, other = (FileStore(folder, monotonic=clock, wall=clock) for _ in range(2))
    waits = [store.reserve(KEY, 0.5, 10).wait_seconds for store in (one, other, one, other)]
    assert waits == [0, 0.5, 1.0, 1.5]
    clock.advance(1.0)
    assert other.reserve(KEY, 0.5, 10).wait_seconds == pytest.approx(1.0)


def test_classes_and_accounts_have_their_own_slots(folder: Path) -> None:
    store = FileStore(folder)
    assert [store.reserve(key, 5, 10).wait_seconds for key in ("a:x", "a:y", "b:x")] == [0, 0, 0]


def test_only_the_owner_may_read_it(folder: Path) -> None:
    FileStore(folder).reserve(KEY, 1, 10)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(state_file(folder).stat().st_mode) == 0o600


def test_a_pause_of_one_store_is_seen_by_another(folder: Path) -> None:
    clock = Clock()
    one, other = (FileStore(folder, monotonic=clock, wall=clock) for _ in range(2))
    slot = one.reserve(KEY, 0.5, 10)
    other.hold(KEY, 7.0, 0.0)
    assert one.until(KEY, slot) == pytest.approx(7.0)


@pytest.mark.parametrize("damage", [b"", b"x", b"\0" * 200])
def test_a_damaged_state_starts_a_new_line_and_voids_old_slots(folder: Path, damage: bytes) -> None:
    store = FileStore(folder)
    slot = store.reserve(KEY, 5, 100)
    assert store.until(KEY, slot) is not None
    state_file(folder).write_bytes(damage)
    assert store.until(KEY, slot) is None
    assert store.reserve(KEY, 5, 100).wait_seconds == 0


def test_one_flipped_bit_is_noticed(folder: Path) -> None:
    store = FileStore(folder)
    slot = store.reserve(KEY, 5, 100)
    path = state_file(folder)
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    assert store.until(KEY, slot) is None


def test_a_folder_that_is_removed_is_made_again(folder: Path) -> None:
    store = FileStore(folder)
    slot = store.reserve(KEY, 5, 100)
    state_file(folder).unlink()
    folder.rmdir()
    assert store.until(KEY, slot) is None
    assert store.reserve(KEY, 5, 100).wait_seconds == 0


def test_another_boot_has_slots_of_its_own_and_old_files_go(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Clock(1e6)
    store = FileStore(folder, monotonic=before, wall=before)
    for _ in range(50):
        store.reserve(KEY, 10, 1000)
    old = state_file(folder)
    os.utime(old, (time.time() - 90000,) * 2)
    (folder / "notes.txt").write_text("not ours")
    os.utime(folder / "notes.txt", (time.time() - 90000,) * 2)
    monkeypatch.setattr(file_store, "_boot", lambda: "after-the-reboot")
    after = Clock(10.0)
    assert FileStore(folder, monotonic=after, wall=after).reserve(KEY, 10, 1000).wait_seconds == 0
    assert not old.exists()
    assert (folder / "notes.txt").exists()


def test_on_a_system_without_boot_ids_a_reboot_keeps_the_queue_and_moves_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monotonic, wall = Clock(1e6), Clock(1e9)
    store = FileStore(folder, monotonic=monotonic, wall=wall)
    store.reserve(KEY, 3, 10)
    monotonic.seconds = 5.0
    assert store.reserve(KEY, 3, 10).wait_seconds == pytest.approx(3)
    monotonic.advance(2)
    wall.advance(2)
    assert store.reserve(KEY, 3, 10).wait_seconds == pytest.approx(4)


@pytest.mark.parametrize("stepped", ["monotonic", "wall"])
@pytest.mark.parametrize("step", [-10.0, 10.0])
def test_a_clock_stepped_in_one_process_neither_lets_through_nor_blocks(
    folder: Path, stepped: str, step: float
) -> None:
    """Two processes take what they get, without waiting; one of them has a clock that is stepped and back."""
    real = Clock()
    clocks = {"monotonic": Clock(), "wall": Clock()}
    honest = FileStore(folder, monotonic=real, wall=real)
    wrong = FileStore(folder, **clocks)
    granted = []
    for tick in range(4000):
        now = tick * 0.01
        real.seconds = 1000 + now
        for name, clock in clocks.items():
            clock.seconds = real.seconds + (step if name == stepped and 10 < now < 25 else 0.0)
        store = wrong if tick % 5 == 0 else honest
        if store.reserve(KEY, 0.1, 0.0).wait_seconds == 0:
            granted.append(now)
    for start in range(39):
        assert sum(start <= at < start + 1 for at in granted) <= 11
    assert sum(10 < at < 25 for at in granted) > 100
    assert sum(30 < at < 40 for at in granted) > 85


def test_a_full_disk_is_an_error_that_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(CoordinationStoreError, match="No space left on device"):
        FileStore(folder).reserve(KEY, 1, 10)


def test_a_write_that_the_system_cuts_short_is_an_error(folder: Path) -> None:
    store = FileStore(folder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, limits[1]))
    try:
        with pytest.raises(CoordinationStoreError, match="could not be written whole"):
            store.reserve(KEY, 1, 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert store.reserve(KEY, 1, 10).wait_seconds == 0


def test_a_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CoordinationStoreError, match="file://"):
        FileStore(tmp_path / "file").reserve(KEY, 1, 10)


def test_a_symbolic_link_in_its_place_is_not_followed(folder: Path, tmp_path: Path) -> None:
    store = FileStore(folder)
    store.reserve(KEY, 1, 10)
    path = state_file(folder)
    path.unlink()
    target = tmp_path / "precious"
    target.write_text("precious")
    path.symlink_to(target)
    with pytest.raises(CoordinationStoreError):
        store.reserve(KEY, 1, 10)
    assert target.read_text() == "precious"


def test_a_holder_that_hangs_is_an_error_after_a_bounded_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_store, "LOCK_SECONDS", 0.05)
    store = FileStore(folder)
    store.reserve(KEY, 1, 10)
    with (
        LockedFile(str(state_file(folder)), 1.0),
        pytest.raises(CoordinationStoreError, match="locked by another process"),
    ):
        store.reserve(KEY, 1, 10)
    assert store.reserve(KEY, 1, 10).wait_seconds > 0


def test_whoever_waited_for_a_removed_file_locks_the_new_one(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with LockedFile(path, 1.0, removable=True) as first:
        os.unlink(path)
        with LockedFile(path, 1.0, removable=True) as second:
            assert os.fstat(first).st_ino != os.fstat(second).st_ino
            assert os.fstat(second).st_nlink == 1
            with pytest.raises(TimeoutError), LockedFile(path, 0.01):
                pass
