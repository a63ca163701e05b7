"""Lists of orders: pages as large as the event loop can bear, and since when to list."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from airflow_support import CONNECTION, FAST, Scenes
from watch_support import LIST, order_waits, place_at_once, until

from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.session import AsyncPlanetSession
from planet_provider.exceptions import UnexpectedResponseError
from planet_provider.sandbox import Sandbox
from planet_provider.triggers import order_pages, session
from planet_provider.triggers.order_pages import (
    OrderPages,
    Watermark,
    modified,
    rough_size,
)

LONGEST_TURN = 0.05
ROUNDS = 5


def large(vertices: int) -> dict[str, Any]:
    """A clip to an area of so many vertices."""
    ring = [[-122.0 + number * 1.2345678e-5, 37.0 + number * 7.654321e-6] for number in range(vertices)]
    return {"tools": [{"clip": {"aoi": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}}}]}


def sizes(planet: Sandbox) -> list[int]:
    return [
        int(one.query["page_size"]) for one in planet.requests if one.path == LIST and one.method == "GET"
    ]


async def read(planet: Sandbox, pages: OrderPages) -> list[int]:
    """Read the list of all orders, and return how many rows its pages had."""
    config = PlanetConfig(api_key=planet.api_key, base_url=planet.url, rate_limits=FAST["rate_limits"])
    async with AsyncPlanetSession(config) as session:
        return [len(page) async for page in pages.read(session)]


async def test_pages_of_small_orders_grow(planet: Sandbox, scenes: Scenes) -> None:
    place_at_once(planet, {"products": [scenes.items | {"product_bundle": "visual"}]}, 600)
    pages = OrderPages()
    assert await read(planet, pages) == [10, 50, 250, 250, 100]
    assert pages.requests == 5
    assert await read(planet, pages) == [250, 250, 100], "the next time it is known"


async def test_a_short_list_takes_one_request(planet: Sandbox, scenes: Scenes) -> None:
    place_at_once(planet, {"products": [scenes.items | {"product_bundle": "visual"}]}, 7)
    assert await read(planet, OrderPages()) == [7]


async def test_pages_of_large_orders_stay_small(planet: Sandbox, scenes: Scenes) -> None:
    request = {"products": [scenes.items | {"product_bundle": "visual"}]}
    order_ids = place_at_once(planet, request, 60, **large(1500))
    row = len(json.dumps(large(1500)))
    waiting = order_waits(order_ids, state="queued")
    assert {event["status"] for event in await asyncio.gather(*waiting)} == {"done"}
    # But for the first one, of which nothing was known.
    assert max(sizes(planet)[1:]) * row <= 1.5 * order_pages.PAGE_BYTES
    assert max(sizes(planet)) * row <= 1_000_000


async def test_pages_shrink_where_orders_turn_out_large(planet: Sandbox, scenes: Scenes) -> None:
    request = {"products": [scenes.items | {"product_bundle": "visual"}]}
    place_at_once(planet, request, 40, **large(1500))
    pages = OrderPages()
    pages.rows = 250
    config = PlanetConfig(api_key=planet.api_key, base_url=planet.url, rate_limits=FAST["rate_limits"])
    async with AsyncPlanetSession(config) as session:
        rows = [row["id"] async for page in pages.read(session) for row in page]
    assert sizes(planet)[0] == 250
    assert max(sizes(planet)[1:]) <= 25
    assert len(set(rows)) == 40


#: A sandbox in another process, so that only the triggers' own work is measured.
ELSEWHERE = """
import json, sys
from planet_provider.client.config import PlanetConfig
from planet_provider.client.api.orders import create
from planet_provider.client.http.session import PlanetSession
from planet_provider.sandbox import SandboxConfig, run
from planet_provider.sandbox.bundles import choose

