"""The waits in the triggerer: what they hold, what they say, and that they block nobody."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from airflow_support import Connect, Scenes, first_event, revived

from planet_provider import exceptions
from planet_provider.hooks.planet import PlanetHook
from planet_provider.sandbox import Fault, Sandbox
from planet_provider.triggers.assets import PlanetAssetTrigger
from planet_provider.triggers.capacity import PlanetOrderCapacityTrigger
from planet_provider.triggers.events import error_event, read_event, timeout_event
from planet_provider.triggers.orders import PlanetOrderTrigger

ORDER_ID = "7d5a4e2b-0c3f-4a8e-9b1d-2f6c8e0a1b3c"


def order_trigger(order_id: str = ORDER_ID, **settings: Any) -> PlanetOrderTrigger:
    return PlanetOrderTrigger(
        **{"order_id": order_id, "planet_conn_id": "planet_default", "poke_interval": 0.05, **settings}
    )


def asset_trigger(scenes: Scenes, **settings: Any) -> PlanetAssetTrigger:
    return PlanetAssetTrigger(
        item_type=scenes.item_type,
        item_id=scenes.item_ids[0],
        asset_type="ortho_visual",
        planet_conn_id="planet_default",
        poke_interval=0.05,
        **settings,
    )


@pytest.fixture
def order_id(planet: Sandbox, scenes: Scenes) -> str:
    products = [scenes.items | {"product_bundle": "visual"}]
    return str(PlanetHook().create_order({"name": "triggers", "products": products})["id"])


@pytest.fixture
async def forgotten_tasks() -> AsyncIterator[None]:
    """No trigger leaves a task behind."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - before <= {asyncio.current_task()}


def seen(planet: Sandbox) -> int:
    return sum(request.method == "GET" for request in planet.requests)


def test_what_the_database_holds(scenes: Scenes) -> None:
    trigger = order_trigger(state="running", deadline=1_800_000_000.5)
    path, kwargs = trigger.serialize()
    assert path == "planet_provider.triggers.orders.PlanetOrderTrigger"
    assert kwargs == {
        "order_id": ORDER_ID,
        "state": "running",
        "planet_conn_id": "planet_default",
        "poke_interval": 0.05,
        "deadline": 1_800_000_000.5,
        "cancel_on_kill": False,
        "note": None,
    }
    path, kwargs = asset_trigger(scenes).serialize()
    assert path == "planet_provider.triggers.assets.PlanetAssetTrigger"
    assert kwargs == {
        "item_type": scenes.item_type,
        "item_id": scenes.item_ids[0],
        "asset_type": "ortho_visual",
        "planet_conn_id": "planet_default",
        "poke_interval": 0.05,
        "deadline": None,
    }


@pytest.mark.parametrize("settings", [{}, {"state": "running"}, {"deadline": time.time() + 5}])
def test_it_comes_back_as_it_was(scenes: Scenes, settings: dict[str, Any]) -> None:
    assert revived(order_trigger(**settings)).serialize() == order_trigger(**settings).serialize()
    assert isinstance(revived(asset_trigger(scenes)), PlanetAssetTrigger)


async def test_arguments_of_a_newer_worker_are_ignored(planet: Sandbox, order_id: str) -> None:
    planet.clock.advance(600)
    values = {"planet_conn_id": "planet_default", "poke_interval": 0.1, "deadline": None, "of_tomorrow": 1}
    trigger = PlanetOrderTrigger(order_id=order_id, **values)
    assert (await first_event(trigger))["status"] == "done"
    ids = {"item_type": "PSScene", "item_id": "x", "asset_type": "ortho_visual"}
    for other in (PlanetAssetTrigger(**ids, **values), PlanetOrderCapacityTrigger(**values)):
        assert "of_tomorrow" not in other.serialize()[1]


async def test_done(planet: Sandbox, order_id: str) -> None:
    task = asyncio.create_task(first_event(revived(order_trigger(order_id))))
    while seen(planet) < 3:
        await asyncio.sleep(0.01)
    assert not task.done()
    planet.clock.advance(600)
    event = await task
    order = read_event(event, "order")
    assert order is not None
    assert (order["order_id"], order["state"]) == (order_id, "success")
    assert "http" not in json.dumps(event)


