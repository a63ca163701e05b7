"""The rate limit's queue is full: deferrable tasks wait in the triggerer, others fail and may be retried."""

from __future__ import annotations

import time
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred
from airflow_support import FAST, Connect, FakeTaskInstance, Runner, Scenes

from planet_provider.exceptions import RateLimitQueueError
from planet_provider.hooks.planet import PlanetHook
from planet_provider.operators.orders import PlanetCreateOrderOperator
from planet_provider.sandbox import Sandbox
from planet_provider.sensors.orders import PlanetOrderSensor
from planet_provider.triggers.capacity import PlanetOrderCapacityTrigger
from planet_provider.triggers.orders import PlanetOrderTrigger


@pytest.fixture
def crowded(planet: Sandbox, connect: Connect) -> Any:
    """Make a class of requests slow, and its queue short."""

    def crowd(rate_class: str, rate: float = 0.01) -> None:
        rates = {**FAST["rate_limits"], rate_class: rate}
        connect(rate_limits=rates, max_queue_seconds=0.2, coordination_store="memory://")

    return crowd


def create(scenes: Scenes, name: str, **settings: Any) -> PlanetCreateOrderOperator:
    return PlanetCreateOrderOperator(
        task_id="order", name=name, items=scenes.items, product_bundle="visual", **settings
    )


def test_an_order_waits_for_its_place_in_the_triggerer(
    planet: Sandbox, crowded: Any, runner: Runner, scenes: Scenes
) -> None:
    # One in five seconds: longer than a busy machine may keep the second from asking.
    crowded("orders.create", 0.2)
    started = time.monotonic()
    first = runner.run(create(scenes, "june"))
    second = runner.run(create(scenes, "july", deferrable=True, poke_interval=0.05))
    assert time.monotonic() - started > 4.9
    assert set(planet.orders) == {first, second}
    [deferral] = runner.deferrals
    assert isinstance(deferral.trigger, PlanetOrderCapacityTrigger)
    assert not any("/stats/" in one.path for one in planet.requests), "only the clock was looked at"


def test_without_deferring_it_is_an_error_that_a_retry_may_mend(
    planet: Sandbox, crowded: Any, runner: Runner, scenes: Scenes
) -> None:
    crowded("orders.create")
    first = runner.run(create(scenes, "june"))
    with pytest.raises(RateLimitQueueError, match=r"max_queue_seconds is 0\.2") as caught:
        runner.run(create(scenes, "july", deferrable=False))
    assert isinstance(caught.value, AirflowException)
    assert not isinstance(caught.value, AirflowFailException)
    assert set(planet.orders) == {first}


def test_a_deferrable_sensor_defers(planet: Sandbox, crowded: Any, runner: Runner, scenes: Scenes) -> None:
    crowded("orders.get")
    order_id = runner.run(create(scenes, "june"))
    PlanetHook().get_order(order_id)
    with pytest.raises(TaskDeferred) as caught:
        sensor(order_id, deferrable=True).execute({"ti": FakeTaskInstance()})
    assert isinstance(caught.value.trigger, PlanetOrderTrigger)
    with pytest.raises(RateLimitQueueError):
        sensor(order_id, deferrable=False).execute({"ti": FakeTaskInstance()})


def sensor(order_id: str, **settings: Any) -> PlanetOrderSensor:
    return PlanetOrderSensor(task_id="wait", order_id=order_id, **settings)
