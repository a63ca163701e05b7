"""Orders that many triggers wait for: few requests, each told what it waits for, and nobody else's trouble."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import pytest
from airflow_support import Connect, Scenes, first_event, revived

from planet_provider import exceptions
from planet_provider.client.api import orders
from planet_provider.hooks.planet import PlanetHook
from planet_provider.sandbox import Fault, Sandbox
from planet_provider.triggers import (
    order_pages,
    order_watch,
    sharing,
    watch,
)
from planet_provider.triggers.base import PlanetTrigger
from planet_provider.triggers.events import read_event
from planet_provider.triggers.orders import PlanetOrderTrigger

LIST = "/compute/ops/orders/v2"
LIST_ONLY = r"^/compute/ops/orders/v2(?!/)"
NOWHERE = "7d5a4e2b-0c3f-4a8e-9b1d-2f6c8e0a1b3c"


def trigger(order_id: str, **settings: Any) -> PlanetOrderTrigger:
    values = {"order_id": order_id, "planet_conn_id": "planet_default", "poke_interval": 0.2, **settings}
    return revived(PlanetOrderTrigger(**values))  # type: ignore[no-any-return]


def waits(order_ids: list[str], **settings: Any) -> list[asyncio.Task[dict[str, Any]]]:
    return [asyncio.create_task(first_event(trigger(one, **settings))) for one in order_ids]


def lists(planet: Sandbox) -> int:
    return sum(one.path == LIST and one.method == "GET" for one in planet.requests)


def singles(planet: Sandbox) -> Counter[str]:
    return Counter(one.path.rpartition("/")[2] for one in planet.requests if one.path.startswith(f"{LIST}/"))


async def until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)


@pytest.fixture
def place(planet: Sandbox, scenes: Scenes) -> Callable[[int], list[str]]:
    """Place orders; nothing that was asked for this is counted."""

    def placed(count: int) -> list[str]:
        products = [scenes.items | {"product_bundle": "visual"}]
        with PlanetHook().session() as session:
            made = [
                session.send(orders.create({"name": f"{n}", "products": products}))["id"]
                for n in range(count)
            ]
        planet._state.recorder.clear()
        return made

    return placed


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """After the last waiter: no task, no poller, no open session."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - before <= {asyncio.current_task()}
    assert asyncio.get_running_loop() not in sharing._triggerers


async def test_many_take_as_few_requests_as_one(planet: Sandbox, place: Any) -> None:
    order_ids = place(60)
    waiting = waits(order_ids, poke_interval=1.0)
    await until(lambda: lists(planet) >= 2)
    planet.clock.advance(600)
    events = await asyncio.gather(*waiting)
    assert [event["order"]["order_id"] for event in events] == order_ids
    assert {event["order"]["state"] for event in events} == {"success"}
    assert not singles(planet)
    # Two, and one that shows the ends; some more where the machine is busy. Without sharing: sixty at least.
    assert lists(planet) <= 10


async def test_every_list_is_of_all_sources(planet: Sandbox, place: Any) -> None:
    waiting = waits(place(5))
    await until(lambda: lists(planet) >= 4)
    planet.clock.advance(600)
    await asyncio.gather(*waiting)
    queries = [one.query for one in planet.requests if one.path == LIST]
    assert {query["source_type"] for query in queries} == {"all"}
    assert sum("last_modified" in query for query in queries) >= 2


async def test_a_list_of_many_pages_is_read_to_its_end(
    planet: Sandbox, place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_pages, "MOST_ROWS", 4)
    waiting = waits(place(18))
    await until(lambda: lists(planet) >= 6)
    planet.clock.advance(600)
    assert len(await asyncio.gather(*waiting)) == 18
    assert any("page_marker" in one.query for one in planet.requests)


async def test_what_ended_while_the_triggerer_was_down_is_found_by_lists(planet: Sandbox, place: Any) -> None:
    order_ids = place(40)
    planet.clock.advance(3600)
    events = await asyncio.gather(*waits(order_ids))
    assert {event["order"]["state"] for event in events} == {"success"}
    assert lists(planet) <= 4
    assert not singles(planet)


