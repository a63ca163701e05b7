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
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from planet_provider.client.flock import locked_file
from planet_provider.client.ratelimit import RateLimiter, open_store
from planet_provider.client.ratelimit.fallback import FallbackStore
from planet_provider.client.ratelimit.file_store import FileStore
from planet_provider.client.ratelimit.memory import MemoryStore
from ratelimit_support import CREDENTIAL, RATE_CLASS, Record, densest, processes, take, take_for

RATE = 20.0


def limiter(folder: Path, rate: float = RATE, **clocks: Callable[[], float]) -> RateLimiter:
    return RateLimiter(FileStore(folder, **clocks), CREDENTIAL, {RATE_CLASS: rate}, 600.0)


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


@pytest.mark.soak
def test_200_processes_start_at_once(tmp_path: Path, record: Record) -> None:
    # As the client does, 5 % below the limit: 200 starting processes are late by more than their slots.
    limit, rate, start = 100, 95.0, time.monotonic() + 2.0
    limits = limiter(tmp_path / "slots", rate)

    def work(number: int) -> None:
        time.sleep(max(0.0, start - time.monotonic()))
        for _ in range(2):
            record.add(take(limits), number)

    with processes(200, work):
        pass
    grants = record.grants()
    assert Counter(grant.caller for grant in grants) == dict.fromkeys(range(200), 2)
    times = [grant.due for grant in grants]
    assert densest(times) <= limit + 1
    assert times[-1] - times[0] < 400 / rate * 1.1 + 10.0, "nobody is stuck"


@pytest.mark.soak
def test_killed_holders_block_nobody_and_let_nobody_through(tmp_path: Path, record: Record) -> None:
    folder = tmp_path / "slots"
    store = FileStore(folder)
    limits = limiter(folder)
    key = limits._key(RATE_CLASS)
    slot = store.reserve(key, 1 / RATE, 0.0)
    longest = 0.0
    with processes(4, lambda number: take_for(limits, 4.0, record, number)):
        for _ in range(100):
            # Never takes a slot: it only holds the lock, nearly all of its time.
            pid = victim(partial(store.until, key, slot))
            time.sleep(random.uniform(0.0, 0.03))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            asked = time.perf_counter()
            assert store.until(key, slot) is not None, "the state was lost"
            longest = max(longest, time.perf_counter() - asked)
    times = [grant.due for grant in record.grants()]
    assert longest < 1.0, "nobody is blocked"
    assert densest(times) <= RATE + 1
    assert len(times) > 4.0 * RATE * 0.8


def test_a_process_killed_while_it_holds_the_lock_frees_it_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "slots"
    store = FileStore(folder)
    store.reserve("key", 0.01, 10)
    (path,) = folder.iterdir()
    ready, done = os.pipe()

    def hold() -> None:
        with locked_file(str(path), 1.0):
            os.write(done, b"x")
            time.sleep(60)

    pid = victim(hold)
    assert os.read(ready, 1) == b"x"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    started = time.perf_counter()
    store.reserve("key", 0.01, 10)
    assert time.perf_counter() - started < 0.1


async def test_a_stopped_holder_delays_by_a_second_and_never_the_event_loop(tmp_path: Path) -> None:
    folder = tmp_path / "slots"
    store = FallbackStore(FileStore(folder), MemoryStore(), 0.5)
    limits = RateLimiter(store, CREDENTIAL, {RATE_CLASS: RATE}, 600.0)
    assert take(limits)
    (path,) = folder.iterdir()
    ready, done = os.pipe()

    def hold() -> None:
        with locked_file(str(path), 1.0):
            os.write(done, b"x")
            time.sleep(60)

    pid = victim(hold)
    try:
        os.read(ready, 1)
        os.kill(pid, signal.SIGSTOP)
        stalls: list[float] = []

        async def watch() -> None:
            while True:
                before = time.monotonic()
                await asyncio.sleep(0.01)
                stalls.append(time.monotonic() - before - 0.01)

        watching = asyncio.create_task(watch())
        started = time.monotonic()
        async for seconds in limits.awaits(RATE_CLASS):
            await asyncio.sleep(seconds)
        assert 0.5 < time.monotonic() - started < 3.0
        watching.cancel()
        assert max(stalls) < 0.3
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("step", [-10.0, 10.0])
@pytest.mark.parametrize("stepped", ["wall", "monotonic"])
def test_a_clock_is_stepped_in_one_process(tmp_path: Path, record: Record, step: float, stepped: str) -> None:
    started = time.monotonic()
    real = {"wall": time.time, "monotonic": time.monotonic}[stepped]

    def wrong() -> float:
        return real() + (step if 1.0 < time.monotonic() - started < 2.5 else 0.0)

    def work(number: int) -> None:
        clocks = {stepped: wrong} if number == 0 else {}
        take_for(limiter(tmp_path / "slots", **clocks), 4.0, record, number)

    with processes(4, work):
        pass
    grants = record.grants()
    assert densest([grant.due for grant in grants]) <= RATE + 1
    assert len(grants) > 4.0 * RATE * 0.6
    late = Counter(grant.caller for grant in grants if grant.due - started > 3.0)
    assert set(late) == set(range(4))


def test_the_folder_is_removed_under_way(tmp_path: Path, record: Record) -> None:
    folder = tmp_path / "slots"
    with processes(4, lambda number: take_for(limiter(folder), 3.0, record, number)):
        for _ in range(2):
            time.sleep(1.0)
            for path in folder.iterdir():
                path.unlink()
    times = [grant.due for grant in record.grants()]
    # Each time the line starts anew, one slot more may fall into a second.
    assert densest(times) <= RATE + 2
    assert len(times) > 3.0 * RATE * 0.8


def test_a_full_disk_leaves_each_process_its_share_and_is_got_over(
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
        timeout=60,
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
