"""Talking to the sandbox over plain HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from planet_provider.sandbox import Sandbox

DOWNLOADABLE = {
    "type": "AndFilter",
    "config": [
        {"type": "PermissionFilter", "config": ["assets.ortho_analytic_4b:download"]},
        {"type": "StringInFilter", "field_name": "quality_category", "config": ["standard"]},
    ],
}
BUNDLE = "analytic_udm2"


def in_one_piece(feature: dict[str, Any]) -> bool:
    """Tell whether an item's footprint is a polygon: at the antimeridian it is cut in two."""
    return bool(feature["geometry"]["type"] == "Polygon")


@dataclass
class Api:
    """A client of a sandbox, with the requests tests make most."""

    sandbox: Sandbox
    http: httpx.Client

    def items(self, count: int) -> list[str]:
        """Ids of items that can be ordered: the newest, whose footprints are polygons.

        At some times of the day the newest scene of all lies across the antimeridian.
        """
        answer = self.http.post(
            "/data/v1/quick-search",
            json={"item_types": ["PSScene"], "filter": DOWNLOADABLE},
            params={"_page_size": min(250, 2 * count + 8)},
        )
        features = answer.raise_for_status().json()["features"]
        ids = [feature["id"] for feature in features if in_one_piece(feature)][:count]
        assert len(ids) == count
        return ids

    def request_body(self, name: str = "an order", items: int = 1, **rest: Any) -> dict[str, Any]:
        """Body of a request that places a valid order."""
        product = {"item_ids": self.items(items), "item_type": "PSScene", "product_bundle": BUNDLE}
        return {"name": name, "products": [product], **rest}

    def post(self, body: dict[str, Any]) -> httpx.Response:
        """Answer to the placing of an order."""
        return self.http.post("/compute/ops/orders/v2", json=body)

    def place(self, name: str = "an order", items: int = 1, **rest: Any) -> str:
        """Id of a new order."""
        answer = self.post(self.request_body(name, items, **rest))
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def get(self, order_id: str) -> dict[str, Any]:
        """An order."""
        answer: dict[str, Any] = self.http.get(f"/compute/ops/orders/v2/{order_id}").raise_for_status().json()
        return answer

    def finish(self) -> None:
        """Let every order come to its end."""
        config = self.sandbox.config
        self.sandbox.clock.advance(config.queued_seconds + config.running_seconds + config.list_lag_seconds)

    def results(self, **rest: Any) -> list[dict[str, Any]]:
        """Results of a new order that succeeded."""
        order_id = self.place(**rest)
        self.finish()
        results: list[dict[str, Any]] = self.get(order_id)["_links"]["results"]
        return results

    def signed_url(self) -> str:
        """Signed URL of an image at the storage origin."""
        image = next(result for result in self.results() if result["name"].endswith("AnalyticMS.tif"))
        answer = httpx.get(image["location"])
        assert answer.status_code == 302
        return answer.headers["Location"]

    def listed(self, **params: Any) -> list[str]:
        """Names on the first page of a list of orders."""
        answer = self.http.get("/compute/ops/orders/v2", params=params).raise_for_status()
        return [order["name"] for order in answer.json()["orders"]]


Connect = Callable[[Sandbox], Api]
