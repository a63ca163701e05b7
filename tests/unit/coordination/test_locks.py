"""Named locks within a process and on one machine."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from planet_provider.coordination.locks import Locks, open_locks
from planet_provider.exceptions import ConfigurationError, CoordinationStoreError, LockTimeoutError


@pytest.fixture(params=["memory", "file"])
def locks(request: pytest.FixtureRequest, tmp_path: Path) -> Locks:
    return open_locks("memory://" if request.param == "memory" else f"file://{tmp_path}/locks", 0.1)


def test_a_lock_is_held_by_one_at_a_time(locks: Locks) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(20):
            with locks.hold("an order", 120.0) as held:
                held.check()
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0005)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 120
    assert max(most) == 1


def test_waiting_is_bounded(locks: Locks) -> None:
    started = time.monotonic()
    with (
        locks.hold("an order", 60.0),
        pytest.raises(LockTimeoutError, match=r"0\.1 s"),
        locks.hold("an order", 0.1),
    ):
        pass
    assert 0.1 <= time.monotonic() - started < 30


def test_other_names_are_free(locks: Locks) -> None:
    with locks.hold("an order", 1.0), locks.hold("another order", 0.1):
        pass


def test_it_is_free_again_after_an_error(locks: Locks) -> None:
    with pytest.raises(ZeroDivisionError), locks.hold("an order", 1.0):
        raise ZeroDivisionError
    with locks.hold("an order", 0.1):
        pass


def test_a_killed_holder_frees_it_at_once(tmp_path: Path) -> None:
    locks = open_locks(f"file://{tmp_path}/locks", 0.1)
    ready, done = os.pipe()
    pid = os.fork()
    if not pid:
        with locks.hold("an order", 1.0):
            os.write(done, b"x")
            time.sleep(60)
        os._exit(1)
    assert os.read(ready, 1) == b"x"
    with pytest.raises(LockTimeoutError), locks.hold("an order", 0.05):
        pass
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with locks.hold("an order", 0.05):
        pass


def test_nothing_is_left_behind_and_names_are_not_shown(tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    locks = open_locks(f"file://{folder}", 0.1)
    with locks.hold("../../a secret/order", 1.0):
        (path,) = folder.iterdir()
        assert "secret" not in path.name
    assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(
            CoordinationStoreError, match=r"a lock can't be made: .*Set the extra coordination_store"
        ),
        open_locks(f"file://{tmp_path}/file", 0.1).hold("an order", 0.1),
    ):
        pass


def test_a_wrong_url_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        open_locks("ftp://x", 0.1)
