"""Limits that refuse an order before it is placed, and the estimate that is logged and handed on."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow_support import FakeTaskInstance, Runner, Scenes

from planet_provider.builders import tools as order_tools
from planet_provider.exceptions import BadRequestError, InvalidInputError, OrderTooLargeError
from planet_provider.operators.orders import PlanetCreateOrderOperator
from planet_provider.sandbox import Fault, Sandbox

SEARCH = {"method": "POST", "path": "/quick-search"}


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the estimate logs."""
    with caplog.at_level(logging.INFO, logger="planet_provider.ordering.estimate"):
        yield caplog


def create(scenes: Scenes, **settings: Any) -> PlanetCreateOrderOperator:
    return PlanetCreateOrderOperator(
        task_id="order", name="june", items=scenes.items, product_bundle="visual", **settings
    )


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_items": 1}, "2 scenes, more than max_items=1"),
        ({"max_area_km2": 1.5}, "km², more than max_area_km2=1.5"),
    ],
)
def test_refused(
    planet: Sandbox,
    runner: Runner,
    ti: FakeTaskInstance,
    scenes: Scenes,
    limits: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(OrderTooLargeError, match=message) as caught:
        runner.run(create(scenes, **limits), ti)
    assert isinstance(caught.value, AirflowFailException), "a retry would find the same"
    assert planet.orders == {}
    assert not [one for one in planet.requests if one.method == "POST" and one.path.endswith("/orders/v2")]
    assert ti.xcoms == {}


def test_the_estimate_is_logged_and_handed_on(
    planet: Sandbox, runner: Runner, ti: FakeTaskInstance, scenes: Scenes, log: pytest.LogCaptureFixture
) -> None:
    task = create(scenes, max_items=2, max_area_km2=1e6)
    runner.run(task, ti)
    estimate = ti.xcoms["order"]["estimate"]
    assert estimate.keys() == {"scenes", "area_km2", "clipped", "unknown_items"}
    assert (estimate["scenes"], estimate["clipped"], estimate["unknown_items"]) == (2, False, 0)
    assert estimate["area_km2"] > 100
    assert f"This order: 2 scenes, {estimate['area_km2']:,.1f} km² (whole footprints)." in log.messages


def test_what_is_reused_is_not_refused(planet: Sandbox, runner: Runner, scenes: Scenes) -> None:
    """It is paid for already."""
    first = runner.run(create(scenes))
    assert runner.run(create(scenes, max_items=1)) == first


def test_an_estimate_that_fails_stops_no_order_without_limits(
    planet: Sandbox, runner: Runner, ti: FakeTaskInstance, scenes: Scenes, log: pytest.LogCaptureFixture
) -> None:
    planet.faults.add(Fault(kind="status", status=400, **SEARCH))
    runner.run(create(scenes), ti)
    assert len(planet.orders) == 1
    assert ti.xcoms["order"]["estimate"] is None
    assert [line for line in log.messages if "can't be estimated" in line]


def test_but_one_with_limits(planet: Sandbox, runner: Runner, scenes: Scenes) -> None:
    planet.faults.add(Fault(kind="status", status=400, **SEARCH))
    with pytest.raises(BadRequestError):
        runner.run(create(scenes, max_items=5))
    assert planet.orders == {}


@pytest.mark.parametrize("limits", [{}, {"max_area_km2": 1e6}])
def test_a_footprint_that_is_none(
    planet: Sandbox, runner: Runner, scenes: Scenes, limits: dict[str, Any]
) -> None:
    page = {
        "features": [
            {
                "id": scenes.item_ids[0],
                "geometry": {"type": "Nonsense"},
                "properties": {"item_type": "PSScene"},
            }
        ],
        "_links": {},
    }
    planet.faults.add(Fault(kind="status", status=200, body=json.dumps(page), **SEARCH))
    if limits:
        with pytest.raises(OrderTooLargeError, match="can't be estimated"):
            runner.run(create(scenes, **limits))
    else:
        runner.run(create(scenes))
    assert len(planet.orders) == (not limits)


def test_a_clip_lets_large_scenes_pass(planet: Sandbox, runner: Runner, scenes: Scenes) -> None:
    item = planet.catalogue.get("PSScene", scenes.item_ids[0])
    assert item is not None
    [ring] = item.geometry["coordinates"]
    x, y = (sum(axis) / (len(ring) - 1) for axis in zip(*ring[1:], strict=True))
    d = 0.005
    area = [[x - d, y - d], [x + d, y - d], [x + d, y + d], [x - d, y + d], [x - d, y - d]]
    one = Scenes(scenes.item_type, scenes.item_ids[:1])
    tools = [order_tools.clip({"type": "Polygon", "coordinates": [area]})]
    with pytest.raises(OrderTooLargeError):
        runner.run(create(one, max_area_km2=3))
    runner.run(create(one, max_area_km2=3, tools=tools))
    assert len(planet.orders) == 1


def test_a_clip_area_off_the_scene_is_refused_before_the_order(
    planet: Sandbox, runner: Runner, ti: FakeTaskInstance, scenes: Scenes
) -> None:
    ring = [[0, -80], [1, -80], [1, -79], [0, -79], [0, -80]]
    tools = [order_tools.clip({"type": "Polygon", "coordinates": [ring]})]
    with pytest.raises(InvalidInputError, match="overlaps none of the order's items") as caught:
        runner.run(create(scenes, tools=tools), ti)
    assert isinstance(caught.value, AirflowFailException)
    assert planet.orders == ti.xcoms == {}


@pytest.mark.parametrize("inner", [-0.01, 0.0])
def test_nested_fields_of_a_clip_area_are_no_hole(
    planet: Sandbox, runner: Runner, scenes: Scenes, inner: float
) -> None:
    item = planet.catalogue.get("PSScene", scenes.item_ids[0])
    assert item is not None
    x, y = item.shape.centroid.coords[0]

    def field(d: float) -> list[list[list[float]]]:
        return [[[x - d, y - d], [x + d, y - d], [x + d, y + d], [x - d, y + d], [x - d, y - d]]]

    fields = {"type": "MultiPolygon", "coordinates": [field(0.03), field(0.03 + inner)]}
    one = Scenes(scenes.item_type, scenes.item_ids[:1])
    alone = [order_tools.clip({"type": "Polygon", "coordinates": field(0.03)})]
    runner.run(create(one, max_area_km2=40, tools=alone))
    with pytest.raises(OrderTooLargeError, match="more than max_area_km2=30"):
        runner.run(create(one, max_area_km2=30, tools=[order_tools.clip(fields)]))
    assert len(planet.orders) == 1
