"""Answers of another shape than Planet documents: an error of the tree where they are read."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from client_support import ANY, NO_ORDER
from planet_provider.client.api import data, orders
from planet_provider.client.call import Call
from planet_provider.client.http.responses import result
from planet_provider.exceptions import UnexpectedResponseError
from planet_provider.ordering.digest import same_products

SEARCH = data.quick_search(["PSScene"], ANY)
COVERAGE = data.coverage("PSScene", "x", {"type": "Point", "coordinates": [0, 0]})


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (orders.stats(), {"user": [1]}),
        (orders.stats(), {"organization": {"queued_orders": "many"}}),
        (orders.get(NO_ORDER), {"id": "a", "state": "success", "_links": []}),
        (orders.get(NO_ORDER), {"id": "a", "state": "success", "_links": {"results": {"a": 1}}}),
        (orders.get(NO_ORDER), {"id": "a", "state": "success", "_links": {"results": [7]}}),
        (orders.get(NO_ORDER), {"id": "a", "state": "success", "products": ["x"]}),
        (orders.get(NO_ORDER), {"id": "a", "state": "success", "products": [{"item_ids": 7}]}),
        (orders.get(NO_ORDER), {"id": "a", "state": "success", "products": [{"item_ids": [7]}]}),
        (orders.get(NO_ORDER), {"id": "a", "state": "success", "error_hints": 7}),
        (orders.get(NO_ORDER), {"id": "a", "state": "success", "tools": [None]}),
        (orders.get(NO_ORDER), {"id": ["a"], "state": "success"}),
        (orders.create({}), {"id": 7, "state": "queued"}),
        (orders.cancel(NO_ORDER), [7]),
        (orders.bulk_cancel([NO_ORDER]), "x"),
        (COVERAGE, ["clear"]),
        (COVERAGE, {"status": 7}),
        (COVERAGE, {"status": "complete", "clear_percent": "97"}),
        (data.assets("PSScene", "x"), {"a": {"_links": "x"}}),
        (data.assets("PSScene", "x"), {"a": {"status": 7}}),
        (data.assets("PSScene", "x"), {"a": {"_permissions": {}}}),
        (data.item("PSScene", "x"), {"id": "x"}),
        (data.stats(["PSScene"], ANY, "day"), {"buckets": [{"count": 1}]}),
        (data.stats(["PSScene"], ANY, "day"), {"buckets": [{"count": "1", "start_time": "x"}]}),
        (data.stats(["PSScene"], ANY, "day"), {"buckets": {"count": 1}}),
        (data.stats(["PSScene"], ANY, "day"), {"buckets": [], "interval": 7}),
        (SEARCH, {"features": [{"id": "x", "properties": {"item_type": "a"}, "geometry": 7}]}),
        (SEARCH, {"features": [{"id": "x", "properties": []}]}),
        (SEARCH, {"features": "x"}),
    ],
)
def test_an_answer_of_another_shape(call: Call[Any], body: Any) -> None:
    with pytest.raises(UnexpectedResponseError, match="cannot be understood"):
        result(call, httpx.Response(200, json=body))


@pytest.mark.parametrize("products", [7, [7], [{"item_ids": 7}], [{"item_ids": [7, "a"]}], "x", [None]])
def test_a_namesake_of_another_shape_is_not_the_order(products: Any) -> None:
    request = {"products": [{"item_type": "PSScene", "item_ids": ["a"], "product_bundle": "visual"}]}
    assert not same_products(request, {"products": products})
