"""Processes of one machine that share a folder, and what may befall them."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from planet_provider.coordination import file_store
from planet_provider.coordination.fallback import FallbackStore
from planet_provider.coordination.file_store import FileStore
from planet_provider.coordination.flock import LockedFile
from planet_provider.coordination.limiter import RateLimiter
from planet_provider.coordination.memory_store import MemoryStore
from planet_provider.coordination.open import open_store
from ratelimit_support import (
    CREDENTIAL,
    RATE_CLASS,
    Record,
    Watch,
    densest,
    processes,
    start_at_once,
    take,
    take_for,
)

RATE = 20.0


def limiter(folder: Path, rate: float = RATE, **clocks: Callable[[], float]) -> RateLimiter:
    return RateLimiter(FileStore(folder, **clocks), CREDENTIAL, {RATE_CLASS: rate}, 600.0)


@pytest.fixture
def patient_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may stop the holder of a lock for more than the second that others wait for it."""
    monkeypatch.setattr(file_store, "LOCK_SECONDS", 60.0)


def is_used_up(times: Sequence[float], rate: float = RATE) -> bool:
    """Whether nearly all slots were taken, in the two seconds in which the machine was least busy."""
    return densest(times, 2.0) >= 2.0 * rate * 0.8


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(tmp_path / "grants")


def victim(body: Callable[[], object]) -> int:
    """Fork a process that does something until it is killed."""
    pid = os.fork()
    if pid:
        return pid
    try:
        while True:
            body()
    finally:
        os._exit(1)


