"""What the Orders API refuses, and with which words."""

from __future__ import annotations

from typing import Any

import pytest
from plain_http import DOWNLOADABLE, Api

pytestmark = pytest.mark.planet_sandbox(rate_limits=False, scene_pixels=64)

S3 = {"bucket": "b", "aws_region": "r", "aws_access_key_id": "k", "aws_secret_access_key": "s"}


@pytest.fixture
def body(api: Api) -> dict[str, Any]:
    return api.request_body()


def refused(api: Api, body: dict[str, Any]) -> dict[str, list[str]]:
    """Messages by field."""
    answer = api.post(body)
    assert answer.status_code == 400, answer.text
    payload = answer.json()
    assert payload["general"] == [{"message": "Unable to accept order"}]
    assert api.sandbox.orders == {}
    return {name: [one["message"] for one in messages] for name, messages in payload["field"].items()}


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"name": ""}, "Name", "required"),
        ({"name": 7}, "Name", "required"),
        ({"products": []}, "Products", "non-empty"),
        ({"products": "x"}, "Products", "non-empty"),
        ({"products": ["x"]}, "Products", "object"),
        ({"products": [{}]}, "Products", "item_type"),
        ({"order_type": "most"}, "order_type", "partial"),
        ({"source_type": "basemap"}, "source_type", "scenes, basemaps"),
        ({"tools": "clip"}, "Tools", "array"),
        ({"tools": [{"sharpen": {}}]}, "Tools", "sharpen"),
        ({"tools": [{"clip": {}, "toar": {}}]}, "Tools", "one key"),
        ({"tools": [{"file_format": {"format": "PNG"}}]}, "Tools", "file_format"),
        ({"tools": [{"clip": {"aoi": {"type": "Point", "coordinates": [0, 0]}}}]}, "Tools", "clip"),
        ({"delivery": "s3"}, "Delivery", "object"),
        ({"delivery": {"ftp": {}}}, "Delivery", "ftp"),
        ({"delivery": {"amazon_s3": {"bucket": "b"}}}, "Delivery", "aws_region"),
        ({"delivery": {"amazon_s3": {**S3, "path": "p"}}}, "Delivery", "amazon_s3.path"),
        ({"delivery": {"amazon_s3": {**S3, "bucket": ""}}}, "Delivery", "amazon_s3.bucket"),
        ({"delivery": {"amazon_s3": S3, "destination": {"ref": "r"}}}, "Delivery", "only one"),
        ({"delivery": {"archive_type": "rar"}}, "Delivery", "zip"),
        ({"delivery": {"single_archive": True}}, "Delivery", "archive_type"),
        ({"delivery": {"archive_type": "zip", "archive_filename": "{{date}}"}}, "Delivery", "date"),
        ({"notifications": {"sms": 1}}, "Notifications", "webhook"),
        ({"notifications": {"webhook": {"url": "ftp://x"}}}, "Notifications", "url"),
        ({"notifications": {"email": "yes"}}, "Notifications", "email"),
    ],
)
def test_refused(api: Api, body: dict[str, Any], change: dict[str, Any], field: str, words: str) -> None:
    messages = refused(api, {**body, **change})
    assert messages.keys() == {field}
    assert words in " ".join(messages[field])


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"item_type": "Nonsense"}, "Products", "Nonsense"),
        ({"product_bundle": "nonsense"}, "Products", "nonsense"),
        ({"product_bundle": "panchromatic"}, "Products", "not available"),
        ({"product_bundle": "analytic_udm2,nonsense"}, "Products", "nonsense"),
        ({"item_ids": []}, "Products", "item_ids"),
        ({"item_ids": ["20000101_000000_0000"]}, "Details", "does not exist"),
    ],
)
def test_products(api: Api, body: dict[str, Any], change: dict[str, Any], field: str, words: str) -> None:
    messages = refused(api, {**body, "products": [{**body["products"][0], **change}]})
    assert messages.keys() == {field}
    assert words in " ".join(messages[field])


def test_every_fault_is_named_at_once(api: Api, body: dict[str, Any]) -> None:
    messages = refused(api, {**body, "name": "", "delivery": {"ftp": {}}, "order_type": "x"})
    assert messages.keys() == {"Name", "Delivery", "order_type"}


@pytest.mark.planet_sandbox(max_order_items=2)
def test_too_many_items(api: Api) -> None:
    assert "2 items, not 3" in refused(api, api.request_body(items=3))["Products"][0]
    assert api.post(api.request_body(items=2)).status_code == 202


