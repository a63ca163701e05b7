"""What only the session for event loops has to keep."""

from __future__ import annotations

import asyncio

import pytest

from client_support import ANY, config_of, limiter_of
from gate import gate_to
from planet_provider.client.api import data, orders
from planet_provider.client.http.session import AsyncPlanetSession
from planet_provider.exceptions import RateLimitError
from planet_provider.sandbox import Fault, Sandbox

pytestmark = pytest.mark.planet_sandbox(rate_limits=False)


async def go_round() -> None:
    """Let the loop do its work; where something blocks it, only that comes to its end meanwhile."""
    for _ in range(20):
        await asyncio.sleep(0.005)


async def test_waiting_for_answers_blocks_nobody(planet_sandbox: Sandbox) -> None:
    with gate_to(planet_sandbox.url) as gate:
        config = config_of(planet_sandbox, base_url=gate.url)
        async with AsyncPlanetSession(config, limiter=limiter_of(config)) as session:
            asking = [asyncio.create_task(session.send(orders.stats())) for _ in range(10)]
            while gate.arrived < 10:  # all at once: the first is not answered before the last has asked
                assert not gate.gave_up
                await asyncio.sleep(0.005)
            await go_round()
            assert not any(task.done() for task in asking)
            gate.open()
            await asyncio.gather(*asking)
        assert not gate.gave_up, "the loop was blocked"
    assert len(planet_sandbox.requests) == 10


async def test_waiting_to_try_again_blocks_nobody(planet_sandbox: Sandbox) -> None:
    config = config_of(planet_sandbox)
    planet_sandbox.faults.add(Fault(kind="status", status=503, headers={"Retry-After": "60"}))
    async with AsyncPlanetSession(config, limiter=limiter_of(config)) as session:
        waiting = asyncio.create_task(session.send(orders.stats()))
        while 503 not in [request.status for request in planet_sandbox.requests]:
            await asyncio.sleep(0.005)
        await go_round()
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert len(planet_sandbox.requests) == 1


async def test_waiting_for_a_slot_blocks_nobody_and_can_be_cancelled(planet_sandbox: Sandbox) -> None:
    config = config_of(planet_sandbox, rate_limits={"orders.stats": 0.01})
    async with AsyncPlanetSession(config, limiter=limiter_of(config)) as session:
        await session.send(orders.stats())
        waiting = asyncio.create_task(session.send(orders.stats()))
        await go_round()
        assert not waiting.done()
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


@pytest.mark.guide("session-context")
async def test_a_closed_session(planet_sandbox: Sandbox) -> None:
    config = config_of(planet_sandbox)
    session = AsyncPlanetSession(config, limiter=limiter_of(config))
    await session.send(orders.stats())
    await session.close()
    with pytest.raises(RuntimeError, match="closed"):
        await session.send(orders.stats())
