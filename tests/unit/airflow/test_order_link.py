from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import XCom
from airflow_support import FakeTaskInstance, Runner, Scenes

from planet_provider import get_provider_info
from planet_provider.client.api.links import order_page
from planet_provider.exceptions import InvalidInputError, OrderError, TriggerEventError
from planet_provider.hooks.planet import PlanetHook
from planet_provider.links.order import PlanetOrderLink
from planet_provider.operators.orders import PlanetCreateOrderOperator, PlanetDownloadOrderOperator
from planet_provider.sandbox import Outcome, Sandbox
from planet_provider.sensors.orders import PlanetOrderSensor

KEY = "_link_PlanetOrderLink"


class StoppedError(Exception):
    """The task does not get any further."""


def test_it_is_there_before_the_wait_begins(
    planet: Sandbox, ti: FakeTaskInstance, scenes: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(*_: Any) -> None:
        raise StoppedError

    monkeypatch.setattr(PlanetCreateOrderOperator, "_wait", wait)
    task = PlanetCreateOrderOperator(
        task_id="order", name="x", items=scenes.items, product_bundle="visual", wait_for_completion=True
    )
    with pytest.raises(StoppedError):
        Runner().run(task, ti)
    (order_id,) = planet.orders
    assert ti.links == {KEY: order_page(order_id, planet.url)}


def test_every_task_of_an_order_has_it(
    planet: Sandbox, runner: Runner, scenes: Scenes, tmp_path: Path
) -> None:
    products = [scenes.items | {"product_bundle": "visual"}]
    order_id = PlanetHook().create_order({"name": "x", "products": products})["id"]
    planet.clock.advance(3600)
    for task in (
        PlanetOrderSensor(task_id="wait", order_id=order_id),
        PlanetDownloadOrderOperator(task_id="download", order_id=order_id, destination=str(tmp_path)),
    ):
        ti = FakeTaskInstance()
        runner.run(task, ti)
        assert ti.links == {KEY: order_page(order_id, planet.url)}
        assert [link.name for link in task.operator_extra_links] == ["Order at Planet"]


@pytest.mark.parametrize("ends", ["failed", "too late", "deferred, too late"])
def test_errors_lead_to_the_connections_host(
    planet: Sandbox, runner: Runner, scenes: Scenes, ends: str
) -> None:
    task = PlanetCreateOrderOperator(
        task_id="order",
        name="x",
        items=scenes.items,
        product_bundle="visual",
        wait_for_completion=True,
        deferrable=ends.startswith("deferred"),
        poke_interval=0.05,
        timeout=0.2 if ends.endswith("late") else 60,
    )
    if ends == "failed":
        planet.outcomes.add(Outcome(state="failed"))
        planet.clock.speed = 1e4
    with pytest.raises(OrderError) as caught:
        runner.run(task)
    (order_id,) = planet.orders
    assert order_page(order_id, planet.url) in str(caught.value)


@pytest.mark.parametrize(
    ("pushed", "shown"), [("https://planet.example/1", "https://planet.example/1"), (None, "")]
)
def test_airflow_gets_what_the_task_pushed(
    pushed: str | None, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(XCom, "get_value", lambda *, ti_key, key: {("ti", KEY): pushed}[ti_key, key])
    assert PlanetOrderLink().get_link(None, ti_key="ti") == shown


def read_xcom(**_: Any) -> Any:
    raise AssertionError("an XCom that isn't there ends the log with an error")


def test_a_task_that_fails_before_it_has_an_order_asks_for_no_xcom(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(XCom, "get_value", read_xcom)
    task = PlanetOrderSensor(task_id="wait", order_id="no order")
    with pytest.raises(InvalidInputError):
        runner.run(task)
    assert PlanetOrderLink().get_link(task, ti_key="ti") == ""


def test_a_resumed_task_reads_what_was_pushed_before_it_deferred(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(XCom, "get_value", lambda **_: "https://planet.example/1")
    task = PlanetOrderSensor(task_id="wait", order_id="x")
    with pytest.raises(TriggerEventError):
        runner.resume(task, None)
    assert PlanetOrderLink().get_link(task, ti_key="ti") == "https://planet.example/1"


def test_airflow_knows_it() -> None:
    kind = PlanetOrderLink
    assert get_provider_info()["extra-links"] == [f"{kind.__module__}.{kind.__qualname__}"]
    assert pickle.loads(pickle.dumps(kind())) == kind()
