from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from planet_provider.coordination import queue as line_module
from planet_provider.coordination.file_store import FileStore
from planet_provider.coordination.limiter import RateLimiter
from planet_provider.coordination.memory_store import MemoryStore
from planet_provider.coordination.queue import FifoQueue, Ticket, queue_of
from planet_provider.coordination.store import Reservation
from planet_provider.exceptions import RateLimitQueueError
from ratelimit_support import CREDENTIAL, RATE_CLASS, Clock, processes


class CountingStore(MemoryStore):
    """Counts the slots that were taken, and notes when they were and when they are due."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0
        self.times: list[tuple[float, float]] = []

    def reserve(self, key: str, interval: float, max_wait: float) -> Reservation:
        self.taken += 1
        reservation = super().reserve(key, interval, max_wait)
        now = time.monotonic()
        self.times.append((now, now + reservation.wait_seconds))
        return reservation


def limiter(
    store: MemoryStore | FileStore, rate: float = 10.0, max_queue_seconds: float = 60.0
) -> RateLimiter:
    return RateLimiter(store, CREDENTIAL, {RATE_CLASS: rate}, max_queue_seconds)


def test_callers_are_served_in_the_order_of_coming_though_of_threads_and_loops() -> None:
    queue, served = FifoQueue(), []
    with Ticket(queue):
        tickets = [Ticket(queue) for _ in range(4)]
        for ticket in tickets:
            ticket.__enter__()

        def in_thread(number: int) -> None:
            assert tickets[number].wait(120)
            served.append(number)
            tickets[number].__exit__(None, None, None)

        async def in_loop(number: int) -> None:
            assert await tickets[number].await_(120)
            served.append(number)
            tickets[number].__exit__(None, None, None)

        with ThreadPoolExecutor(4) as pool:
            waiting = [
                pool.submit(in_thread, 0),
                pool.submit(lambda: asyncio.run(in_loop(1))),
                pool.submit(in_thread, 2),
                pool.submit(lambda: asyncio.run(in_loop(3))),
            ]
            assert served == []
            queue.leave(queue.tickets[0])
            for each in waiting:
                each.result(120)
    assert served == [0, 1, 2, 3]


def test_only_the_first_of_a_process_holds_a_slot() -> None:
    store = CountingStore()
    limits = limiter(store)
    limits.acquire(RATE_CLASS)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(limits.acquire, RATE_CLASS) for _ in range(8)]
        for each in waiting:
            each.result(60)
    assert store.taken == 9
    # Nobody asked before the one ahead had reached its slot.
    for (_, due), (asked, _) in pairwise(store.times):
        assert asked >= due - 0.01


def test_limiters_of_one_store_and_account_stand_in_one_line() -> None:
    store = MemoryStore()
    key = limiter(store).key(RATE_CLASS)
    assert queue_of(store, key) is queue_of(store, key)
    assert queue_of(store, key) is not queue_of(MemoryStore(), key)


def test_processes_take_turns_however_many_callers_each_has(tmp_path: Path) -> None:
    # The second process comes when a hundred callers of the first are waiting, which takes four seconds: it is
    # served at once, not after them; even where it is stopped for three of them.
    limits = limiter(FileStore(tmp_path), rate=25.0)
    log = tmp_path / "log"
    log.touch()

    def note(text: str) -> None:
        with log.open("a") as file:
            file.write(f"{text}\n")

    def work(number: int) -> None:
        if number == 0:
            with ThreadPoolExecutor(100) as pool:
                for _ in range(100):
                    pool.submit(lambda: (limits.acquire(RATE_CLASS), note("many")))
        else:
            while not log.read_text():
                time.sleep(0.005)
            limits.acquire(RATE_CLASS)
            note("one")

    with processes(2, work):
        pass
    served = log.read_text().split()
    assert sorted(served) == ["many"] * 100 + ["one"]
    assert served.index("one") < 90


def test_a_caller_that_gives_up_lets_the_next_one_go() -> None:
    queue = FifoQueue()
    first, second, third = Ticket(queue), Ticket(queue), Ticket(queue)
    for ticket in (first, second, third):
        ticket.__enter__()
    first.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert second.wait(0)
    assert not third.wait(0)
    second.__exit__(None, None, None)
    assert third.wait(0)


async def test_a_task_that_is_cancelled_in_the_line_leaves_it() -> None:
    store = CountingStore()
    limits = limiter(store, rate=5.0)
    await limits.aacquire(RATE_CLASS)
    tasks = [asyncio.create_task(limits.aacquire(RATE_CLASS)) for _ in range(3)]
    await asyncio.sleep(0.01)
    tasks[0].cancel()
    tasks[1].cancel()
    await asyncio.wait_for(tasks[2], 60)
    # One for the first of all, one that was cancelled, and the last one's.
    assert store.taken == 3
    assert not queue_of(store, limits.key(RATE_CLASS)).tickets


def test_a_first_that_never_goes_is_passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "PASS_BY_SECONDS", 0.05)
    limits = limiter(MemoryStore(), rate=1000.0)
    stuck = Ticket(queue_of(limits.store, limits.key(RATE_CLASS)))
    stuck.__enter__()
    limits.acquire(RATE_CLASS)
    limits.acquire(RATE_CLASS)
    stuck.__exit__(None, None, None)
    limits.acquire(RATE_CLASS)


def test_a_line_that_is_too_long_is_refused_at_once() -> None:
    clock = Clock()
    limits = limiter(MemoryStore(clock), rate=1.0, max_queue_seconds=3.0)
    queue = queue_of(limits.store, limits.key(RATE_CLASS))
    ahead = [Ticket(queue) for _ in range(4)]
    for ticket in ahead:
        ticket.__enter__()
    with pytest.raises(RateLimitQueueError, match="max_queue_seconds is 3") as caught:
        limits.acquire(RATE_CLASS)  # in the line it would stand for three seconds, and tell what it saw then
    assert caught.value.wait_seconds == pytest.approx(4.0)
    assert queue.tickets[-1] is ahead[-1]


def test_a_line_that_turns_out_too_slow_is_left_at_the_deadline() -> None:
    limits = limiter(MemoryStore(), rate=1000.0, max_queue_seconds=0.2)
    with Ticket(queue_of(limits.store, limits.key(RATE_CLASS))):
        with pytest.raises(RateLimitQueueError):
            limits.acquire(RATE_CLASS)
        with pytest.raises(RateLimitQueueError):
            asyncio.run(limits.aacquire(RATE_CLASS))


def test_one_long_turn_does_not_spoil_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(line_module.time, "monotonic", clock)
    queue = FifoQueue()
    for seconds in (0.1, 0.1, 600.0, 0.1, 0.1):
        with Ticket(queue):
            clock.advance(seconds)
    assert queue.pace() == pytest.approx(0.1)


def test_a_fork_begins_with_an_empty_line() -> None:
    limits = limiter(MemoryStore(), rate=1000.0)
    with Ticket(queue_of(limits.store, limits.key(RATE_CLASS))):
        child = os.fork()
        if not child:
            limits.acquire(RATE_CLASS)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
