"""Each endpoint against the sandbox, and what is refused before any request."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from client_support import ANY, NO_ORDER, Connect, item_ids, order_request
from planet_provider.client.api import data, orders
from planet_provider.client.call import Call
from planet_provider.client.config import DOCUMENTED_RATES
from planet_provider.client.states import OrderState
from planet_provider.exceptions import (
    InvalidInputError,
    NotFoundError,
    TransportError,
    UnexpectedResponseError,
)
from planet_provider.sandbox import Fault, Sandbox

pytestmark = pytest.mark.planet_sandbox(rate_limits=False, scene_pixels=64)

SEARCH_ID = uuid.UUID(NO_ORDER).hex


class TestData:
    @pytest.mark.guide("search-quick")
    def test_quick_search(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        call = data.quick_search(
            ["PSScene"], ANY, geometry=square(), name="mine", sort="acquired asc", page_size=50
        )
        found = [item for page in connect(planet_sandbox).pages(call) for item in page]
        acquired = [item["properties"]["acquired"] for item in found]
        assert acquired == sorted(acquired)
        request = planet_sandbox.requests[0]
        assert dict(request.query) == {"_sort": "acquired asc", "_page_size": "50"}
        assert b'"name":"mine"' in request.body
        assert b'"geometry"' in request.body

    def test_saved_searches(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        client = connect(planet_sandbox)
        saved = client.send(data.create_search("weekly", ["PSScene"], ANY, enable_email=True))
        assert client.send(data.get_search(saved["id"]))["name"] == "weekly"
        changed = client.send(data.update_search(saved["id"], "monthly", ["PSScene"], ANY))
        assert (changed["id"], changed["name"]) == (saved["id"], "monthly")
        client.pages(data.quick_search(["PSScene"], ANY, page_size=250))
        listed = [one["id"] for page in client.pages(data.list_searches(search_type="saved")) for one in page]
        assert listed == [saved["id"]]
        assert len([one for page in client.pages(data.list_searches(page_size=1)) for one in page]) == 2
        found = client.pages(data.run_search(saved["id"], sort="published asc"))
        assert sum(map(len, found)) > 250
        assert client.send(data.delete_search(saved["id"])) is None
        with pytest.raises(NotFoundError):
            client.send(data.get_search(saved["id"]))

    def test_a_search_is_not_saved_twice(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        client = connect(planet_sandbox)
        planet_sandbox.faults.add(Fault(kind="drop_after", method="POST", path="searches$"))
        with pytest.raises(TransportError):
            client.send(data.create_search("weekly", ["PSScene"], ANY))
        assert len(client.pages(data.list_searches(search_type="saved"))[0]) == 1

    @pytest.mark.guide("stats")
    def test_stats(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        client = connect(planet_sandbox)
        counted = client.send(data.stats(["PSScene"], ANY, "month"))
        found = client.pages(data.quick_search(["PSScene"], ANY))
        assert sum(bucket["count"] for bucket in counted["buckets"]) == sum(map(len, found))

    @pytest.mark.guide("item-get")
    @pytest.mark.guide("asset-get")
    @pytest.mark.guide("asset-activate")
    def test_items_and_assets(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        client = connect(planet_sandbox)
        [item_id] = item_ids(client)
        item = client.send(data.item("PSScene", item_id))
        assert item["id"] == item_id
        covered = client.send(data.coverage("PSScene", item_id, item["geometry"]))
        assert covered["status"] == "complete"
        assets = client.send(data.assets("PSScene", item_id))
        asset = assets["ortho_analytic_4b"]
        assert asset["status"] == "inactive"
        for _ in range(2):
            assert client.send(data.activate(asset["_links"]["activate"])) is None
        planet_sandbox.clock.advance(60)
        assert client.send(data.assets("PSScene", item_id))["ortho_analytic_4b"]["status"] == "active"
        assert client.send(data.activate(asset["_links"]["activate"])) is None

    @pytest.mark.parametrize("body", ["[]", '{"a": 7}', "7"])
    def test_assets_that_are_none(self, planet_sandbox: Sandbox, connect: Connect, body: str) -> None:
        planet_sandbox.faults.add(Fault(kind="status", status=200, body=body))
        with pytest.raises(UnexpectedResponseError):
            connect(planet_sandbox).send(data.assets("PSScene", "an_item"))

    @pytest.mark.parametrize(
        ("build", "field"),
        [
            (lambda: data.quick_search([], ANY), "item_types"),
            (lambda: data.quick_search(["../x"], ANY), "item_types[0]"),
            (lambda: data.quick_search(["PSScene"], ANY, sort="cloud_cover asc"), "sort"),
            (lambda: data.quick_search(["PSScene"], ANY, page_size=0), "page_size"),
            (lambda: data.quick_search(["PSScene"], ANY, page_size=251), "page_size"),
            (lambda: data.quick_search(["PSScene"], ANY, page_size="50"), "page_size"),
            (lambda: data.list_searches(page_size=-1), "page_size"),
            (lambda: data.run_search("not-a-uuid"), "search_id"),
            (lambda: data.get_search("../../x"), "search_id"),
            (lambda: data.delete_search(""), "search_id"),
            (lambda: data.stats(["PSScene"], ANY, "decade"), "interval"),
            (lambda: data.item("PSScene", "a/../b"), "item_id"),
            (lambda: data.item("PS/Scene", "a"), "item_type"),
            (lambda: data.assets("PSScene", ""), "item_id"),
        ],
    )
    def test_bad_input(self, build: Callable[[], Any], field: str) -> None:
        with pytest.raises(InvalidInputError) as caught:
            build()
        assert caught.value.field == field


class TestOrders:
    def test_from_placed_to_cancelled(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        client = connect(planet_sandbox)
        placed = client.send(orders.create(order_request(client, "weekly")))
        assert placed["state"] == "queued"
        assert client.send(orders.get(placed["id"].upper()))["name"] == "weekly"
        assert client.send(orders.stats())["user"] == {"queued_orders": 1, "running_orders": 0}
        assert client.send(orders.cancel(placed["id"]))["state"] == "cancelled"
        assert client.send(orders.get(placed["id"]))["state"] == "cancelled"

    @pytest.mark.guide("order-list")
    def test_lists(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        client = connect(planet_sandbox)
        request = order_request(client)
        placed = [client.send(orders.create({**request, "name": name})) for name in ("b 1", "a 2", "a 3")]

        def names(**filters: Any) -> list[str]:
            return [row["name"] for page in client.pages(orders.list_orders(**filters)) for row in page]

        assert names() == ["a 3", "a 2", "b 1"]
        assert names(page_size=1) == ["a 3", "a 2", "b 1"]
        assert names(name="a 2") == ["a 2"]
        assert names(name_contains="a") == ["a 3", "a 2"]
        assert names(sort_by="name ASC") == ["a 2", "a 3", "b 1"]
        assert names(created_on=f"{placed[1]['created_on']}/..") == ["a 3", "a 2"]
        assert names(last_modified=f"../{placed[1]['last_modified']}") == ["b 1"]
        assert names(hosting=True) == []
        assert names(hosting=False) == ["a 3", "a 2", "b 1"]
        assert names(destination_ref="pl:destinations/x") == []
        assert names(user_id="all") == ["a 3", "a 2", "b 1"]
        assert names(source_type="basemaps") == []
        client.send(orders.cancel(placed[0]["id"]))
        assert names(state="cancelled") == ["b 1"]
        assert names(state=OrderState.QUEUED) == ["a 3", "a 2"]
        assert names(state=[OrderState.QUEUED, "cancelled"]) == ["a 3", "a 2", "b 1"]

    def test_bulk_cancel(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        client = connect(planet_sandbox)
        request = order_request(client)
        ids = [client.send(orders.create(request))["id"] for _ in range(3)]
        result = client.send(orders.bulk_cancel([*ids[:2], NO_ORDER]))["result"]
        assert result["succeeded"]["count"] == 2
        assert [failure["order_id"] for failure in result["failed"]["failures"]] == [NO_ORDER]
        assert [planet_sandbox.orders[one]["state"] for one in ids] == ["cancelled", "cancelled", "queued"]

    @pytest.mark.parametrize(
        ("build", "field"),
        [
            (lambda: orders.bulk_cancel([]), "order_ids"),
            (lambda: orders.bulk_cancel(iter(())), "order_ids"),
            (lambda: orders.bulk_cancel([NO_ORDER, "x"]), "order_ids[1]"),
            (lambda: orders.get("../stats"), "order_id"),
            (lambda: orders.cancel(""), "order_id"),
            (lambda: orders.list_orders(state="done"), "state"),
            (lambda: orders.list_orders(state=["queued", None]), "state"),
            (lambda: orders.list_orders(page_size=0), "page_size"),
            (lambda: orders.list_orders(page_size="20"), "page_size"),
        ],
    )
    def test_bad_input(self, build: Callable[[], Any], field: str) -> None:
        with pytest.raises(InvalidInputError) as caught:
            build()
        assert caught.value.field == field


CALLS: list[tuple[Call[Any], str, bool]] = [
    (data.quick_search(["PSScene"], ANY), "data.other", True),
    (data.create_search("x", ["PSScene"], ANY), "data.other", False),
    (data.update_search(SEARCH_ID, "x", ["PSScene"], ANY), "data.other", True),
    (data.get_search(SEARCH_ID), "data.other", True),
    (data.list_searches(), "data.other", True),
    (data.run_search(SEARCH_ID), "data.other", True),
    (data.delete_search(SEARCH_ID), "data.other", True),
    (data.stats(["PSScene"], ANY, "day"), "data.other", True),
    (data.item("PSScene", "a"), "data.other", True),
    (data.coverage("PSScene", "a", {}), "data.other", True),
    (data.assets("PSScene", "a"), "data.other", True),
    (data.activate("https://api.planet.com/x"), "data.activate", True),
    (orders.create({"name": "x"}), "orders.create", False),
    (orders.get(NO_ORDER), "orders.get", True),
    (orders.list_orders(), "orders.list", True),
    (orders.cancel(NO_ORDER), "orders.cancel", True),
    (orders.bulk_cancel([NO_ORDER]), "orders.bulk_cancel", True),
    (orders.stats(), "orders.stats", True),
]


@pytest.mark.parametrize(
    ("call", "rate_class", "repeatable"), CALLS, ids=lambda value: getattr(value, "label", None)
)
def test_rate_class_and_repetition(call: Call[Any], rate_class: str, repeatable: bool) -> None:
    assert call.rate_class == rate_class
    assert rate_class in DOCUMENTED_RATES
    assert call.repeatable is repeatable


def test_a_malformed_link_has_a_label_too() -> None:
    assert data.activate("http://[::1").label == "GET (malformed link)"


def square() -> dict[str, Any]:
    ring = [[-180, -85], [180, -85], [180, 85], [-180, 85], [-180, -85]]
    return {"type": "Polygon", "coordinates": [ring]}
