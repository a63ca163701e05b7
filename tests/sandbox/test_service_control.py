"""The sandbox's own HTTP interface."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from plain_http import Api

from planet_provider.client.api.links import order_page
from planet_provider.sandbox import Fault, Sandbox

pytestmark = pytest.mark.planet_sandbox(rate_limits=False, scene_pixels=64)

ORDERS = "/compute/ops/orders/v2"


@pytest.fixture
def control(planet_sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{planet_sandbox.url}/sandbox/v1") as client:
        yield client


def test_health(control: httpx.Client) -> None:
    body = control.get("/health").json()
    assert (body["status"], body["speed"]) == ("ok", 1.0)
    assert body["items"] == 2400


def test_faults(api: Api, control: httpx.Client) -> None:
    fault = Fault(kind="status", path="/orders", status=418, headers={"X-Test": "1"}, times=2)
    answer = control.post("/faults", json=fault.to_json())
    assert answer.status_code == 201
    assert api.http.get(ORDERS).status_code == 418
    assert api.http.get(ORDERS).headers["X-Test"] == "1"
    assert control.get("/faults").json() == {"faults": [{**fault.to_json(), "hits": 2}]}
    assert api.http.get(ORDERS).status_code == 200
    assert control.delete("/faults").status_code == 204
    assert control.get("/faults").json() == {"faults": []}


def test_several_faults(api: Api, control: httpx.Client) -> None:
    control.post("/faults", json={"faults": [{"kind": "status", "status": 500}, {"kind": "drop"}]})
    assert api.http.get(ORDERS).status_code == 500
    with pytest.raises(httpx.RemoteProtocolError):
        api.http.get(ORDERS)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({}, "kind"),
        ({"kind": "nonsense"}, "nonsense"),
        ({"kind": "drop", "often": True}, "often"),
        ({"kind": "drop", "times": "x"}, "times"),
        ({"faults": ["x"]}, "object"),
    ],
)
def test_bad_faults(control: httpx.Client, fault: Any, words: str) -> None:
    answer = control.post("/faults", json=fault)
    assert answer.status_code == 400
    assert words in answer.text
    assert control.get("/faults").json() == {"faults": []}


def test_requests_without_secrets(api: Api, control: httpx.Client) -> None:
    location = api.results()[0]["location"]
    httpx.get(location, follow_redirects=True)
    httpx.get(f"{api.sandbox.url}{ORDERS}?api_key={api.sandbox.api_key}")
    answer = control.get("/requests")
    recorded = answer.json()["requests"]
    assert [one["method"] for one in recorded[:3]] == ["POST", "POST", "GET"]
    assert {one["origin"] for one in recorded} == {"api", "storage"}
    assert recorded[0]["authorized"] is True
    assert recorded[0]["body_bytes"] > 0
    assert recorded[-1]["status"] == 200
    signature = next(one.query["Signature"] for one in api.sandbox.requests if one.origin == "storage")
    for secret in (api.sandbox.api_key, location.partition("token=")[2], signature):
        assert secret not in answer.text
    assert control.delete("/requests").status_code == 204
    assert api.sandbox.requests == []


def test_bodies_without_secrets(api: Api, control: httpx.Client) -> None:
    secret = {
        "bucket": "b",
        "aws_region": "r",
        "aws_access_key_id": "KEY-ID",
        "aws_secret_access_key": "SECRET",
    }
    api.place("with a secret", delivery={"amazon_s3": secret})
    config = api.sandbox.config
    api.http.post("/v0/auth/login", json={"email": config.email, "password": config.password})
    answer = control.get("/requests")
    *_, order, login = answer.json()["requests"]
    assert order["json"]["name"] == "with a secret"
    assert order["json"]["delivery"] == {"amazon_s3": {"bucket": "b", "aws_region": "r"}}
    assert login["json"] is None
    assert not [text for text in ("KEY-ID", "SECRET", config.password) if text in answer.text]


def test_what_python_sees(api: Api) -> None:
    body = api.request_body("recorded")
    api.post(body)
    record = api.sandbox.requests[-1]
    assert (record.origin, record.method, record.path, record.status) == ("api", "POST", ORDERS, 202)
    assert b'"recorded"' in record.body
    assert record.headers["content-type"] == "application/json"
    assert record.at > 0


def test_orders(api: Api, control: httpx.Client) -> None:
    order_id = api.place("seen by all")
    orders = control.get("/orders").json()["orders"]
    assert orders.keys() == {order_id}
    assert orders == api.sandbox.orders
    assert (orders[order_id]["state"], orders[order_id]["user_id"]) == ("queued", 1)


def test_outcomes(api: Api, control: httpx.Client) -> None:
    assert control.post("/outcomes", json={"state": "failed", "error_hints": ["no"]}).status_code == 204
    order_id = api.place()
    api.finish()
    assert api.get(order_id)["error_hints"] == ["no"]
    for bad in ({}, {"state": ""}, {"state": "failed", "when": "now"}, {"state": "x", "times": 0}):
        assert control.post("/outcomes", json=bad).status_code == 400


def test_clock(control: httpx.Client) -> None:
    def now(body: dict[str, Any]) -> datetime:
        return datetime.fromisoformat(body["now"].replace("Z", "+00:00"))

    before = now(control.get("/clock").json())
    body = control.post("/clock", json={"advance": 3600}).json()
    assert 3600 <= (now(body) - before).total_seconds() < 3660
    assert control.post("/clock", json={"speed": 10}).json()["speed"] == 10


@pytest.mark.parametrize(
    "body", [{}, {"advance": -1}, {"speed": 0}, {"advance": "x"}, {"now": 1}, {"advance": 1e99}]
)
def test_bad_clock(control: httpx.Client, body: dict[str, Any]) -> None:
    assert control.post("/clock", json=body).status_code == 400


def test_reset(api: Api, control: httpx.Client) -> None:
    api.place()
    api.sandbox.faults.add(Fault(kind="status", times=None))
    api.sandbox.clock.advance(1e6)
    assert control.post("/reset").status_code == 204
    assert (api.sandbox.orders, api.sandbox.requests) == ({}, [])
    assert api.http.get(ORDERS).status_code == 200


def test_the_page_that_links_to_an_order_lead_to(api: Api) -> None:
    order_id = api.place("<b>weekly</b>")
    page = urlsplit(order_page(order_id, api.sandbox.url))
    answer = httpx.get(f"{api.sandbox.url}{page.path}")
    assert answer.headers["Content-Type"].startswith("text/html")
    assert f'<tr id="{page.fragment}"><td>&lt;b&gt;weekly&lt;/b&gt;<td>{order_id}<td>queued' in answer.text
    assert page.path not in {request.path for request in api.sandbox.requests}


def test_overview(api: Api) -> None:
    order_id = api.place("shown to people")
    text = httpx.get(f"{api.sandbox.url}/").text
    assert order_id in text
    assert "shown to people" in text
    assert api.sandbox.storage_url in text
    assert all(request.path != "/" for request in api.sandbox.requests)