async def test_an_awaited_state(planet: Sandbox, order_id: str) -> None:
    task = asyncio.create_task(first_event(revived(order_trigger(order_id, state="running"))))
    while seen(planet) < 2:
        await asyncio.sleep(0.01)
    assert not task.done()
    planet.clock.advance(planet.config.queued_seconds + 1)
    assert (await task)["order"]["state"] == "running"


async def test_a_change_is_logged_once(
    planet: Sandbox, order_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    lines: list[str] = []
    trigger = revived(order_trigger(order_id, poke_interval=0.01))
    trigger.log.info = lambda message, *values: lines.append(message % values)
    task = asyncio.create_task(first_event(trigger))
    for number in (1, 2):
        while len(lines) < number:
            await asyncio.sleep(0.01)
        looked = seen(planet)
        while seen(planet) < looked + 3:
            await asyncio.sleep(0.01)
        planet.clock.advance(planet.config.queued_seconds if number == 1 else 600)
    await task
    assert [line.split(" is ")[1].split(":")[0] for line in lines] == ["queued", "running", "success"]


async def test_the_deadline(planet: Sandbox, order_id: str, scenes: Scenes) -> None:
    deadline = time.time() + 4.0
    # The deadline is kept although the next look would be later.
    event = await first_event(revived(order_trigger(order_id, deadline=deadline, poke_interval=60.0)))
    assert deadline <= time.time() < deadline + 30
    last = event.pop("last")
    assert event == {"status": "timeout", "order_id": order_id, "state": None}
    assert f"Order {order_id} is still queued" in last
    assert read_event(event, "order") is None
    assert seen(planet) == 2, "the last look is at the deadline"
    event = await first_event(revived(asset_trigger(scenes, deadline=deadline)))
    assert event["status"] == "timeout"
    assert event["item_id"] == scenes.item_ids[0]


async def test_what_is_over_is_seen_after_the_deadline_too(planet: Sandbox, order_id: str) -> None:
    planet.clock.advance(600)
    event = await first_event(revived(order_trigger(order_id, deadline=time.time() - 5)))
    assert event["order"]["state"] == "success"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(kind="status", status=401, times=None), exceptions.AuthenticationError),
        (Fault(kind="status", status=403, times=None), exceptions.PermissionDeniedError),
        (Fault(kind="status", status=404, times=None), exceptions.NotFoundError),
        (
            Fault(kind="status", status=200, body='{"id": "x", "state": "on-strike"}', times=None),
            exceptions.UnknownStateError,
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_what_waiting_wont_mend_ends_it(
    planet: Sandbox, order_id: str, fault: Fault, error: type[exceptions.PlanetError]
) -> None:
    planet.faults.add(fault)
    # The interval is long enough that no list is asked for before the answer comes.
    trigger = order_trigger(order_id, deadline=time.time() + 120, poke_interval=60.0)
    event = await first_event(revived(trigger))
    assert seen(planet) == 1
    with pytest.raises(error) as caught:
        read_event(event, "order")
    assert type(caught.value) is error
    if isinstance(caught.value, exceptions.APIError):
        assert caught.value.status == fault.status
        assert caught.value.request == f"GET /compute/ops/orders/v2/{order_id}"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="status", status=503, times=7),
        Fault(kind="status", status=429, times=3, headers={"Retry-After": "0"}),
        Fault(kind="drop", times=7),
        Fault(kind="status", status=200, body="<html>", times=3),
    ],
    ids=["503", "429", "drop", "garbage"],
)
async def test_trouble_that_passes_is_waited_out(
    planet: Sandbox, connect: Connect, order_id: str, fault: Fault
) -> None:
    # Two attempts a look, so that trouble outlasts the retries of several looks.
    connect(max_attempts=2)
    planet.clock.advance(600)
    planet.faults.add(fault)
    # The interval is long enough that one look's request is over before the next look.
    trigger = revived(order_trigger(order_id, deadline=time.time() + 120, poke_interval=0.5))
    event = await first_event(trigger)
    assert event["order"]["state"] == "success"
    assert seen(planet) == fault.times + 1  # type: ignore[operator]


