"""Redis goes away, comes back, forgets, hangs and dawdles while four processes take slots."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks.redis_server import RedisServer
from planet_provider.coordination import fallback, redis_url
from planet_provider.coordination.limiter import RateLimiter
from planet_provider.coordination.open import open_store
from planet_provider.coordination.redis_url import redis_client
from planet_provider.exceptions import CoordinationStoreError
from ratelimit_support import CREDENTIAL, RATE_CLASS, Record, densest, processes, start_at_once, take_for

pytestmark = pytest.mark.cluster

RATE = 20.0
SHARE = 0.1
PROCESSES = 4

#: Grants that may seem to come too close. A process that is stopped between the answer of Redis and its look at
#: the clock takes its slot for one that is due later, and each has one slot at a time.
STOPPED = PROCESSES


class Outage(NamedTuple):
    """Due times of all grants, in seconds from the start."""

    times: list[float]

    def between(self, start: float, end: float) -> int:
        return sum(start <= at < end for at in self.times)

    def fastest(self, start: float, end: float) -> int:
        """Return the most in a second of that time: the one in which the machine was least busy."""
        return densest([at for at in self.times if start <= at < end], 1.0)


def limiter(url: str) -> RateLimiter:
    return RateLimiter(open_store(url, SHARE), CREDENTIAL, {RATE_CLASS: RATE}, 60.0)


def run(tmp_path: Path, url: str, seconds: float, meddle: Callable[[float], None]) -> Outage:
    """Take slots in several processes while something is done to Redis."""
    record = Record(tmp_path / "grants")
    started = time.monotonic()
    with processes(PROCESSES, lambda number: take_for(limiter(url), seconds, record, number)):
        meddle(started)
    return Outage([grant.due - started for grant in record.grants()])


def sleep_until(at: float) -> None:
    time.sleep(max(0.0, at - time.monotonic()))


@pytest.fixture(autouse=True)
def retried_each_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallback, "RETRY_SECONDS", 1.0)


@pytest.mark.ci
def test_stopped_and_started_again(redis: RedisServer, tmp_path: Path) -> None:
    def meddle(started: float) -> None:
        sleep_until(started + 3)
        redis.kill()
        sleep_until(started + 8)
        redis.start()

    outage = run(tmp_path, redis.url, 16.0, meddle)
    share = RATE * SHARE
    # One a second and a half is looked for: Redis may be stopped late.
    assert outage.between(4.5, 8) > 0
    assert densest(outage.times) <= RATE + 1 + share + STOPPED
    assert min(outage.between(at, at + 1.0) for at in (4, 5, 6, 7)) <= share + 1 + STOPPED
    assert outage.fastest(0, 3) >= RATE * 0.8
    assert outage.fastest(10, 16) >= RATE * 0.8


@pytest.mark.ci
def test_flushed(redis: RedisServer, tmp_path: Path) -> None:
    def meddle(started: float) -> None:
        client = redis_client(redis.url)
        for second in (1.5, 2.5, 3.5):
            sleep_until(started + second)
            client.flushall()

    outage = run(tmp_path, redis.url, 7.0, meddle)
    # Where the line starts over, one slot more may fall into a second.
    assert densest(outage.times) <= RATE + 2 + STOPPED
    assert outage.fastest(0, 7) >= RATE * 0.8


@pytest.mark.slow
def test_hanging_then_going_on(redis: RedisServer, tmp_path: Path) -> None:
    def meddle(started: float) -> None:
        sleep_until(started + 2)
        redis.freeze()
        sleep_until(started + 8)
        redis.thaw()

    outage = run(tmp_path, redis.url, 17.0, meddle)
    share = RATE * SHARE
    assert densest(outage.times) <= RATE + 1 + share + STOPPED
    assert outage.between(3.5, 8) > 0
    assert min(outage.between(at, at + 1.0) for at in (4, 5, 6, 7)) <= share + 1 + STOPPED
    assert outage.fastest(11, 17) >= RATE * 0.8


@pytest.mark.slow
@pytest.mark.parametrize("delay", [(0.2, 0.2), (0.0, 0.2)], ids=["constant", "varying"])
def test_slow(redis: RedisServer, tmp_path: Path, delay: tuple[float, float]) -> None:
    with SlowProxy(redis.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0"

        def meddle(started: float) -> None:
            sleep_until(started + 2)
            proxy.delay = delay
            sleep_until(started + 6)
            proxy.delay = (0.0, 0.0)

        outage = run(tmp_path, url, 13.0, meddle)
    # A late answer makes a late request: what a window loses, the next may get on top.
    late = RATE * max(delay)
    assert densest(outage.times) <= RATE + 1 + late + STOPPED
    assert outage.fastest(7, 13) >= RATE * 0.8


@pytest.mark.slow
async def test_a_hanging_redis_does_not_block_the_event_loop(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than by default: a busy machine may stop the event loop for three seconds of it.
    monkeypatch.setattr(redis_url, "SOCKET_SECONDS", 5.0)
    limits = limiter(redis.url)
    rounds = 0

    async def watch() -> None:
        nonlocal rounds
        while True:
            await asyncio.sleep(0.01)
            rounds += 1

    async def take_one() -> None:
        async for seconds in limits.awaits(RATE_CLASS):
            await asyncio.sleep(seconds)

    await take_one()
    redis.freeze()
    watching = asyncio.create_task(watch())
    started = time.monotonic()
    await asyncio.wait_for(take_one(), 120.0)
    assert 4.9 < time.monotonic() - started < 60.0
    watching.cancel()
    assert rounds > 20
    await asyncio.wait_for(asyncio.gather(*(take_one() for _ in range(3))), 120.0)
    redis.thaw()


@pytest.mark.ci
def test_with_fail_the_error_comes_soon_and_goes_when_redis_is_back(redis: RedisServer) -> None:
    store = open_store(redis.url, "fail")
    store.reserve("key", 0.1, 60.0)
    redis.kill()
    started = time.monotonic()
    with pytest.raises(CoordinationStoreError, match=r"127\.0\.0\.1"):
        store.reserve("key", 0.1, 60.0)
    assert time.monotonic() - started < 30.0
    redis.start()
    assert store.reserve("key", 0.1, 60.0).wait_seconds == 0


@pytest.mark.slow
def test_200_processes_start_at_once(redis: RedisServer, tmp_path: Path) -> None:
    start_at_once(lambda: open_store(redis.url, "fail"), 200, Record(tmp_path / "grants"))


class SlowProxy:
    """Passes bytes on to a port, and answers back after a delay.

    :param target: Port on loopback.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.delay = (0.0, 0.0)
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> SlowProxy:
        self._thread.start()
        serving = asyncio.start_server(self._serve, "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(serving, self._loop).result()
        self.port = server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(self._pass(reader, downstream, False), self._pass(upstream, writer, True))

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, late: bool) -> None:
        while data := await source.read(65536):
            if late:
                await asyncio.sleep(random.uniform(*self.delay))
            sink.write(data)
        sink.close()
