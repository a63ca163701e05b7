"""How many requests may be under way in a process, and who waits meanwhile."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from planet_provider.coordination.concurrency import ConnectionLease, ConnectionLimiter, connection_limiter
from planet_provider.coordination.interrupt import interrupted_by
from planet_provider.exceptions import RateLimitQueueError

#: Seconds that nothing here takes; a test that needs them has failed.
LONG = 120.0


class StoppedError(Exception):
    pass


class Stopper:
    """An interrupt that says stop as soon as it is asked."""

    def check(self) -> None:
        raise StoppedError

    def pause(self, seconds: float) -> None:
        raise StoppedError


def elsewhere(do: Callable[[], object]) -> None:
    """Do something in another thread, to its end."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(do).result(LONG)


def taken(gate: ConnectionLimiter) -> ConnectionLease:
    """Take a permit that is free, as another thread: this one never waits for itself."""
    permit = ConnectionLease(gate)
    elsewhere(lambda: permit.take(0.0, None))
    return permit


async def until(reached: Callable[[], bool]) -> None:
    while not reached():
        await asyncio.sleep(0.005)


def test_as_many_as_the_limit_says_and_no_more() -> None:
    gate = ConnectionLimiter(2)
    first, second = taken(gate), taken(gate)
    third = ConnectionLease(gate)
    with pytest.raises(RateLimitQueueError, match="max_connections is 2") as caught:
        third.take(0.0, "orders.get")
    assert caught.value.rate_class == "orders.get"
    first.release()
    third.take(0.0, None)
    second.release()
    assert len(gate.inside) == 1


def test_threads_and_loops_in_the_order_of_coming() -> None:
    gate, served = ConnectionLimiter(1), []
    held = taken(gate)
    waiting = []

    def in_thread(number: int) -> None:
        with ConnectionLease(gate) as permit:
            permit.take(LONG, None)
            served.append(number)

    async def in_loop(number: int) -> None:
        with ConnectionLease(gate) as permit:
            await permit.atake(LONG, None)
            served.append(number)

    with ThreadPoolExecutor(4) as pool:
        for number in range(4):
            if number % 2:
                waiting.append(pool.submit(asyncio.run, in_loop(number)))
            else:
                waiting.append(pool.submit(in_thread, number))
            while len(gate.waiting) <= number:
                threading.Event().wait(0.001)
        assert served == []
        held.release()
        for each in waiting:
            each.result(LONG)
    assert served == [0, 1, 2, 3]
    assert not gate.inside


def test_giving_back_twice_gives_one_back() -> None:
    gate = ConnectionLimiter(2)
    first, second = taken(gate), taken(gate)
    first.release()
    first.release()
    assert len(gate.inside) == 1
    second.release()
    assert not gate.inside


def test_one_that_nobody_holds_is_given_back() -> None:
    gate = ConnectionLimiter(1)
    taken(gate)
    gc.collect()
    taken(gate)


def test_a_thread_that_waits_can_be_stopped() -> None:
    gate = ConnectionLimiter(1)
    held = taken(gate)
    with interrupted_by(Stopper()), ConnectionLease(gate) as permit, pytest.raises(StoppedError):
        permit.take(LONG, None)
    assert not gate.waiting
    held.release()
    assert not gate.inside


def test_a_thread_never_waits_for_itself() -> None:
    """A signal handler sends something while the thread that it interrupted has a request under way."""
    gate = ConnectionLimiter(1)
    with ConnectionLease(gate) as interrupted, ConnectionLease(gate) as handlers:
        interrupted.take(0.0, None)
        handlers.take(0.0, None)
        with pytest.raises(RateLimitQueueError):
            elsewhere(lambda: ConnectionLease(gate).take(0.0, None))
    assert not gate.inside


async def test_an_event_loop_goes_on_while_a_task_waits() -> None:
    gate = ConnectionLimiter(1)
    held = taken(gate)
    rounds = 0
    with ConnectionLease(gate) as permit:
        task = asyncio.create_task(permit.atake(LONG, None))
        await until(lambda: bool(gate.waiting))
        for _ in range(20):
            await asyncio.sleep(0)
            rounds += 1
        assert not task.done()
        held.release()
        await task
    assert rounds == 20
    assert not gate.inside


async def test_a_task_waits_no_longer_than_it_may() -> None:
    gate = ConnectionLimiter(1)
    held = taken(gate)
    with pytest.raises(RateLimitQueueError, match="storage"):
        await ConnectionLease(gate).atake(0.0, None)
    assert not gate.waiting
    held.release()


async def test_a_task_that_is_cancelled_takes_nothing_with_it() -> None:
    gate = ConnectionLimiter(1)
    held = taken(gate)

    async def wait() -> None:
        with ConnectionLease(gate) as permit:
            await permit.atake(LONG, None)

    early, late = asyncio.create_task(wait()), asyncio.create_task(wait())
    await until(lambda: len(gate.waiting) == 2)
    early.cancel()
    held.release()
    late.cancel()  # may have been let in already
    await asyncio.gather(early, late, return_exceptions=True)
    assert not gate.waiting
    assert not gate.inside


def test_a_loop_that_was_closed_under_way_keeps_nothing() -> None:
    gate = ConnectionLimiter(2)
    under_way, waits = ConnectionLease(gate), ConnectionLease(gate)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(under_way.atake(0.0, None))
    held = taken(gate)
    ended = asyncio.new_event_loop()
    task = ended.create_task(waits.atake(LONG, None))
    ended.run_until_complete(until_in(gate, 1))
    loop.close()
    ended.close()
    elsewhere(lambda: ConnectionLease(gate).take(LONG, None))
    assert not gate.waiting
    held.release()
    under_way.release()
    waits.release()
    assert not gate.inside
    task._log_destroy_pending = False  # type: ignore[attr-defined]


async def until_in(gate: ConnectionLimiter, waiting: int) -> None:
    await until(lambda: len(gate.waiting) == waiting)


def test_a_child_process_begins_anew() -> None:
    gate = connection_limiter("a test's own account", 1)
    with ConnectionLease(gate) as held:
        elsewhere(lambda: held.take(0.0, None))
        child = os.fork()
        if not child:
            try:
                ConnectionLease(connection_limiter("a test's own account", 1)).take(0.0, None)
                held.release()
                os._exit(0 if len(gate.inside) == 0 else 2)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert len(gate.inside) == 1


def test_sessions_of_an_account_share_one() -> None:
    gate = connection_limiter("an account", 3)
    assert connection_limiter("an account", 3) is gate
    assert connection_limiter("an account", 4) is not gate
    assert connection_limiter("another account", 3) is not gate
