"""How much Planet takes of an account: the builders' bounds, and the session's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from client_support import ORDERABLE, session_of
from planet_provider.builders import (
    filters,
    order_request,
    spec,
    tools,
)
from planet_provider.client.api import data
from planet_provider.client.config import PlanetConfig
from planet_provider.exceptions import ConfigurationError, InvalidInputError
from planet_provider.ordering.place import place_order
from planet_provider.sandbox import Sandbox

ITEMS = {"items": ["a"], "item_type": "PSScene", "product_bundle": "visual"}


def circle(vertices: int) -> dict[str, Any]:
    """Return a polygon with as many vertices, the closing one included, that covers the catalogue's middle."""
    angles = [2 * math.pi * index / (vertices - 1) for index in range(vertices - 1)]
    ring = [[80 * math.cos(angle), 60 * math.sin(angle)] for angle in angles]
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}


def test_what_a_builder_has_taken_can_be_joined() -> None:
    area = filters.geometry_filter(circle(2001), max_vertices=5000)
    clear = filters.std_quality_filter()
    for joined in (
        filters.and_filter(area, clear),
        filters.or_filter(clear, area),
        filters.not_filter(area),
        filters.combine(area),
        filters.criteria(filters.and_filter(area, clear))["search_filter"],
    ):
        assert str(area["config"]["coordinates"][0][1000]) in str(joined)
    clip = tools.clip(circle(2001), max_vertices=5000)
    assert order_request.build("n", **ITEMS, tools=[clip])["tools"] == [clip]


def test_what_no_builder_has_seen_is_bounded() -> None:
    clip = tools.clip(circle(2001), max_vertices=5000)
    order = order_request.build("n", **ITEMS, tools=[clip])
    for refused in (
        lambda: order_request.build("n", **ITEMS, tools=[clip], max_vertices=2000),
        lambda: order_request.validate(order),
        lambda: tools.clip(circle(2001)),
    ):
        with pytest.raises(
            InvalidInputError, match=r"coordinates=2001: are more vertices than.*max_vertices"
        ):
            refused()
    assert order_request.validate(order, max_vertices=2001) is None


@pytest.mark.parametrize(
    ("build", "bound"),
    [
        (lambda: filters.geometry_filter(circle(4189)), 1500),
        (lambda: filters.combine(geometry=circle(4189)), 1500),
        (lambda: filters.criteria(geometry=circle(4189)), 1500),
        (lambda: filters.criteria(geometry=circle(4189), max_vertices=4188), 4188),
        (lambda: filters.search_filter(filters.geometry_filter(circle(4189), max_vertices=5000)), 1500),
    ],
)
def test_a_search_is_only_warned_of(
    build: Callable[[], Any], bound: int, caplog: pytest.LogCaptureFixture
) -> None:
    spec.warn.cache_clear()
    assert str(circle(4189)["coordinates"][0][2000]) in str(build())
    [message] = caplog.messages
    assert f"coordinates=4189 is more vertices than the {bound} of Planet's orders" in message


def test_what_is_joined_is_not_warned_of_again(caplog: pytest.LogCaptureFixture) -> None:
    spec.warn.cache_clear()
    area = filters.geometry_filter(circle(2001), max_vertices=2001)
    filters.not_filter(filters.and_filter(area, area))
    filters.combine(area)
    filters.criteria(area, max_vertices=2001)
    assert caplog.messages == []


@pytest.mark.parametrize("name", ["max_order_items", "max_vertices"])
@pytest.mark.parametrize("value", [0, -1, True, 1.5, "10", None])
def test_the_settings_are_whole_numbers(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}={value!r}: must be a whole number"):
        PlanetConfig(api_key="PLAK-key", **{name: value})


@pytest.mark.planet_sandbox(rate_limits=False, max_order_items=600)
def test_a_session_orders_what_its_account_may(planet_sandbox: Sandbox) -> None:
    with session_of(planet_sandbox, max_order_items=600) as session:
        found: list[str] = []
        for page in session.pages(data.quick_search(["PSScene"], ORDERABLE)):
            found += [item["id"] for item in page]
        ids = found[:501]
        assert len(ids) == 501
        request = order_request.build(
            "many", items=ids, item_type="PSScene", product_bundle="analytic_udm2", max_items=600
        )
        placed = place_order(session, request)
        assert len(placed.order["products"][0]["item_ids"]) == 501
    with (
        session_of(planet_sandbox) as session,
        pytest.raises(InvalidInputError, match=r"501 items are more than the 500.*max_order_items"),
    ):
        place_order(session, {**request, "name": "again"})