async def test_trouble_that_stays_ends_with_the_deadline(
    planet: Sandbox, connect: Connect, order_id: str
) -> None:
    connect(max_attempts=1)
    planet.faults.add(Fault(kind="status", status=503, times=None))
    started = time.monotonic()
    event = await first_event(revived(order_trigger(order_id, deadline=time.time() + 1.0)))
    assert event["status"] == "timeout"
    assert 0.9 < time.monotonic() - started < 30
    assert seen(planet) < 10, "it looks less and less often"


async def test_a_missing_credential_is_an_event(planet_sandbox: Sandbox) -> None:
    event = await first_event(revived(order_trigger()))
    with pytest.raises(exceptions.CredentialsError, match="PL_API_KEY"):
        read_event(event, "order")
    assert planet_sandbox.requests == []


async def test_a_wrong_connection_is_an_event(connect: Connect) -> None:
    connect(timout=5)
    event = await first_event(revived(order_trigger()))
    with pytest.raises(exceptions.ConfigurationError, match="unknown extra 'timout'"):
        read_event(event, "order")


async def test_a_missing_connection_is_an_event(planet_sandbox: Sandbox) -> None:
    event = await first_event(revived(order_trigger(planet_conn_id="elsewhere")))
    with pytest.raises(exceptions.ConfigurationError, match="'elsewhere' is not defined"):
        read_event(event, "order")


@pytest.mark.usefixtures("forgotten_tasks")
@pytest.mark.parametrize("trouble", [False, True])
async def test_a_cancelled_trigger_ends_without_an_event(
    planet: Sandbox, order_id: str, trouble: bool
) -> None:
    if trouble:
        planet.faults.add(Fault(kind="delay", seconds=1.0, times=None))
    task = asyncio.create_task(first_event(revived(order_trigger(order_id))))
    while seen(planet) < 1:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert planet.orders[order_id]["state"] == "queued", "the triggerer's restart cancels no order"


@pytest.mark.parametrize(
    "error",
    [
        exceptions.AuthenticationError("no", status=401, request="GET /x", messages=["a", "b"]),
        exceptions.RateLimitError("slow", status=429, request="GET /x", retry_after=2.5),
        exceptions.RateLimitQueueError("far", rate_class="orders.get", wait_seconds=700.0),
        exceptions.TransportError("cut", sent=False),
        exceptions.InvalidInputError("order_id", "x", "must be a UUID."),
        exceptions.OrderFailedError("no", order_id="x", state="failed", hints=["a"]),
        exceptions.AssetUnavailableError("no", item_type="PSScene", item_id="1", asset_type="visual"),
        exceptions.ChecksumError("no", file="a", problems=[{"path": "a", "problem": "missing"}]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_through_an_event_as_it_was(error: exceptions.PlanetError) -> None:
    event = json.loads(json.dumps(error_event(error)))
    with pytest.raises(type(error)) as caught:
        read_event(event, "order")
    assert type(caught.value) is type(error)
    assert (caught.value.args, vars(caught.value)) == (error.args, vars(error))


def test_an_error_of_another_version_is_none_of_success() -> None:
    event = {"status": "error", "error": "BrandNewError", "message": "It is new.", "facts": {"a": 1}}
    with pytest.raises(exceptions.TriggerEventError, match="BrandNewError: It is new"):
        read_event(event, "order")
    assert read_event(timeout_event(order_id="x"), "order") is None


async def test_no_log_line_holds_a_secret_or_a_link(
    planet: Sandbox, order_id: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    planet.clock.speed = 3000.0
    planet.faults.add(Fault(kind="status", status=503, times=8))
    await first_event(revived(order_trigger(order_id)))
    order = PlanetHook().get_order(order_id)
    links = [result["location"] for result in order["_links"]["results"]]
    shown = "\n".join([caplog.text, *capfd.readouterr()])
    assert order_id in shown
    assert planet.api_key not in shown
    assert "api-key " not in shown.replace("api-key ***", "")
    assert links
    for link in links:
        assert link.partition("token=")[2] not in shown