async def test_several_who_wait_for_one_order(planet: Sandbox, place: Any) -> None:
    [order_id] = place(1)
    waiting = [*waits([order_id, order_id], state="running"), *waits([order_id])]
    await until(lambda: lists(planet) >= 1)
    planet.clock.advance(planet.config.queued_seconds + 1)
    assert [(await one)["order"]["state"] for one in waiting[:2]] == ["running", "running"]
    assert not waiting[2].done()
    planet.clock.advance(600)
    assert (await waiting[2])["order"]["state"] == "success"
    assert singles(planet) == {order_id: 1}


async def test_a_newcomer_is_told_with_the_next_look(planet: Sandbox, place: Any) -> None:
    first, second = place(2)
    waiting = waits([first])
    await until(lambda: lists(planet) >= 2)
    waiting += waits([second], state="queued")
    assert (await waiting[1])["order"]["order_id"] == second
    planet.clock.advance(600)
    await waiting[0]


async def test_an_event_comes_within_the_interval(planet: Sandbox, place: Any) -> None:
    waiting = waits(place(20), poke_interval=0.5)
    await until(lambda: lists(planet) >= 6)
    planet.clock.advance(600)
    seen = lists(planet)
    await asyncio.gather(*waiting)
    # By the first list that was asked for after the change: another may have been under way when it happened,
    # and one more may have begun before this is looked at. And lists follow at the interval, of which the
    # shortest tells: a busy machine stretches some.
    assert lists(planet) <= seen + 3
    times = [one.at for one in planet.requests if one.path == LIST]
    assert min(later - sooner for sooner, later in pairwise(times[1:])) <= 0.75


async def test_the_impatient_set_the_pace(planet: Sandbox, place: Any) -> None:
    slow, fast = place(2)
    waiting = [*waits([slow], poke_interval=60.0), *waits([fast], poke_interval=0.1)]
    await until(lambda: lists(planet) >= 4)
    planet.clock.advance(600)
    await asyncio.gather(*waiting)


async def test_an_order_that_vanished_fails_its_own_wait_only(planet: Sandbox, place: Any) -> None:
    [order_id] = place(1)
    gone, live = waits([NOWHERE, order_id])
    with pytest.raises(exceptions.NotFoundError):
        read_event(await gone, "order")
    assert not live.done()
    planet.clock.advance(600)
    assert (await live)["order"]["state"] == "success"
    assert singles(planet)[NOWHERE] == 1


async def test_many_orders_that_vanished_stay_within_the_budget(
    planet: Sandbox, place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_watch, "SINGLE_LOOKS_PER_MINUTE", 5)
    gone = waits([NOWHERE[:-2] + f"{number:02d}" for number in range(20)])
    await until(lambda: lists(planet) >= 8)
    assert sum(singles(planet).values()) == 5
    assert sum(one.done() for one in gone) == 5
    for one in gone:
        one.cancel()
    await asyncio.gather(*gone, return_exceptions=True)


