"""Cancelling orders: those that are named, never all by accident."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow_support import FakeTaskInstance, Runner, Scenes

from planet_provider.exceptions import InvalidInputError
from planet_provider.hooks.planet import PlanetHook
from planet_provider.operators.orders import PlanetCancelOrderOperator
from planet_provider.sandbox import Sandbox


@pytest.fixture
def placed(planet: Sandbox, scenes: Scenes) -> list[str]:
    products = [scenes.items | {"product_bundle": "visual"}]
    return [PlanetHook().create_order({"name": str(n), "products": products})["id"] for n in range(3)]


def states(planet: Sandbox, order_ids: list[str]) -> list[str]:
    return [planet.orders[order_id]["state"] for order_id in order_ids]


def test_several(planet: Sandbox, runner: Runner, ti: FakeTaskInstance, placed: list[str]) -> None:
    result = runner.run(PlanetCancelOrderOperator(task_id="cancel", order_ids=placed[:2]), ti)
    assert states(planet, placed) == ["cancelled", "cancelled", "queued"]
    assert result["requested"] == placed[:2]
    assert result["result"]["succeeded"] == {"count": 2}
    assert ti.xcoms == {**result, "return_value": result}


def test_one(planet: Sandbox, runner: Runner, placed: list[str]) -> None:
    result = runner.run(PlanetCancelOrderOperator(task_id="cancel", order_ids=placed[1].upper()))
    assert states(planet, placed) == ["queued", "cancelled", "queued"]
    assert result["requested"] == [placed[1]]


def test_one_that_runs_is_told(planet: Sandbox, runner: Runner, placed: list[str]) -> None:
    planet.clock.advance(planet.config.queued_seconds + 1)
    result = runner.run(PlanetCancelOrderOperator(task_id="cancel", order_ids=placed[:1]))
    assert result["result"]["failed"]["count"] == 1
    assert states(planet, placed[:1]) == ["running"]


@pytest.mark.parametrize("order_ids", [[], (), "", ["x"], None, 5, {}, [None]])
def test_nothing_is_never_all(planet: Sandbox, runner: Runner, placed: list[str], order_ids: Any) -> None:
    before = len(planet.requests)
    with pytest.raises(InvalidInputError, match="order_ids") as caught:
        runner.run(PlanetCancelOrderOperator(task_id="cancel", order_ids=order_ids))
    assert isinstance(caught.value, AirflowFailException)
    assert len(planet.requests) == before
    assert states(planet, placed) == ["queued"] * 3
