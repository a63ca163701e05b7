"""The limiter as its callers see it: with a clock of the test's own, and for real."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from client_support import ANY, config_of, limiter_of
from planet_provider.client.api import data, orders
from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.session import AsyncPlanetSession, PlanetSession
from planet_provider.coordination.limiter import RateLimiter
from planet_provider.coordination.memory_store import MemoryStore
from planet_provider.coordination.open import open_store
from planet_provider.exceptions import ConfigurationError, RateLimitQueueError
from planet_provider.sandbox import Sandbox

KEY = "PLAK0123456789abcdef"
RATES = {"orders.create": 2.0, "orders.get": 4.0}


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Bench:
    """Callers of one limiter, in a time of their own."""

    clock: Clock = field(default_factory=Clock)
    max_queue_seconds: float = 600.0

    def __post_init__(self) -> None:
        self.store = MemoryStore(clock=self.clock)
        self.limiter = self.another()

    def another(self, credential: str = KEY) -> RateLimiter:
        return RateLimiter(self.store, credential, RATES, self.max_queue_seconds)

    def pass_time(self, seconds: float) -> None:
        """Move on bit by bit, as callers do who look again."""
        self.clock.now += seconds

    def send(self, rate_class: str = "orders.create", limiter: RateLimiter | None = None) -> float:
        """Wait for a slot; return the time of sending."""
        for seconds in (limiter or self.limiter).waits(rate_class):
            assert seconds > 0
            self.pass_time(seconds)
        return self.clock.now - 1000.0


@pytest.fixture
def bench() -> Bench:
    return Bench()


class TestSpacing:
    def test_is_exact(self, bench: Bench) -> None:
        assert [bench.send() for _ in range(5)] == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0], abs=0.002)

    def test_nothing_is_saved_up_while_idle(self, bench: Bench) -> None:
        bench.send()
        bench.pass_time(60.0)
        assert [bench.send() for _ in range(3)] == pytest.approx([60.0, 60.5, 61.0], abs=0.002)

    def test_classes_and_accounts_are_apart(self, bench: Bench) -> None:
        assert bench.send("orders.create") == 0.0
        assert bench.send("orders.get") == 0.0
        assert bench.send("orders.create", bench.another("another key")) == 0.0
        assert bench.send("orders.create", bench.another()) == pytest.approx(0.5, abs=0.002)

    def test_first_come_first_served(self, bench: Bench) -> None:
        queue = [bench.limiter.waits("orders.create") for _ in range(4)]
        first = [next(waits, 0.0) for waits in queue]
        assert first == pytest.approx([0.0, 0.5, 1.0, 1.5])
        # Who comes late and finds no sleeper ready doesn't jump the queue.
        bench.pass_time(0.7)
        assert next(bench.limiter.waits("orders.create")) == pytest.approx(1.3)
        assert list(queue[1]) == []
        assert next(queue[2]) == pytest.approx(0.3)


class TestBounds:
    def test_queue_that_is_too_long(self) -> None:
        bench = Bench(max_queue_seconds=1.0)
        waits = [next(bench.limiter.waits("orders.create"), 0.0) for _ in range(3)]
        assert waits == pytest.approx([0.0, 0.5, 1.0])
        with pytest.raises(RateLimitQueueError) as caught:
            next(bench.limiter.waits("orders.create"))
        assert caught.value.wait_seconds == pytest.approx(1.5)
        assert caught.value.rate_class == "orders.create"
        assert "max_queue_seconds is 1" in str(caught.value)
        # Who was turned away took no slot.
        bench.pass_time(0.6)
        assert next(bench.limiter.waits("orders.create")) == pytest.approx(0.9)

    def test_long_sleeps_are_taken_in_pieces(self, bench: Bench) -> None:
        bench.limiter.pause("orders.create", 25.0, 0.0)
        naps = []
        for seconds in bench.limiter.waits("orders.create"):
            naps.append(seconds)
            bench.pass_time(seconds)
        assert naps == pytest.approx([10.0, 10.0, 5.0])

    def test_unknown_stores(self) -> None:
        with pytest.raises(ConfigurationError, match="memory://"):
            open_store("mongodb://user:s3cr3t@host/0", 0.1)
        with pytest.raises(ConfigurationError) as caught:
            PlanetConfig(api_key=KEY, coordination_store="mongodb://user:s3cr3t@host/0")
        assert "s3cr3t" not in str(caught.value)


class TestPauses:
    def test_moves_those_who_wait(self, bench: Bench) -> None:
        bench.send()
        sleeper = bench.limiter.waits("orders.create")
        assert next(sleeper) == pytest.approx(0.5)
        bench.limiter.pause("orders.create", 7.0, 0.0)
        bench.pass_time(0.5)
        # It looks again, and finds its slot further away.
        assert next(sleeper) >= 6.5
        sent = bench.send("orders.create")
        assert sent >= 7.0

    def test_nobody_is_sent_in_a_pause(self, bench: Bench) -> None:
        bench.limiter.pause("orders.create", 3.0, 0.0)
        assert bench.send() >= 3.0

    def test_other_classes_go_on(self, bench: Bench) -> None:
        bench.limiter.pause("orders.create", 3.0, 0.0)
        assert bench.send("orders.get") == 0.0

    def test_a_shorter_one_does_not_end_a_longer_one(self, bench: Bench) -> None:
        bench.limiter.pause("orders.create", 5.0, 0.0)
        bench.limiter.pause("orders.create", 1.0, 0.0)
        assert bench.send() >= 5.0

    def test_without_retry_after_it_is_short_but_there(self, bench: Bench) -> None:
        bench.limiter.pause("orders.create", None, 0.0)
        assert 0.1 <= bench.send() <= 10.0

    def test_order_is_kept(self, bench: Bench) -> None:
        queue = [bench.limiter.waits("orders.create") for _ in range(4)]
        for waits in queue:
            next(waits, None)
        bench.limiter.pause("orders.create", 5.0, 0.0)
        again = [next(waits, 0.0) for waits in queue[1:]]
        assert again == sorted(again)
        assert again[0] >= 5.0
        assert all(late - early >= 0.499 for early, late in pairwise(again))


class TestForks:
    SCRIPT = """
