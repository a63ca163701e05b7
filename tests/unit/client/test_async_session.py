"""What only the session for event loops has to keep."""

from __future__ import annotations

import asyncio
import time

import pytest

from client_support import ANY, config_of, limiter_of
from planet_provider.client import data, orders
from planet_provider.client.session import AsyncPlanetSession
from planet_provider.exceptions import RateLimitError
from planet_provider.sandbox import Fault, Sandbox

pytestmark = pytest.mark.planet_sandbox(rate_limits=False)


class Heartbeat:
    """Beats as long as nothing blocks the loop."""

    async def __aenter__(self) -> Heartbeat:
        self.longest = 0.0
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()

    async def _beat(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.01)
            now = time.monotonic()
            self.longest, last = max(self.longest, now - last), now


async def test_waiting_for_answers_blocks_nobody(planet_sandbox: Sandbox) -> None:
    config = config_of(planet_sandbox)
    planet_sandbox.faults.add(Fault(kind="delay", seconds=1.0, times=None))
    async with AsyncPlanetSession(config, limiter=limiter_of(config)) as session:
        started = time.monotonic()
        async with Heartbeat() as heart:
            await asyncio.gather(*(session.send(orders.stats()) for _ in range(10)))
        assert time.monotonic() - started < 5.0
    assert heart.longest < 0.9


async def test_waiting_for_slots_and_retries_blocks_nobody(planet_sandbox: Sandbox) -> None:
    config = config_of(planet_sandbox, rate_limits={"orders.stats": 1.0})
    planet_sandbox.faults.add(Fault(kind="status", status=503, headers={"Retry-After": "1"}))
    async with AsyncPlanetSession(config, limiter=limiter_of(config)) as session, Heartbeat() as heart:
        await session.send(orders.stats())
    first, second = planet_sandbox.requests
    assert second.at - first.at >= 0.99
    assert heart.longest < 0.9


async def test_cancelled_while_it_waits(planet_sandbox: Sandbox) -> None:
    config = config_of(planet_sandbox, rate_limits={"orders.stats": 0.01})
    async with AsyncPlanetSession(config, limiter=limiter_of(config)) as session:
        await session.send(orders.stats())
        waiting = asyncio.create_task(session.send(orders.stats()))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert len(planet_sandbox.requests) == 1


async def test_a_429_is_noted_for_all(planet_sandbox: Sandbox) -> None:
    config = config_of(planet_sandbox, max_attempts=1)
    planet_sandbox.faults.add(Fault(kind="status", status=429, headers={"Retry-After": "1"}))
    async with AsyncPlanetSession(config, limiter=limiter_of(config)) as session:
        with pytest.raises(RateLimitError):
            await session.send(orders.stats())
        await session.send(orders.stats())
    first, second = planet_sandbox.requests
    assert second.at - first.at >= 0.99


async def test_pages_one_at_a_time(planet_sandbox: Sandbox) -> None:
    config = config_of(planet_sandbox)
    async with AsyncPlanetSession(config, limiter=limiter_of(config)) as session:
        pages = session.pages(data.quick_search(["PSScene"], ANY, page_size=100))
        assert len(await anext(pages)) == 100
        assert len(planet_sandbox.requests) == 1
        assert len(await anext(pages)) == 100
        assert len(planet_sandbox.requests) == 2


async def test_a_closed_session(planet_sandbox: Sandbox) -> None:
    config = config_of(planet_sandbox)
    session = AsyncPlanetSession(config, limiter=limiter_of(config))
    await session.send(orders.stats())
    await session.close()
    with pytest.raises(RuntimeError, match="closed"):
        await session.send(orders.stats())