@pytest.mark.parametrize("path", [LIST_ONLY, f"^{LIST}"])
async def test_a_refused_credential_fails_all(planet: Sandbox, place: Any, path: str) -> None:
    waiting = waits(place(30))
    await until(lambda: lists(planet) >= 1)
    planet.faults.add(Fault(kind="status", status=401, path=path, times=None))
    for event in await asyncio.gather(*waiting):
        with pytest.raises(exceptions.AuthenticationError, match="Check the API key"):
            read_event(event, "order")
    assert sum(one.status == 401 for one in planet.requests) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="status", status=500, path=LIST, times=6),
        Fault(kind="drop", path=LIST, times=6),
        Fault(kind="truncate", path=LIST, times=6, after_bytes=20),
        Fault(kind="status", status=200, body="<html>", path=LIST, times=3),
        Fault(kind="status", status=200, body='{"orders": 3}', path=LIST, times=3),
    ],
    ids=lambda fault: f"{fault.kind} {fault.status} {fault.body}",
)
async def test_an_outage_fails_nobody_and_is_logged_once(
    planet: Sandbox, place: Any, connect: Connect, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    connect(max_attempts=2)
    caplog.set_level(logging.INFO, logger=watch.log.name)
    waiting = waits(place(25))
    await until(lambda: lists(planet) >= 2)
    planet.faults.add(fault)
    await until(lambda: sum(bool(one.faults) for one in planet.requests) == fault.times)

    def told(words: str) -> int:
        return sum(words in one.getMessage() for one in caplog.records if one.name == watch.log.name)

    await until(lambda: told("answers again") == 1)
    planet.clock.advance(600)
    assert {event["order"]["state"] for event in await asyncio.gather(*waiting)} == {"success"}
    assert told("25 wait on") == told("answers again") == 1


async def test_an_odd_row_hides_no_other(planet: Sandbox, place: Any) -> None:
    order_ids = place(6)
    waiting = waits(order_ids)
    await until(lambda: lists(planet) >= 2)
    now = "2100-01-01T00:00:00Z"
    rows: list[Any] = [
        None,
        3,
        {},
        {"id": 7},
        {"id": order_ids[0]},
        {"id": order_ids[1], "state": "on-strike"},
    ]
    rows += [{"id": one, "state": "success", "last_modified": now} for one in order_ids[3:]]
    body = json.dumps({"_links": {}, "orders": rows})
    planet.faults.add(Fault(kind="status", status=200, body=body, path=LIST_ONLY, times=1))
    events = await asyncio.gather(*waiting[3:])
    assert {event["order"]["state"] for event in events} == {"success"}
    with pytest.raises(exceptions.UnknownStateError):
        read_event(await waiting[1], "order")
    await until(lambda: singles(planet)[order_ids[0]] == 1)
    for one in (waiting[0], waiting[2]):
        assert not one.done()
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_one_order_that_cant_be_asked_for_holds_up_no_other(planet: Sandbox, place: Any) -> None:
    bad, *others = place(3)
    planet.faults.add(Fault(kind="status", status=500, path=f"{LIST}/{bad}", times=None))
    waiting = waits([bad, *others])
    await until(lambda: lists(planet) >= 1)
    planet.clock.advance(600)
    assert len(await asyncio.gather(*waiting)) == 3, "a list showed it after all"


async def test_what_no_list_shows_is_asked_for_singly(
    planet: Sandbox, place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_ids = place(2)
    monkeypatch.setattr(order_watch, "UNSEEN_SECONDS", 1.0)
    empty = json.dumps({"_links": {}, "orders": []})
    planet.faults.add(Fault(kind="status", status=200, body=empty, path=LIST_ONLY, times=None))
    waiting = waits(order_ids)
    await until(lambda: lists(planet) >= 2)
    planet.clock.advance(600)
    assert {event["order"]["state"] for event in await asyncio.gather(*waiting)} == {"success"}
    assert set(singles(planet)) == set(order_ids)


async def test_a_list_that_is_behind_takes_nothing_back(planet: Sandbox, place: Any) -> None:
    planet.reset(
        rate_limits=False,
        api_keys=planet.config.api_keys,
        list_lag_seconds=60.0,
        queued_seconds=100.0,
        running_seconds=300.0,
    )
    order_ids = place(2)
    planet.clock.advance(101)
    lines: list[str] = []
    waiting = []
    for one in order_ids:
        waiter = trigger(one)
        waiter.log.info = lambda message, *values: lines.append(message % values)  # type: ignore[method-assign]
        waiting.append(asyncio.create_task(first_event(waiter)))
    await until(lambda: lists(planet) >= 3 and any(" is running" in line for line in lines))
    before = lists(planet)
    await until(lambda: lists(planet) >= before + 2)
    planet.clock.advance(600)
    await asyncio.gather(*waiting)
    # Who comes in the midst of a look may hear of the list's state first.
    for one in order_ids:
        said = [" is queued" in line for line in lines if one in line]
        assert said == sorted(said, reverse=True), lines


async def test_the_log_says_how_it_is_from_time_to_time(
    planet: Sandbox, place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planet_provider.triggers.base.REPORT_SECONDS", 0.3)
    [order_id] = place(1)
    lines: list[str] = []
    waiter = trigger(order_id)
    waiter.log.info = lambda message, *values: lines.append(message % values)  # type: ignore[method-assign]
    waiting = asyncio.create_task(first_event(waiter))
    await until(lambda: sum("still" in line for line in lines) >= 2)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    still = next(line for line in lines if "still" in line)
    assert "queued: Preparing order. Since 20" in still
    assert still.endswith(f"{planet.url}/account/#/orders/{order_id}")


async def test_two_accounts_have_a_poller_each(
    planet: Sandbox, place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_ids = place(8)
    strange = {"conn_type": "planet", "host": planet.url, "password": "PLAK-of-somebody-else-entirely"}
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps(strange))
    ours, theirs = waits(order_ids), waits(order_ids, planet_conn_id="other")
    for event in await asyncio.gather(*theirs):
        assert event["error"] == "AuthenticationError"
    assert not any(one.done() for one in ours)
    planet.clock.advance(600)
    await asyncio.gather(*ours)


async def test_deadlines_are_each_ones_own(planet: Sandbox, place: Any) -> None:
    order_ids = place(6)
    early = waits(order_ids[:3], deadline=time.time() + 4.0)
    late = waits(order_ids[3:], deadline=time.time() + 600)
    assert {event["status"] for event in await asyncio.gather(*early)} == {"timeout"}
    assert not any(one.done() for one in late)
    planet.clock.advance(600)
    assert {event["status"] for event in await asyncio.gather(*late)} == {"done"}


async def test_a_crash_of_the_poller_leaves_nobody_waiting(
    planet: Sandbox, place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(self: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(order_watch.OrderPoller, "_until_due", crash)
    for one in waits(place(3)):
        with pytest.raises(RuntimeError, match="a bug"):
            await one


def test_a_loop_of_its_own_for_each_trigger_as_dag_test_has(planet: Sandbox, place: Any) -> None:
    order_ids = place(2)
    planet.clock.advance(600)
    for order_id in order_ids:
        assert asyncio.run(first_event(trigger(order_id)))["order"]["state"] == "success"
    gc.collect()
    assert len(sharing._triggerers) == 0


async def test_lines_of_the_poller_are_not_in_a_tasks_context(
    planet: Sandbox, place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import contextvars

    task_log: contextvars.ContextVar[str] = contextvars.ContextVar("task_log")
    seen_by: list[tuple[str, str | None]] = []
    look = order_watch.OrderPoller.look
    seen = PlanetOrderTrigger.seen

    async def looking(self: Any, session: Any) -> None:
        seen_by.append(("poller", task_log.get(None)))
        await look(self, session)

    def seeing(self: Any, found: Any) -> Any:
        seen_by.append((self.order_id, task_log.get(None)))
        return seen(self, found)

    monkeypatch.setattr(order_watch.OrderPoller, "look", looking)
    monkeypatch.setattr(PlanetOrderTrigger, "seen", seeing)

    async def as_task(order_id: str) -> None:
        task_log.set(order_id)
        await first_event(trigger(order_id))

    order_ids = place(3)
    planet.clock.advance(600)
    await asyncio.gather(*map(as_task, order_ids))
    assert ("poller", None) in seen_by
    assert {who for who, _ in seen_by} == {"poller", *order_ids}
    assert all(log == (None if who == "poller" else who) for who, log in seen_by)


def test_every_trigger_has_a_poller() -> None:
    def kinds(kind: type[PlanetTrigger]) -> list[type[PlanetTrigger]]:
        return [kind, *(one for sub in kind.__subclasses__() for one in kinds(sub))]

    assert all(hasattr(kind, "poller") for kind in kinds(PlanetTrigger)[1:])
