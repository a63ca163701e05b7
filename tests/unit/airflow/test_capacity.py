"""Planet takes no more orders: deferrable tasks wait their turn without a worker, and within their time."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred
from airflow_support import FakeTaskInstance, Runner, Scenes, await_condition, first_event, revived

from planet_provider.exceptions import OrderConcurrencyError, OrderTimeoutError, OverQuotaError
from planet_provider.hooks.planet import PlanetHook
from planet_provider.operators.orders import PlanetCreateOrderOperator
from planet_provider.sandbox import Sandbox
from planet_provider.triggers import capacity_watch
from planet_provider.triggers.capacity import PlanetOrderCapacityTrigger

pytestmark = pytest.mark.planet_sandbox(max_queued_orders=2, queued_seconds=1000.0)


def create(scenes: Scenes, **settings: Any) -> PlanetCreateOrderOperator:
    parameters = {"name": "june", "deferrable": True, "poke_interval": 0.05, **settings}
    return PlanetCreateOrderOperator(
        task_id="order", items=scenes.items, product_bundle="visual", **parameters
    )


@pytest.fixture
def others(planet: Sandbox, scenes: Scenes) -> list[str]:
    """Orders that take all places."""
    products = [scenes.items | {"product_bundle": "visual"}]
    hook = PlanetHook()
    return [str(hook.create_order({"name": f"other {n}", "products": products})["id"]) for n in (1, 2)]


def posts(planet: Sandbox) -> int:
    return sum(one.method == "POST" and one.path.endswith("/orders/v2") for one in planet.requests)


def looks(planet: Sandbox) -> int:
    return sum("/stats/" in one.path for one in planet.requests)


def test_it_waits_in_the_triggerer_and_then_places(
    planet: Sandbox, runner: Runner, ti: FakeTaskInstance, scenes: Scenes, others: list[str]
) -> None:
    found: list[str] = []
    task = threading.Thread(target=lambda: found.append(runner.run(create(scenes), ti)))
    task.start()
    await_condition(lambda: looks(planet) >= 3)
    assert set(planet.orders) == set(others)
    assert posts(planet) == 3, "refused once"
    PlanetHook().cancel_order(others[0])
    task.join(120)
    assert found == [order_id for order_id in planet.orders if order_id not in others]
    assert posts(planet) == 4
    [deferral] = runner.deferrals
    assert isinstance(deferral.trigger, PlanetOrderCapacityTrigger)
    assert ti.xcoms["order"]["order_id"] == found[0]
    assert ti.xcoms["order"]["estimate"]["scenes"] == 2


def test_the_wait_is_bounded(planet: Sandbox, runner: Runner, scenes: Scenes, others: list[str]) -> None:
    with pytest.raises(
        OrderTimeoutError, match=r"no more orders for timeout=0.4 s.* Nothing was placed"
    ) as caught:
        runner.run(create(scenes, timeout=0.4))
    assert isinstance(caught.value, AirflowException)
    assert not isinstance(caught.value, AirflowFailException)
    assert set(planet.orders) == set(others)


def test_deferring_again_does_not_start_the_clock_anew(
    planet: Sandbox, scenes: Scenes, others: list[str]
) -> None:
    task = create(scenes, timeout=600)
    context = {"ti": FakeTaskInstance()}
    with pytest.raises(TaskDeferred) as first:
        task.execute(context)
    assert first.value.method_name == "execute_after_capacity"
    assert timedelta(seconds=600) < first.value.timeout < timedelta(seconds=700)
    deadline = time.time() + 100
    event = {"status": "done", "capacity": {"active_orders": 1, "deadline": deadline}}
    with pytest.raises(TaskDeferred) as second:
        create(scenes, timeout=600).resume_execution("execute_after_capacity", {"event": event}, context)
    assert second.value.timeout < timedelta(seconds=170)
    assert second.value.trigger.serialize()[1]["deadline"] == deadline


def test_what_the_database_holds(planet: Sandbox, scenes: Scenes, others: list[str]) -> None:
    with pytest.raises(TaskDeferred) as caught:
        create(scenes).execute({"ti": FakeTaskInstance()})
    path, kwargs = revived(caught.value.trigger).serialize()
    assert path == "planet_provider.triggers.capacity.PlanetOrderCapacityTrigger"
    assert kwargs.keys() >= {"planet_conn_id", "poke_interval", "deadline"}
    assert planet.api_key not in repr(kwargs)


def test_without_deferring_it_is_an_error_that_a_retry_may_mend(
    planet: Sandbox, runner: Runner, scenes: Scenes, others: list[str]
) -> None:
    with pytest.raises(OrderConcurrencyError) as caught:
        runner.run(create(scenes, deferrable=False))
    assert isinstance(caught.value, AirflowException)
    assert not isinstance(caught.value, AirflowFailException)
    assert posts(planet) == 3


def test_an_earlier_order_needs_no_place(planet: Sandbox, runner: Runner, scenes: Scenes) -> None:
    first = runner.run(create(scenes))
    runner.run(create(scenes, name="july"))
    assert runner.run(create(scenes)) == first
    assert runner.deferrals == []


@pytest.mark.parametrize("status", [403, 429])
def test_over_quota_is_not_waited_for(planet: Sandbox, runner: Runner, scenes: Scenes, status: int) -> None:
    planet.reset(rate_limits=False, api_keys=planet.config.api_keys, quota_km2=1.0, over_quota_status=status)
    with pytest.raises(OverQuotaError) as caught:
        runner.run(create(scenes))
    assert isinstance(caught.value, AirflowFailException)
    assert posts(planet) == 1
    assert runner.deferrals == []


class TestTrigger:
    @staticmethod
    def trigger(seconds: float = 60.0) -> PlanetOrderCapacityTrigger:
        return PlanetOrderCapacityTrigger(
            planet_conn_id="planet_default", poke_interval=0.05, deadline=time.time() + seconds
        )

    async def test_nobody_waits_for_an_empty_account(self, planet: Sandbox) -> None:
        assert (await first_event(self.trigger()))["capacity"]["active_orders"] == 0

    async def test_places_that_others_took_and_gave_back(
        self, planet: Sandbox, scenes: Scenes, others: list[str]
    ) -> None:
        """The most that were seen are the measure, not the first."""
        hook = PlanetHook()
        await asyncio.to_thread(hook.cancel_order, others[0])
        waiting = asyncio.create_task(first_event(self.trigger()))
        while looks(planet) < 2:
            await asyncio.sleep(0.01)
        assert not waiting.done(), "one was active from the first look on"
        products = [scenes.items | {"product_bundle": "visual"}]
        third = await asyncio.to_thread(hook.create_order, {"name": "third", "products": products})
        seen = looks(planet)
        while looks(planet) < seen + 2:
            await asyncio.sleep(0.01)
        assert not waiting.done()
        await asyncio.to_thread(hook.cancel_order, third["id"])
        assert (await waiting)["capacity"]["active_orders"] == 1

    async def test_a_place_that_was_free_before_the_first_look(
        self, planet: Sandbox, others: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(capacity_watch, "ANYWAY_SECONDS", 0.3)
        started = time.monotonic()
        event = await first_event(self.trigger())
        assert event["capacity"]["active_orders"] == 2
        assert time.monotonic() - started >= 0.3
        assert looks(planet) >= 2

    async def test_as_many_go_on_as_places_became_free(
        self, planet: Sandbox, scenes: Scenes, others: list[str]
    ) -> None:
        order: list[int] = []

        async def wait(number: int) -> None:
            await first_event(self.trigger())
            order.append(number)

        waiting = [asyncio.create_task(wait(number)) for number in range(8)]
        while looks(planet) < 3:
            await asyncio.sleep(0.01)
        hook = PlanetHook()
        await asyncio.to_thread(hook.cancel_order, others[0])
        while looks(planet) < 10:
            await asyncio.sleep(0.01)
        assert order == [0], "first come, first served"
        products = [scenes.items | {"product_bundle": "visual"}]
        await asyncio.to_thread(hook.create_order, {"name": "taken", "products": products})
        seen = looks(planet)
        while looks(planet) < seen + 4:
            await asyncio.sleep(0.01)
        assert order[:3] == [0, 1, 2], "nobody was refused, so more are called than were seen to fit"
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def test_all_waits_count_together(self, planet: Sandbox, others: list[str]) -> None:
        waiting = [asyncio.create_task(first_event(self.trigger(1.0))) for _ in range(30)]
        assert {event["status"] for event in await asyncio.gather(*waiting)} == {"timeout"}
        assert looks(planet) < 40

    async def test_too_late(self, planet: Sandbox, others: list[str]) -> None:
        event = await first_event(self.trigger(0.2))
        assert event == {"status": "timeout", "last": "Planet takes no more orders now. Waiting for a place."}
