"""Cancelling orders: those that are named, never all by accident."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow_support import FakeTaskInstance, Runner, Scenes

from planet_provider.exceptions import InvalidInputError, OrderNotCancellableError
from planet_provider.hooks.planet import PlanetHook
from planet_provider.operators.orders import PlanetCancelOrderOperator
from planet_provider.sandbox import Fault, Sandbox

#: A well-formed id that no order has.
NO_ORDER = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def placed(planet: Sandbox, scenes: Scenes) -> list[str]:
    products = [scenes.items | {"product_bundle": "visual"}]
    return [PlanetHook().create_order({"name": str(n), "products": products})["id"] for n in range(3)]


def create(like: str, planet: Sandbox) -> str:
    """Place another order like one, after the others."""
    request = {"name": "late", "products": planet.orders[like]["products"]}
    return str(PlanetHook().create_order(request)["id"])


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


def test_each_order_is_told_of(
    planet: Sandbox, runner: Runner, ti: FakeTaskInstance, placed: list[str]
) -> None:
    planet.clock.advance(planet.config.queued_seconds + 1)
    queued = create(placed[0], planet)
    result = runner.run(
        PlanetCancelOrderOperator(task_id="cancel", order_ids=[placed[0], NO_ORDER, queued, queued]), ti
    )
    assert result["requested"] == [placed[0], NO_ORDER, queued], "each once"
    assert (result["cancelled"], result["not_cancellable"], result["not_found"]) == (
        [queued],
        [placed[0]],
        [NO_ORDER],
    )
    assert [(one["order_id"], one["state"]) for one in result["orders"]] == [
        (placed[0], "running"),
        (NO_ORDER, None),
        (queued, "cancelled"),
    ]
    assert ti.xcoms["not_found"] == [NO_ORDER]


def test_with_require_all_the_error_lists_what_is_left(
    planet: Sandbox, runner: Runner, placed: list[str]
) -> None:
    planet.clock.advance(planet.config.queued_seconds + 1)
    queued = create(placed[0], planet)
    task = PlanetCancelOrderOperator(
        task_id="cancel", order_ids=[*placed, queued, NO_ORDER], require_all=True
    )
    with pytest.raises(OrderNotCancellableError, match="4 of 5 orders could not be cancelled") as caught:
        runner.run(task)
    assert f"{placed[1]}: it is running" in str(caught.value)
    assert f"{NO_ORDER}: there is no such order" in str(caught.value)
    assert isinstance(caught.value, AirflowFailException), "a retry would find the same"
    assert states(planet, [queued]) == ["cancelled"], "those that could be are cancelled"


def test_a_retry_after_a_lost_answer_is_fine(planet: Sandbox, runner: Runner, placed: list[str]) -> None:
    planet.faults.add(Fault(kind="drop_after", path="/cancel$"))
    task = PlanetCancelOrderOperator(task_id="cancel", order_ids=placed, require_all=True)
    for _ in ("first try", "retry"):
        assert runner.run(task)["cancelled"] == placed
    assert states(planet, placed) == ["cancelled"] * 3


@pytest.mark.guide("orders-cancel-many")
@pytest.mark.parametrize("order_ids", [[], (), "", ["x"], None, 5, {}, [None]])
def test_nothing_is_never_all(planet: Sandbox, runner: Runner, placed: list[str], order_ids: Any) -> None:
    before = len(planet.requests)
    with pytest.raises(InvalidInputError, match="order_ids") as caught:
        runner.run(PlanetCancelOrderOperator(task_id="cancel", order_ids=order_ids))
    assert isinstance(caught.value, AirflowFailException)
    assert len(planet.requests) == before
    assert states(planet, placed) == ["queued"] * 3


def test_orders_that_were_never_placed_are_left_out(
    planet: Sandbox, runner: Runner, placed: list[str]
) -> None:
    result = runner.run(PlanetCancelOrderOperator(task_id="cancel", order_ids=[None, placed[0], None]))
    assert states(planet, placed) == ["cancelled", "queued", "queued"]
    assert (result["requested"], result["left_out"]) == ([placed[0]], [0, 2])


def test_no_order_at_all_is_refused(planet: Sandbox, runner: Runner) -> None:
    with pytest.raises(InvalidInputError, match=r"order_ids=\[None, None\].*no task placed an order"):
        runner.run(PlanetCancelOrderOperator(task_id="cancel", order_ids=[None, None]))
    assert planet.requests == []