@pytest.mark.parametrize("item_type", ["SkySatCollect", "TanagerScene", "PelicanScene", "PSScene"])
def test_items_in_an_archive(api: Api, body: dict[str, Any], item_type: str) -> None:
    def messages(count: int, delivery: dict[str, Any]) -> str:
        ids = [f"20240101_000000_ssc1_u{number:04d}" for number in range(count)]
        product = {"item_ids": ids, "item_type": item_type, "product_bundle": "analytic"}
        return " ".join(
            refused(api, {**body, "products": [product], "delivery": delivery}).get("Delivery", [])
        )

    limit = f"A zipped order may hold 50 items of {item_type}, not 51"
    assert messages(51, {"archive_type": "zip"}) == ("" if item_type == "PSScene" else limit)
    assert messages(50, {"archive_type": "zip"}) == messages(51, {}) == ""


def find(api: Api, search_filter: dict[str, Any]) -> str:
    search = {"item_types": ["PSScene"], "filter": search_filter}
    answer = api.http.post("/data/v1/quick-search", json=search, params={"_page_size": 1})
    return str(answer.json()["features"][0]["id"])


def without(asset: str) -> dict[str, Any]:
    """Items that may be downloaded but lack an asset."""
    lacking = {"type": "NotFilter", "config": {"type": "AssetFilter", "config": [asset]}}
    return {"type": "AndFilter", "config": [DOWNLOADABLE, lacking]}


def test_no_permission(api: Api, body: dict[str, Any]) -> None:
    forbidden = {"type": "PermissionFilter", "config": ["assets:download"]}
    item_id = find(
        api,
        {
            "type": "AndFilter",
            "config": [
                {"type": "AssetFilter", "config": ["ortho_analytic_4b"]},
                {"type": "AssetFilter", "config": ["ortho_udm2"]},
                {"type": "NotFilter", "config": forbidden},
            ],
        },
    )
    messages = refused(api, {**body, "products": [{**body["products"][0], "item_ids": [item_id]}]})
    assert f"no access to assets: PSScene/{item_id}/[" in messages["Details"][0]


class TestLackingBundle:
    asset, bundle = "ortho_analytic_8b", "analytic_8b_udm2"

    def product(self, api: Api, *, bundle: str, good: bool) -> dict[str, Any]:
        lacking = find(api, without(self.asset))
        having = {"type": "PermissionFilter", "config": [f"assets.{self.asset}:download"]}
        ids = [find(api, having), lacking] if good else [lacking]
        return {"item_ids": ids, "item_type": "PSScene", "product_bundle": bundle}

    def test_refused(self, api: Api) -> None:
        product = self.product(api, bundle=self.bundle, good=True)
        messages = refused(api, {"name": "x", "products": [product]})
        assert product["item_ids"][1] in messages["Products"][0]

    def test_partial_goes_without(self, api: Api) -> None:
        product = self.product(api, bundle=self.bundle, good=True)
        answer = api.post({"name": "x", "products": [product], "order_type": "partial"})
        api.finish()
        order = api.get(answer.json()["id"])
        assert order["state"] == "partial"
        assert product["item_ids"][1] in order["error_hints"][0]

    def test_partial_of_nothing_is_refused(self, api: Api) -> None:
        product = self.product(api, bundle=self.bundle, good=False)
        refused(api, {"name": "x", "products": [product], "order_type": "partial"})

    def test_fallback(self, api: Api) -> None:
        product = self.product(api, bundle=f"{self.bundle},analytic_udm2", good=True)
        answer = api.post({"name": "x", "products": [product]})
        assert answer.status_code == 202
        api.finish()
        assert api.get(answer.json()["id"])["state"] == "success"


def test_a_clip_beside_the_item_fails_when_it_is_processed(api: Api, body: dict[str, Any]) -> None:
    ring = [[0, -80], [1, -80], [1, -79], [0, -79], [0, -80]]
    aoi = {"type": "Polygon", "coordinates": [ring]}
    answer = api.post({**body, "tools": [{"clip": {"aoi": aoi}}]})
    assert answer.status_code == 202
    api.finish()
    order = api.get(answer.json()["id"])
    assert order["state"] == "failed"
    assert "intersect" in order["error_hints"][0]


@pytest.mark.parametrize("first_look", ["get", "list"])
def test_tools_that_fail_on_an_image(api: Api, body: dict[str, Any], first_look: str) -> None:
    tools = [{"bandmath": {"b1": "b9 / b1"}}]
    answer = api.post({**body, "tools": tools})
    assert answer.status_code == 202, answer.text
    order_id = answer.json()["id"]
    api.finish()
    if first_look == "list":
        [row] = api.http.get("/compute/ops/orders/v2").json()["orders"]
        assert row["state"] == "failed"
    order = api.get(order_id)
    assert (order["state"], order["_links"]["results"]) == ("failed", None)
    assert order["error_hints"]


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[]"])
def test_bad_json(api: Api, content: bytes) -> None:
    answer = api.http.post("/compute/ops/orders/v2", content=content)
    assert answer.status_code == 400
    assert "JSON" in answer.json()["general"][0]["message"]