@pytest.mark.usefixtures("patient_locks")
@pytest.mark.parametrize("count", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_processes_that_start_at_once(tmp_path: Path, record: Record, count: int) -> None:
    start_at_once(lambda: FileStore(tmp_path / "slots"), count, record)


@pytest.mark.slow
@pytest.mark.usefixtures("patient_locks")
def test_killed_holders_block_nobody_and_let_nobody_through(tmp_path: Path, record: Record) -> None:
    folder = tmp_path / "slots"
    store = FileStore(folder)
    watch = Watch()
    limits = limiter(folder, monotonic=watch)
    key = limits.key(RATE_CLASS)
    slot = store.reserve(key, 1 / RATE, 0.0)
    longest = 0.0

    def hold() -> None:
        store.until(key, slot)

    def take_and_hold() -> None:
        store.reserve(key, 1 / RATE, 600.0)
        while True:
            hold()

    with processes(4, lambda number: take_for(limits, 4.0, record, number, watch)):
        for number in range(100):
            # It holds the lock, nearly all of its time; every other one has a slot too, which nobody uses.
            pid = victim(take_and_hold if number % 2 else hold)
            time.sleep(random.uniform(0.0, 0.03))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            asked = time.perf_counter()
            assert store.until(key, slot) is not None, "the state was lost"
            longest = max(longest, time.perf_counter() - asked)
    grants = record.grants()
    assert longest < 30.0, "nobody is blocked"
    assert densest([grant.due for grant in grants]) <= RATE + 1
    assert {grant.caller for grant in grants} == set(range(4))
    # The line goes on as before, behind all slots that were taken.
    after = [store.reserve(key, 1 / RATE, 600.0).slot for _ in range(10)]
    assert [later - sooner for sooner, later in pairwise(after)] == pytest.approx([1 / RATE] * 9)


@pytest.mark.usefixtures("patient_locks")
def test_a_process_killed_while_it_holds_the_lock_frees_it_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "slots"
    store = FileStore(folder)
    store.reserve("key", 0.01, 10)
    (path,) = folder.iterdir()
    ready, done = os.pipe()

    def hold() -> None:
        with LockedFile(str(path), 1.0):
            os.write(done, b"x")
            time.sleep(60)

    pid = victim(hold)
    assert os.read(ready, 1) == b"x"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    started = time.perf_counter()
    store.reserve("key", 0.01, 10)
    assert time.perf_counter() - started < 30.0


async def test_a_stopped_holder_delays_for_a_bounded_time_and_never_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Five seconds instead of one: a busy machine may stop the event loop for three of them.
    monkeypatch.setattr(file_store, "LOCK_SECONDS", 5.0)
    folder = tmp_path / "slots"
    store = FallbackStore(FileStore(folder), MemoryStore(), 0.5)
    limits = RateLimiter(store, CREDENTIAL, {RATE_CLASS: RATE}, 600.0)
    assert take(limits)
    (path,) = folder.iterdir()
    ready, done = os.pipe()

    def hold() -> None:
        with LockedFile(str(path), 1.0):
            os.write(done, b"x")
            time.sleep(60)

    pid = victim(hold)
    try:
        os.read(ready, 1)
        os.kill(pid, signal.SIGSTOP)
        rounds = 0

        async def watch() -> None:
            nonlocal rounds
            while True:
                await asyncio.sleep(0.01)
                rounds += 1

        watching = asyncio.create_task(watch())
        started = time.monotonic()
        async for seconds in limits.awaits(RATE_CLASS):
            await asyncio.sleep(seconds)
        assert 4.9 < time.monotonic() - started < 60.0
        watching.cancel()
        assert rounds > 2
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.slow
@pytest.mark.usefixtures("patient_locks")
@pytest.mark.parametrize("step", [-10.0, 10.0])
@pytest.mark.parametrize("stepped", ["wall", "monotonic"])
def test_a_clock_is_stepped_in_one_process(tmp_path: Path, record: Record, step: float, stepped: str) -> None:
    started = time.monotonic()

    def work(number: int) -> None:
        watch = Watch()
        clocks: dict[str, Callable[[], float]] = {"monotonic": watch, "wall": time.time}
        real = clocks[stepped]

        def wrong() -> float:
            now = real()
            return now + (step if 1.0 < time.monotonic() - started < 2.5 else 0.0)

        if number == 0:
            clocks[stepped] = wrong
        take_for(limiter(tmp_path / "slots", **clocks), 7.0, record, number, watch)

    with processes(4, work):
        pass
    grants = record.grants()
    assert densest([grant.due for grant in grants]) <= RATE + 1
    assert is_used_up([grant.due for grant in grants])
    late = Counter(grant.caller for grant in grants if grant.due - started > 3.0)
    assert set(late) == set(range(4))


@pytest.mark.slow
@pytest.mark.usefixtures("patient_locks")
def test_the_folder_is_removed_under_way(tmp_path: Path, record: Record) -> None:
    folder = tmp_path / "slots"
    watch = Watch()
    limits = limiter(folder, monotonic=watch)
    with processes(4, lambda number: take_for(limits, 5.0, record, number, watch)):
        for _ in range(2):
            time.sleep(1.0)
            for path in folder.glob("*"):
                path.unlink()
    times = [grant.due for grant in record.grants()]
    # Each time the line starts over, one slot more may fall into a second.
    assert densest(times) <= RATE + 2
    assert is_used_up(times)


def test_a_full_disk_leaves_the_machine_its_share_and_is_got_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real file system of 64 KiB, where this user may mount one in a namespace of its own."""
    script = Path(__file__).with_name("full_disk.py")
    allowed = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    )
    if allowed.returncode:
        pytest.skip(f"no file system can be mounted here: {allowed.stderr.decode().strip()}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    done = subprocess.run(
        ["unshare", "-rm", sys.executable, str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("No space left on device") == 1
    assert "works again" in done.stderr


def test_a_child_that_is_forked_while_others_take_slots_can_take_its_own(
    tmp_path: Path, record: Record
) -> None:
    store = open_store(f"file://{tmp_path}/slots", 0.1)
    limits = RateLimiter(store, CREDENTIAL, {RATE_CLASS: 200.0}, 600.0)

    async def main() -> None:
        async def task() -> None:
            for _ in range(40):
                await _one(limits)

        await asyncio.gather(*(task() for _ in range(4)))

    def child(number: int) -> None:
        asyncio.run(_one(limits))
        record.add(take(limits), number)

    meanwhile = threading.Thread(target=asyncio.run, args=(main(),))
    meanwhile.start()
    for _ in range(4):
        with processes(5, child):
            pass
    meanwhile.join()
    assert len(record.grants()) == 20


async def _one(limits: RateLimiter) -> None:
    async for seconds in limits.awaits(RATE_CLASS):
        await asyncio.sleep(seconds)