with run(SandboxConfig(items=400, rate_limits=False, queued_seconds=10_000.0)) as sandbox:
    scenes = (item for item in sandbox.catalogue if item.item_type == "PSScene")
    item_id = next(item.id for item in scenes if choose(item, "visual") == "visual")
    product = {"item_type": "PSScene", "item_ids": [item_id], "product_bundle": "visual"}
    request = {"name": "first", "products": [product]}
    with PlanetSession(PlanetConfig(api_key=sandbox.api_key, base_url=sandbox.url)) as session:
        session.send(create(request))
    book = sandbox._state.orders
    [first] = book.snapshot()
    more = json.loads(sys.argv[1])
    made = [
        book.place(first.user_id, {**request, **more, "name": f"{number}"}, failures={}, area_km2=0.0)
        for number in range(120)
    ]
    print(json.dumps([sandbox.url, sandbox.api_key, [one.id for one in made]]), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def large_orders(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Orders with areas as large as Planet takes them."""
    with subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, json.dumps(large(1500))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url, api_key, order_ids = json.loads(process.stdout.readline())
        connection = {"conn_type": "planet", "host": url, "password": api_key, "extra": FAST}
        monkeypatch.setenv(CONNECTION, json.dumps(connection))
        yield order_ids
        process.stdin.close()


@pytest.fixture
def no_garbage_of_airflow() -> Iterator[None]:
    """Keep the garbage collector from going through all that Airflow has loaded, which takes 200 ms."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.slow
@pytest.mark.usefixtures("no_garbage_of_airflow")
async def test_large_orders_leave_the_loop_free(large_orders: list[str]) -> None:
    async def longest_turn() -> float:
        turns: list[float] = []

        async def tick() -> None:
            last = time.thread_time()
            while True:
                await asyncio.sleep(0)
                now = time.thread_time()
                turns.append(now - last)
                last = now

        ticker = asyncio.create_task(tick())
        await asyncio.gather(*order_waits(large_orders, state="queued"))
        ticker.cancel()
        return max(turns)

    rounds: list[float] = []
    while len(rounds) < ROUNDS and min(rounds, default=1.0) >= LONGEST_TURN:
        rounds.append(await longest_turn())
    assert min(rounds) < LONGEST_TURN


@pytest.mark.parametrize(
    "value",
    [
        {"id": "x", "products": [{"item_ids": [f"20240501_{number:06d}_24dc" for number in range(500)]}]},
        large(1500),
        large(3),
        {"coordinates": [[[[1.25, 2.5]] * 4] * 300] * 20},
        {"a": None, "b": True, "c": [1, 2.5, "text"], "d": []},
    ],
)
def test_sizes_are_about_right(value: Any) -> None:
    assert 0.6 <= rough_size(value) / len(json.dumps(value)) <= 1.6


def at(seconds: float) -> datetime:
    return datetime(2024, 5, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The event loop's time; this host's clock stands still."""
    monkeypatch.setattr(order_pages.time, "time", lambda: at(0).timestamp())
    return [1000.0]


def test_what_lies_in_the_future_is_not_believed(clock: list[float]) -> None:
    mark = Watermark(lambda: clock[0])
    assert mark.credible([at(0), at(3599), at(3601), at(1e9)]) == [at(0), at(3599)]
    mark.advance(at(100), 5.0)
    assert mark.at == at(95)
    # By the server's clock as much time has passed as here, whatever this host's says.
    clock[0] += 10_000
    assert mark.credible([at(13_000), at(14_000)]) == [at(13_000)]


def test_the_servers_clock_decides_if_it_is_known(clock: list[float]) -> None:
    mark = Watermark(lambda: clock[0])
    assert mark.credible([at(-120), at(-60), at(300)], at(-90)) == [at(-120)]


async def _pages(count: int) -> AsyncGenerator[list[int], None]:
    for number in range(count):
        yield [number]


async def test_a_list_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MOST_PAGES", 3)
    assert [page async for page in session.bounded_pages(_pages(2))] == [[0], [1]]
    with pytest.raises(UnexpectedResponseError, match="no end"):
        assert [page async for page in session.bounded_pages(_pages(9))]


def test_it_never_goes_back(clock: list[float]) -> None:
    mark = Watermark(lambda: clock[0])
    mark.advance(None, 0.0)
    assert mark.at is None
    mark.advance(at(100), 0.0)
    mark.advance(at(50), 0.0)
    mark.advance(None, 0.0)
    assert mark.at == at(100)


def test_a_host_whose_clock_is_ahead_believes_the_changes_it_saw(clock: list[float]) -> None:
    mark = Watermark(lambda: clock[0])
    mark.advance(at(-90_000), 0.0)
    clock[0] += 30
    assert mark.credible([at(-89_970)]) == [at(-89_970)]


@pytest.mark.parametrize("value", [None, 7, "", "yesterday", "P1D", "2024-05-01/2024-05-02", "99999-01-01"])
def test_times_that_cant_be_read(value: Any) -> None:
    assert modified({"last_modified": value}) is None
    assert modified({}) is None


def test_times() -> None:
    assert modified({"last_modified": "2024-05-01T02:00:00+02:00"}) == at(0)
    assert modified({"last_modified": "2024-05-01T00:00:00.250Z"}) == at(0.25)


async def test_a_changed_order_is_told_from_small_pages_too(
    planet: Sandbox, scenes: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_pages, "PAGE_BYTES", 1)
    order_ids = place_at_once(planet, {"products": [scenes.items | {"product_bundle": "visual"}]}, 8)
    waiting = order_waits(order_ids)
    await until(lambda: len(sizes(planet)) >= 12)
    assert set(sizes(planet)[1:]) == {1}
    planet.clock.advance(600)
    events = await asyncio.gather(*waiting)
    assert {event["order"]["state"] for event in events} == {"success"}
