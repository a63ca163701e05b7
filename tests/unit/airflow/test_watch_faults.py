"""What goes wrong while many wait: each wait's trouble is its own, and what concerns all fails nobody too soon."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from airflow_support import Connect, Scenes
from watch_support import (
    LIST,
    LIST_ONLY,
    NOWHERE,
    asset_waits,
    end,
    lists,
    looks,
    order_waits,
    place,
    singles,
    until,
)

from planet_provider import exceptions
from planet_provider.client.config import PlanetConfig
from planet_provider.coordination.limiter import RateLimiter
from planet_provider.coordination.open import open_store
from planet_provider.exceptions import ServerError
from planet_provider.hooks.planet import PlanetHook
from planet_provider.sandbox import Fault, Sandbox
from planet_provider.triggers import (
    asset_watch,
    base,
    order_watch,
    session,
    watch,
)
from planet_provider.triggers.asset_watch import AssetPoller
from planet_provider.triggers.base import PlanetTrigger
from planet_provider.triggers.events import read_event
from planet_provider.triggers.order_watch import OrderPoller

Place = Callable[[int], list[str]]


@pytest.fixture
def placed(planet: Sandbox, scenes: Scenes) -> Place:
    request = {"products": [scenes.items | {"product_bundle": "visual"}]}
    return lambda count: place(planet, request, count)


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - before <= {asyncio.current_task()}


def said(caplog: pytest.LogCaptureFixture, words: str) -> int:
    return sum(words in one.getMessage() for one in caplog.records if one.name == watch.log.name)


# Of the list of orders


@pytest.mark.parametrize("status", [302, 400, 404, 405, 409, 422])
async def test_a_list_that_is_refused_fails_nobody(planet: Sandbox, placed: Place, status: int) -> None:
    waiting = order_waits(placed(5))
    await until(lambda: lists(planet) >= 3)
    planet.faults.add(Fault(kind="status", status=status, path=LIST_ONLY, times=2))
    await until(lambda: sum(one.status == status for one in planet.requests) == 2)
    asked = lists(planet)
    await until(lambda: lists(planet) > asked)
    assert not any(one.done() for one in waiting)
    planet.clock.advance(600)
    assert {event["order"]["state"] for event in await asyncio.gather(*waiting)} == {"success"}


async def test_a_list_that_drips_is_given_up(
    planet: Sandbox, placed: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PAGE_SECONDS", 0.3)
    waiting = order_waits(placed(5))
    await until(lambda: lists(planet) >= 3)
    planet.faults.add(Fault(kind="stall", seconds=3600, path=LIST_ONLY, times=1))
    planet.clock.advance(600)
    assert {event["order"]["state"] for event in await asyncio.gather(*waiting)} == {"success"}


async def test_an_answer_that_nobody_thought_of_fails_nobody(planet: Sandbox, placed: Place) -> None:
    waiting = order_waits(placed(5))
    await until(lambda: lists(planet) >= 3)
    # One that the decoder gives up.
    deep = "[" * 100_000
    planet.faults.add(Fault(kind="status", status=200, body=deep, path=LIST_ONLY, times=1))
    await until(lambda: any(one.faults for one in planet.requests))
    planet.clock.advance(600)
    assert {event["order"]["state"] for event in await asyncio.gather(*waiting)} == {"success"}


async def test_an_account_that_may_not_list_fails_all(planet: Sandbox, placed: Place) -> None:
    waiting = order_waits(placed(5))
    await until(lambda: lists(planet) >= 3)
    planet.faults.add(Fault(kind="status", status=403, path=LIST_ONLY, times=None))
    for event in await asyncio.gather(*waiting):
        with pytest.raises(exceptions.PermissionDeniedError):
            read_event(event, "order")


@pytest.mark.parametrize("whose", ["a stranger's", "a watched order's"])
@pytest.mark.parametrize("first", [True, False], ids=["in the first list", "in a later list"])
@pytest.mark.parametrize("ahead", [timedelta(minutes=30), timedelta(days=20_000)], ids=["minutes", "decades"])
async def test_a_row_from_the_future_hides_nothing(
    planet: Sandbox, placed: Place, whose: str, first: bool, ahead: timedelta
) -> None:
    order_ids = placed(5)
    if not first:
        waiting = order_waits(order_ids)
        await until(lambda: lists(planet) >= 4)
    row = {
        "id": NOWHERE if whose == "a stranger's" else order_ids[0],
        "state": "running",
        "last_modified": f"{planet.clock.now() + ahead:%Y-%m-%dT%H:%M:%SZ}",
    }
    body = json.dumps({"_links": {}, "orders": [row]})
    # The first list of changes is the first one without a state.
    planet.faults.add(
        Fault(kind="status", status=200, body=body, path=r"orders/v2\?((?!state=).)*$", times=1)
    )
    if first:
        waiting = order_waits(order_ids)
    await until(lambda: any(one.faults for one in planet.requests))
    asked = lists(planet)
    await until(lambda: lists(planet) >= asked + 2)
    planet.clock.advance(600)
    assert {event["order"]["state"] for event in await asyncio.gather(*waiting)} == {"success"}
    assert not any(
        one.query.get("last_modified", "").startswith(row["last_modified"][:15]) for one in planet.requests
    )


async def test_a_thousand_failures_in_a_row_are_no_crash(planet: Sandbox) -> None:
    config = PlanetConfig(api_key=planet.api_key, base_url=planet.url)
    poller: watch.Poller[Any]
    for poller in (OrderPoller(config), AssetPoller(config)):
        error = ServerError("down", status=503, request="GET")
        poller.join(("PSScene", "x"), 30.0)
        poller._failures = 5000
        poller.failed(error)
        assert poller._not_before <= poller.loop.time() + 120.0
        await poller.stop()
    known = asset_watch._Known(due=0.0, since=poller.loop.time(), failures=5000)
    assert isinstance(poller, AssetPoller)
    assert poller._interval(("PSScene", "x"), known) <= 8 * 30.0


# Of single orders


async def test_a_wait_that_joins_as_its_order_fails_is_looked_for(
    planet: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    poller = OrderPoller(PlanetHook().config())
    fail, late = watch.Waiter.fail, []

    def failing(self: Any, error: BaseException) -> None:
        fail(self, error)
        if not late:
            late.append(poller.join(NOWHERE, 0.05))

    monkeypatch.setattr(watch.Waiter, "fail", failing)
    with pytest.raises(exceptions.NotFoundError):
        await poller.join(NOWHERE, 0.05).next_update(None)
    with pytest.raises(exceptions.NotFoundError):
        await asyncio.wait_for(late[0].next_update(None), 60)
    assert singles(planet)[NOWHERE] == 2
    await poller.stop()


async def test_an_order_that_hangs_holds_up_no_look_at_the_others(planet: Sandbox, placed: Place) -> None:
    slow, other = placed(2)
    planet.faults.add(Fault(kind="delay", seconds=15.0, path=f"{LIST}/{slow}", times=None))
    waiting = order_waits([slow, other], poke_interval=0.05)
    await until(lambda: lists(planet) >= 10)
    assert not any(one.status for one in planet.requests if one.path == f"{LIST}/{slow}"), "it hangs yet"
    planet.clock.advance(600)
    await asyncio.gather(*waiting)


async def test_a_line_for_single_orders_is_no_lack_of_an_answer(
    planet: Sandbox, placed: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What waits for a slot of the rate limit for longer than an answer may take is asked for all the same, with
    # the one request that the budget allows.
    monkeypatch.setattr(watch, "SINGLE_SECONDS", 0.5, raising=False)
    monkeypatch.setattr(order_watch, "SINGLE_LOOKS_PER_MINUTE", 1)
    [order_id] = placed(1)
    config = PlanetHook().config()
    store = open_store(config.coordination_store, config.coordination_fallback)
    limiter = RateLimiter(store, config.identity, config.rate_limits, config.max_queue_seconds)
    limiter.pause("orders.get", 3.0, 0.0)
    empty = json.dumps({"_links": {}, "orders": []})
    planet.faults.add(Fault(kind="status", status=200, body=empty, path=LIST_ONLY, times=None))
    [waiting] = order_waits([order_id], state="queued")
    assert (await asyncio.wait_for(waiting, 45))["order"]["order_id"] == order_id
    assert singles(planet) == {order_id: 1}


async def test_orders_that_are_over_at_their_deadline_are_seen_one_by_one(
    planet: Sandbox, placed: Place
) -> None:
    # As after a triggerer was down: the last look waits for answers that come after the lists'.
    order_ids = placed(3)
    planet.clock.advance(600)
    planet.faults.add(Fault(kind="delay", seconds=1.0, path=f"{LIST}/", times=None))
    events = await asyncio.gather(*order_waits(order_ids, deadline=time.time() - 5, poke_interval=60.0))
    assert {event["status"] for event in events} == {"done"}


# Of the rate


async def test_a_short_interval_leaves_most_lists_to_placing(
    planet: Sandbox, placed: Place, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_ids = placed(1)
    connect(rate_limits={"orders.list": 20.0, "orders.get": 1000.0})
    begun: list[float] = []
    look = OrderPoller.look

    async def looking(self: OrderPoller, session: Any) -> None:
        begun.append(self.loop.time())
        await look(self, session)

    monkeypatch.setattr(OrderPoller, "look", looking)
    waiting = order_waits(order_ids, poke_interval=0.01)
    await until(lambda: len(begun) >= 12)
    await end(waiting)
    # A quarter of 20 a second. The first look takes no list, and what is to be collected is no look.
    assert min(later - sooner for sooner, later in pairwise(begun[1:])) >= 0.19


async def test_a_long_interval_is_kept_however_many_pages_a_look_takes(planet: Sandbox) -> None:
    poller = OrderPoller(PlanetConfig(api_key=planet.api_key, base_url=planet.url))
    begun = poller.loop.time()
    poller.pace.took(5000, begun)
    assert poller.pace.free_at - begun <= 0.95 * 30.0
    await poller.stop()


async def test_deadlines_ask_no_more_often_of_what_is_down(
    planet: Sandbox, placed: Place, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(max_attempts=1)
    monkeypatch.setattr(watch, "LAST_LOOK_GAP_IN_TROUBLE", 6.0, raising=False)
    order_ids = placed(8)
    now = time.time()
    waiting = [
        wait
        for number, one in enumerate(order_ids)
        for wait in order_waits([one], poke_interval=60.0, deadline=now + 4.0 + 0.6 * number)
    ]
    await until(lambda: lists(planet) >= 1)
    planet.faults.add(Fault(kind="status", status=503, path=LIST, times=None))
    assert {event["status"] for event in await asyncio.gather(*waiting)} == {"timeout"}
    # The first deadline's, one for the others together, and some for those that a busy machine delays. It was one
    # for each.
    assert sum(one.status == 503 for one in planet.requests) <= 4


async def test_many_deadlines_of_items_have_a_last_look_each(
    planet: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow the machine is: that it is fast enough for the grace is not asked here.
    monkeypatch.setattr(base, "LAST_LOOK_SECONDS", 240.0)
    body = json.dumps({"ortho_visual": {"status": "inactive", "_permissions": ["download"]}})
    planet.faults.add(Fault(kind="status", status=200, body=body, path="/assets", times=None))
    waiting = asset_waits(
        [f"item_{number}" for number in range(60)], poke_interval=600.0, deadline=time.time() + 15.0
    )
    assert {event["status"] for event in await asyncio.gather(*waiting)} == {"timeout"}
    # The last one begins after the deadline, so an item that was being looked at by then is looked at once more.
    assert len(looks(planet)) == 60
    assert set(looks(planet).values()) <= {2, 3}


async def test_last_looks_at_items_keep_to_the_share(
    planet: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(rate_limits={"data.other": 8.0})
    body = json.dumps({"ortho_visual": {"status": "inactive", "_permissions": ["download"]}})
    planet.faults.add(Fault(kind="status", status=200, body=body, path="/assets", times=None))
    begun: list[float] = []
    ask = AssetPoller._ask

    async def asking(self: AssetPoller, session: Any, key: Any) -> Any:
        begun.append(self.loop.time())
        return await ask(self, session, key)

    monkeypatch.setattr(AssetPoller, "_ask", asking)
    waiting = asset_waits([f"item_{number}" for number in range(20)], poke_interval=600.0, deadline=0.0)
    await asyncio.gather(*waiting)
    assert len(begun) >= 20
    # Half of eight a second, in lots of eight at most.
    assert min(last - first for first, last in zip(begun, begun[9:], strict=False)) >= 1.9


# Of items


async def test_a_slow_item_holds_up_no_other(planet: Sandbox, scenes: Scenes) -> None:
    slow, good = scenes.item_ids
    planet.faults.add(Fault(kind="delay", seconds=15.0, path=f"{slow}/assets", times=None))
    waiting = asset_waits([slow, good], poke_interval=0.05)
    await until(lambda: looks(planet)[good] >= 10)
    assert not any(one.status for one in planet.requests if one.path.endswith(f"{slow}/assets")), "it hangs"
    await end(waiting)


async def test_items_that_hang_leave_places_to_others(
    planet: Sandbox, scenes: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SINGLE_SECONDS", 0.5)
    good = scenes.item_ids[0]
    hanging = [f"item_{number}" for number in range(12)]
    planet.faults.add(Fault(kind="delay", seconds=3.0, path="/item_.*/assets", times=None))
    most = 0
    start = watch.InFlightRequests.start

    def starting(self: Any, key: Any, work: Any) -> None:
        nonlocal most
        start(self, key, work)
        [known] = {id(poller._known): poller._known for poller in pollers()}.values()
        most = max(most, sum(known[one].failures > 0 for one in self if one in known))

    def pollers() -> list[AssetPoller]:
        from planet_provider.triggers import sharing

        here = sharing._triggerers[asyncio.get_running_loop()]
        return [one for one in here.pollers if isinstance(one, AssetPoller)]

    monkeypatch.setattr(watch.InFlightRequests, "start", starting)
    waiting = asset_waits([*hanging, good], poke_interval=0.1)
    await until(lambda: all(looks(planet)[one] >= 2 for one in hanging))
    seen = looks(planet)[good]
    await until(lambda: looks(planet)[good] >= seen + 5)
    assert 1 <= most <= asset_watch.AT_ONCE // 2
    await end(waiting)


async def test_one_item_that_fails_is_no_outage(
    planet: Sandbox, scenes: Scenes, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    connect(max_attempts=1)
    caplog.set_level(logging.INFO, logger=watch.log.name)
    bad, good = scenes.item_ids
    planet.faults.add(Fault(kind="status", status=500, path=f"{bad}/assets", times=None))
    waiting = asset_waits([bad, good])
    await until(lambda: looks(planet)[bad] >= 4 and looks(planet)[good] >= 10)
    assert said(caplog, "can't be asked") == said(caplog, "answers again") == 0
    await end(waiting)


async def test_an_outage_is_logged_once_for_all_items(
    planet: Sandbox, scenes: Scenes, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    connect(max_attempts=1)
    caplog.set_level(logging.INFO, logger=watch.log.name)
    waiting = asset_waits(scenes.item_ids)
    await until(lambda: all(looks(planet)[one] >= 2 for one in scenes.item_ids))
    planet.faults.add(Fault(kind="status", status=500, path="/assets", times=None))
    await until(lambda: said(caplog, "can't be asked") == 1)
    seen = sum(looks(planet).values())
    await until(lambda: sum(looks(planet).values()) >= seen + 3)
    assert not any(one.done() for one in waiting)
    planet.faults.clear()
    await until(lambda: said(caplog, "answers again") == 1)
    assert said(caplog, "2 wait on") == said(caplog, "can't be asked") == 1
    await end(waiting)


# In the tasks' logs


@pytest.mark.parametrize("what", ["order", "item"])
async def test_a_task_is_told_why_its_own_look_fails(
    planet: Sandbox,
    placed: Place,
    scenes: Scenes,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    what: str,
) -> None:
    connect(max_attempts=1)
    monkeypatch.setattr("planet_provider.triggers.base.REPORT_SECONDS", 0.3)
    lines: list[str] = []

    class Log:
        def info(self, message: str, *values: Any) -> None:
            lines.append(message % values)

    monkeypatch.setattr(PlanetTrigger, "log", Log())
    if what == "order":
        [bad] = placed(1)
        empty = json.dumps({"_links": {}, "orders": []})
        planet.faults.add(Fault(kind="status", status=200, body=empty, path=LIST_ONLY, times=None))
        planet.faults.add(Fault(kind="status", status=500, path=f"{LIST}/{bad}", times=None))
        waiting = order_waits([bad])
    else:
        bad, good = scenes.item_ids
        planet.faults.add(Fault(kind="status", status=500, path=f"{bad}/assets", times=None))
        waiting = asset_waits([bad, good])
    await until(lambda: any(bad in line and "can't be asked" in line and "500" in line for line in lines))
    await end(waiting)


# Of one key that many wait for


@pytest.mark.parametrize("ends", ["told", "failed"])
@pytest.mark.parametrize("what", ["order", "item"])
async def test_many_waits_of_one_thing_are_woken_a_few_at_a_time(
    planet: Sandbox, placed: Place, scenes: Scenes, monkeypatch: pytest.MonkeyPatch, what: str, ends: str
) -> None:
    turn = 0
    woken: Counter[int] = Counter()

    async def count() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    def counted(real: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        def wake(self: Any, value: Any) -> None:
            woken[turn] += 1
            real(self, value)

        return wake

    monkeypatch.setattr(watch.Waiter, "tell", counted(watch.Waiter.tell))
    monkeypatch.setattr(watch.Waiter, "fail", counted(watch.Waiter.fail))
    counting = asyncio.create_task(count())
    if what == "order":
        [known] = placed(1)
        waiting = order_waits([known if ends == "told" else NOWHERE] * 300, state="queued")
    else:
        body = json.dumps({"ortho_visual": {"status": "active", "_permissions": ["download"]}})
        if ends == "told":
            planet.faults.add(Fault(kind="status", status=200, body=body, path="/assets", times=None))
        waiting = asset_waits([scenes.item_ids[0] if ends == "told" else "20200101_000000_00_0000"] * 300)
    events = await asyncio.gather(*waiting)
    counting.cancel()
    assert {event["status"] for event in events} == {"done" if ends == "told" else "error"}
    assert sum(woken.values()) >= 300
    # Those who come meanwhile are told besides, each in a turn of its own.
    assert max(woken.values()) <= 2 * watch.CHUNK