import os, sys, threading
from planet_provider.coordination.limiter import RateLimiter
from planet_provider.coordination.open import open_store

store = open_store("memory://", 0.1)
limiter = RateLimiter(store, "key", {"orders.create": 1000.0}, 60.0)
stop = threading.Event()

def hammer():
    while not stop.is_set():
        for _ in limiter.waits("orders.create"):
            pass

threads = [threading.Thread(target=hammer, daemon=True) for _ in range(4)]
for thread in threads:
    thread.start()
for _ in range(30):
    child = os.fork()
    if child == 0:
        next(limiter.waits("orders.create"), None)
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
stop.set()
print("all children came through")
"""

    def test_a_lock_held_elsewhere_stops_no_child(self) -> None:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", self.SCRIPT],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout.strip() == "all children came through", done.stderr


class TestForReal:
    """Against the documented limits, which the sandbox enforces on arrival."""

    @pytest.mark.planet_sandbox(rate_limits=True)
    def test_a_burst_of_threads_and_coroutines_meets_no_429(self, planet_sandbox: Sandbox) -> None:
        config = PlanetConfig(api_key=planet_sandbox.api_key, base_url=planet_sandbox.url)
        limiter = limiter_of(config)
        listing = orders.list_orders()
        searching = data.quick_search(["PSScene"], ANY, page_size=1)

        async def coroutines() -> None:
            async with AsyncPlanetSession(config, limiter=limiter) as session:
                calls = [session.send(call) for call in (listing, listing, *[searching] * 6)]
                await asyncio.gather(*calls)

        with PlanetSession(config, limiter=limiter) as session, ThreadPoolExecutor(6) as pool:
            started = time.monotonic()
            others = pool.submit(asyncio.run, coroutines())
            calls = (listing, listing, listing, *[searching] * 7, orders.stats(), orders.stats())
            list(pool.map(session.send, calls))
            others.result()
        statuses = Counter(request.status for request in planet_sandbox.requests)
        assert statuses == {200: 20}
        # Five lists at 2.85 a second: four gaps.
        assert time.monotonic() - started >= 4 / (3 * 0.95) - 0.01

    def test_by_default_all_sessions_of_a_process_share_it(self, planet_sandbox: Sandbox) -> None:
        config = config_of(
            planet_sandbox, api_key="PLAK-of-this-test-alone", rate_limits={"orders.stats": 4.0}
        )
        planet_sandbox.reset(api_keys=(config.api_key,), rate_limits=False)
        started = time.monotonic()
        for _ in range(3):
            with PlanetSession(config) as session:
                session.send(orders.stats())
        assert planet_sandbox.requests[-1].at - started >= 0.49
