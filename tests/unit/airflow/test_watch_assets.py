"""Assets that many triggers wait for: one request an item, ever more seldom, never in step."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from airflow_support import Connect, Scenes, first_event, revived

from planet_provider import exceptions
from planet_provider.client.config import PlanetConfig
from planet_provider.hooks.planet import PlanetHook
from planet_provider.sandbox import Fault, Sandbox
from planet_provider.triggers import asset_watch, sharing
from planet_provider.triggers.asset_watch import AssetPoller
from planet_provider.triggers.assets import PlanetAssetTrigger
from planet_provider.triggers.events import read_event

KINDS = ("ortho_visual", "ortho_analytic_4b", "ortho_udm2")


def waits(item_id: str, kinds: Any = KINDS, **settings: Any) -> list[asyncio.Task[dict[str, Any]]]:
    values = {"item_type": "PSScene", "planet_conn_id": "planet_default", "poke_interval": 0.2, **settings}
    return [
        asyncio.create_task(
            first_event(revived(PlanetAssetTrigger(item_id=item_id, asset_type=kind, **values)))
        )
        for kind in kinds
    ]


def looks(planet: Sandbox) -> Counter[str]:
    return Counter(one.path.split("/")[-2] for one in planet.requests if one.path.endswith("/assets"))


async def until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)


async def activate(item_id: str, *kinds: str) -> None:
    from planet_provider.client.api import data

    def ask() -> None:
        with PlanetHook().session() as session:
            assets = session.send(data.assets("PSScene", item_id))
            for kind in kinds:
                session.send(data.activate(assets[kind]["_links"]["activate"]))

    await asyncio.to_thread(ask)


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - before <= {asyncio.current_task()}
    assert asyncio.get_running_loop() not in sharing._triggerers


async def test_one_request_serves_all_assets_of_an_item(planet: Sandbox, scenes: Scenes) -> None:
    item_id = scenes.item_ids[0]
    await activate(item_id, "ortho_visual", "ortho_udm2")
    planet.clock.advance(60)
    waiting = waits(item_id, poke_interval=1.0)
    events = await asyncio.gather(waiting[0], waiting[2])
    assert [event["asset"]["asset_type"] for event in events] == ["ortho_visual", "ortho_udm2"]
    assert "http" not in json.dumps(events)
    assert looks(planet)[item_id] <= 3
    assert not waiting[1].done()
    await activate(item_id, "ortho_analytic_4b")
    planet.clock.advance(60)
    assert (await waiting[1])["asset"]["status"] == "active"


async def test_what_one_item_lacks_concerns_no_other(planet: Sandbox, scenes: Scenes) -> None:
    first, second = scenes.item_ids
    [gone] = waits("20200101_000000_00_0000", KINDS[:1])
    [lacking] = waits(first, ["ortho_nothing"])
    [good] = waits(second, KINDS[:1])
    with pytest.raises(exceptions.NotFoundError):
        read_event(await gone, "asset")
    with pytest.raises(exceptions.AssetUnavailableError):
        read_event(await lacking, "asset")
    assert not good.done()
    await activate(second, KINDS[0])
    planet.clock.advance(60)
    assert (await good)["status"] == "done"


async def test_an_outage_is_waited_out(planet: Sandbox, scenes: Scenes, connect: Connect) -> None:
    connect(max_attempts=1)
    item_id = scenes.item_ids[0]
    await activate(item_id, *KINDS)
    planet.clock.advance(60)
    planet.faults.add(Fault(kind="status", status=500, path="/assets", times=2))
    planet.faults.add(Fault(kind="drop", path="/assets", times=2, skip=2))
    assert {event["status"] for event in await asyncio.gather(*waits(item_id))} == {"done"}


async def test_a_refused_credential_fails_all(planet: Sandbox, scenes: Scenes) -> None:
    planet.faults.add(Fault(kind="status", status=401, path="/assets", times=None))
    waiting = [one for item_id in scenes.item_ids for one in waits(item_id)]
    for event in await asyncio.gather(*waiting):
        with pytest.raises(exceptions.AuthenticationError):
            read_event(event, "asset")
    assert sum(looks(planet).values()) <= 2


async def test_deadlines(planet: Sandbox, scenes: Scenes) -> None:
    started = time.monotonic()
    # Later than a busy machine takes to look for the first time.
    waiting = waits(scenes.item_ids[0], poke_interval=60.0, deadline=time.time() + 4.0)
    assert {event["status"] for event in await asyncio.gather(*waiting)} == {"timeout"}
    assert 3.9 < time.monotonic() - started < 30.0
    # One for all, unless the machine is so busy that they come to their deadline one after the other.
    assert 2 <= looks(planet)[scenes.item_ids[0]] <= 1 + len(waiting), "the last look is at the deadline"


@pytest.fixture
async def poller(planet: Sandbox) -> AsyncIterator[AssetPoller]:
    made = AssetPoller(PlanetConfig(api_key=planet.api_key, base_url=planet.url))
    yield made
    await made.stop()


@pytest.mark.parametrize(
    ("age", "failures", "least", "most"),
    [(0, 0, 8, 10), (60, 0, 8, 10), (300, 0, 24, 30), (10_000, 0, 64, 80), (0, 2, 32, 40), (0, 9, 64, 80)],
)
async def test_intervals_grow_with_age_and_failures_and_are_spread(
    poller: AssetPoller, age: float, failures: int, least: float, most: float
) -> None:
    key = "PSScene", "x"
    poller.join(key, 10.0)
    known = asset_watch._Known(due=0.0, since=poller.loop.time() - age, failures=failures)
    intervals = [poller._interval(key, known) for _ in range(50)]
    assert all(least <= interval <= most + 0.1 for interval in intervals)
    assert len(set(intervals)) > 25


async def test_looks_leave_half_of_the_rate_to_others(poller: AssetPoller) -> None:
    for number in range(8):
        poller.join(("PSScene", f"item_{number}"), 0.1)
    assert poller.pace.gap == pytest.approx(1 / (0.5 * 9.5))
    started = poller.loop.time()
    await until(lambda: poller.looked_at(("PSScene", "item_7")) > 0 and poller.pace.free_at > started + 1.5)
    assert poller.pace.free_at - started >= 8 * poller.pace.gap
