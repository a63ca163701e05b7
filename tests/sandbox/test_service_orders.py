"""Orders: states over time, results, cancelling, limits, outcomes."""

from __future__ import annotations

import hashlib
import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from plain_http import Api

from planet_provider.sandbox import Outcome, products

pytestmark = pytest.mark.planet_sandbox(
    rate_limits=False, scene_pixels=64, queued_seconds=100, running_seconds=1000
)

S3_DELIVERY = {
    "amazon_s3": {
        "bucket": "a-bucket",
        "aws_region": "eu-central-1",
        "aws_access_key_id": "AKIAEXAMPLE",
        "aws_secret_access_key": "VERY-SECRET",
        "path_prefix": "scenes",
    }
}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


class TestStates:
    def test_answer_to_create(self, api: Api) -> None:
        body = api.request_body("fields", tools=[{"file_format": {"format": "COG"}}], order_type="partial")
        answer = api.post(body)
        order = answer.json()
        assert answer.status_code == 202
        assert order["_links"] == {"_self": f"{api.sandbox.url}/compute/ops/orders/v2/{order['id']}"}
        assert {name: order[name] for name in body} == body
        assert (order["state"], order["error_hints"]) == ("queued", [])
        assert order["created_on"] == order["last_modified"]

    def test_from_queued_to_success(self, api: Api) -> None:
        order_id = api.place()
        order = api.get(order_id)
        created = moment(order["created_on"])
        assert (order["state"], order["_links"]["results"]) == ("queued", None)
        api.sandbox.clock.advance(100)
        order = api.get(order_id)
        assert (order["state"], order["_links"]["results"]) == ("running", None)
        assert moment(order["last_modified"]) == created + timedelta(seconds=100)
        api.sandbox.clock.advance(1000)
        order = api.get(order_id)
        assert (order["state"], order["last_message"]) == ("success", "Manifest delivery completed")
        # The time of the transition, however late it is looked at.
        api.sandbox.clock.advance(5000)
        assert moment(api.get(order_id)["last_modified"]) == created + timedelta(seconds=1100)

    def test_speed(self, api: Api) -> None:
        order_id = api.place()
        api.sandbox.clock.speed = 1_000_000
        while (state := api.get(order_id)["state"]) != "success":
            assert state in ("queued", "running")

    @pytest.mark.parametrize("state", ["failed", "cancelled", "archived"])
    def test_other_ends(self, api: Api, state: str) -> None:
        api.sandbox.outcomes.add(name_contains="unlucky", state=state, error_hints=["because"])
        unlucky, other = api.place("an unlucky order"), api.place("an order")
        api.finish()
        order = api.get(unlucky)
        assert (order["state"], order["error_hints"]) == (state, ["because"])
        assert order["_links"]["results"] is None
        assert api.get(other)["state"] == "success"

    @pytest.mark.parametrize("state", ["queued", "running"])
    def test_orders_that_never_end(self, api: Api, state: str) -> None:
        api.sandbox.outcomes.add(Outcome(state=state))
        order_id = api.place()
        api.finish()
        assert api.get(order_id)["state"] == state

    @pytest.mark.planet_sandbox(order_outcome="failed", order_outcomes={"fine": "success"})
    def test_outcomes_of_the_configuration(self, api: Api) -> None:
        failed, fine = api.place("an order"), api.place("a fine order")
        api.finish()
        assert api.get(failed)["state"] == "failed"
        assert api.get(failed)["error_hints"]
        assert api.get(fine)["state"] == "success"

    def test_partial(self, api: Api) -> None:
        api.sandbox.outcomes.add(state="partial")
        order_id = api.place(items=3, order_type="partial")
        api.finish()
        order = api.get(order_id)
        items = order["products"][0]["item_ids"]
        names = " ".join(result["name"] for result in order["_links"]["results"])
        assert order["state"] == "partial"
        assert items[2] in order["error_hints"][0]
        assert [item in names for item in items] == [True, True, False]

    def test_only_an_order_that_allows_it_is_partial(self, api: Api) -> None:
        api.sandbox.outcomes.add(state="partial")
        full, single = api.place(items=2), api.place(items=1, order_type="partial")
        api.finish()
        assert api.get(full)["state"] == "failed"
        assert api.get(single)["state"] == "failed"

    def test_outcome_of_a_few_orders(self, api: Api) -> None:
        api.sandbox.outcomes.add(state="failed", times=1)
        first, second = api.place(), api.place()
        api.finish()
        assert [api.get(first)["state"], api.get(second)["state"]] == ["failed", "success"]

    def test_unknown_order(self, api: Api) -> None:
        missing = "00000000-0000-4000-8000-000000000000"
        answer = api.http.get(f"/compute/ops/orders/v2/{missing}")
        assert answer.status_code == 404
        assert missing in answer.json()["message"]


class TestResults:
    def test_files_are_those_of_the_manifest(self, api: Api) -> None:
        order_id = api.place(items=2)
        api.finish()
        results = api.get(order_id)["_links"]["results"]
        content = {
            result["name"]: httpx.get(result["location"], follow_redirects=True).content for result in results
        }
        manifest = httpx.Response(200, content=content.pop(f"{order_id}/manifest.json")).json()
        listed = {f"{order_id}/{file['path']}": file for file in manifest["files"]}
        assert content.keys() == listed.keys()
        assert all(
            any(item in name for name in content) for item in api.get(order_id)["products"][0]["item_ids"]
        )
        for name, file in listed.items():
            assert file["size"] == len(content[name])
            assert file["digests"]["md5"] == hashlib.md5(content[name]).hexdigest()
            assert file["digests"]["sha256"] == hashlib.sha256(content[name]).hexdigest()

    def test_every_get_mints_new_links(self, api: Api) -> None:
        order_id = api.place()
        api.finish()
        first = api.get(order_id)["_links"]["results"]
        second = api.get(order_id)["_links"]["results"]
        assert not {one["location"] for one in first} & {one["location"] for one in second}
        assert [one["name"] for one in first] == [one["name"] for one in second]
        assert {one["delivery"] for one in first} == {"success"}
        for one in (*first, *second):
            assert httpx.get(one["location"]).status_code == 302

    def test_links_expire(self, api: Api) -> None:
        order_id = api.place()
        api.finish()
        result = api.get(order_id)["_links"]["results"][0]
        left = (moment(result["expires_at"]) - api.sandbox.clock.now()).total_seconds()
        assert left == pytest.approx(api.sandbox.config.link_seconds, abs=5)
        api.sandbox.clock.advance(left)
        answer = httpx.get(result["location"])
        assert answer.status_code == 403
        renewed = api.get(order_id)["_links"]["results"][0]
        assert httpx.get(renewed["location"], follow_redirects=True).status_code == 200

    def test_links_need_no_key_and_lead_elsewhere(self, api: Api) -> None:
        answer = httpx.get(api.results()[0]["location"])
        assert answer.headers["Location"].startswith(api.sandbox.storage_url + "/")
        assert not api.sandbox.requests[-1].authorized

    @pytest.mark.parametrize("token", ["", "a.b.c", "nonsense"])
    def test_tokens_of_others(self, api: Api, token: str) -> None:
        assert httpx.get(f"{api.sandbox.url}/compute/ops/download/?token={token}").status_code == 401

    def test_many_readers_render_once(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        deliveries = []

        def deliver(order: dict[str, Any], *args: Any, **settings: Any) -> list[products.DeliveredFile]:
            deliveries.append(order["id"])
            return products_deliver(order, *args, **settings)

        products_deliver = products.deliver
        monkeypatch.setattr(products, "deliver", deliver)
        order_id = api.place(items=3)
        api.finish()
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: api.get(order_id), range(8)))
        assert deliveries == [order_id]
        assert len({len(answer["_links"]["results"]) for answer in answers}) == 1

    def test_archive(self, api: Api) -> None:
        delivery = {
            "archive_type": "zip",
            "single_archive": True,
            "archive_filename": "{{name}}_{{order_id}}.zip",
        }
        order_id = api.place("zipped", delivery=delivery)
        api.finish()
        order = api.get(order_id)
        results = {result["name"]: result["location"] for result in order["_links"]["results"]}
        assert results.keys() == {f"{order_id}/zipped_{order_id}.zip", f"{order_id}/manifest.json"}
        content = httpx.get(results[f"{order_id}/zipped_{order_id}.zip"], follow_redirects=True).content
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert archive.testzip() is None
            assert any(name.endswith("AnalyticMS.tif") for name in archive.namelist())

    def test_delivery_to_a_cloud(self, api: Api) -> None:
        answer = api.post(api.request_body(delivery=S3_DELIVERY))
        assert answer.status_code == 202
        order_id = answer.json()["id"]
        api.finish()
        order = api.get(order_id)
        assert order["state"] == "success"
        assert [one["name"] for one in order["_links"]["results"]] == [f"{order_id}/manifest.json"]
        shown = {"bucket": "a-bucket", "aws_region": "eu-central-1", "path_prefix": "scenes"}
        assert order["delivery"]["amazon_s3"] == shown
        listed = api.http.get("/compute/ops/orders/v2").text
        for text in (answer.text, str(order), listed, str(api.sandbox.orders)):
            assert "VERY-SECRET" not in text
            assert "AKIAEXAMPLE" not in text


class TestDeliveriesThatCannotBeMade:
    @pytest.mark.parametrize("look", ["list", "get"])
    def test_the_order_fails_and_lists_go_on(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, look: str
    ) -> None:
        def deliver(order: dict[str, Any], *args: Any, **settings: Any) -> list[products.DeliveredFile]:
            if order["name"] == "broken":
                raise RuntimeError("no such pixels")
            return products_deliver(order, *args, **settings)

        products_deliver = products.deliver
        monkeypatch.setattr(products, "deliver", deliver)
        tools = [{"file_format": {"format": "COG"}}]
        fine, broken = api.place("fine", tools=tools), api.place("broken", tools=tools)
        api.finish()
        if look == "list":
            listed = api.http.get("/compute/ops/orders/v2").raise_for_status().json()["orders"]
            assert {order["name"]: order["state"] for order in listed} == {
                "fine": "success",
                "broken": "failed",
            }
        order = api.get(broken)
        assert order["state"] == "failed"
        assert order["_links"]["results"] is None
        assert order["error_hints"] == ["The order could not be processed: RuntimeError: no such pixels"]
        assert api.get(fine)["state"] == "success"


class TestCancel:
    url = "/compute/ops/orders/v2"
    bulk = "/compute/ops/bulk/orders/v2/cancel"

    def test_queued(self, api: Api) -> None:
        order_id = api.place()
        api.sandbox.clock.advance(10)
        answer = api.http.put(f"{self.url}/{order_id}")
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        api.finish()
        order = api.get(order_id)
        assert order["state"] == "cancelled"
        waited = moment(order["last_modified"]) - moment(order["created_on"])
        assert waited.total_seconds() == pytest.approx(10, abs=5)

    @pytest.mark.parametrize("seconds", [100, 1100])
    def test_too_late(self, api: Api, seconds: float) -> None:
        order_id = api.place()
        api.sandbox.clock.advance(seconds)
        answer = api.http.put(f"{self.url}/{order_id}")
        assert answer.status_code == 409
        assert answer.json() == {"message": "Order not in a cancellable state"}

    def test_several(self, api: Api) -> None:
        running = api.place()
        api.sandbox.clock.advance(100)
        queued, spared = api.place(), api.place()
        answer = api.http.post(self.bulk, json={"order_ids": [running, queued, "no-such-order"]})
        result = answer.json()["result"]
        assert result["succeeded"] == {"count": 1}
        assert result["failed"]["count"] == 2
        assert {one["order_id"] for one in result["failed"]["failures"]} == {running, "no-such-order"}
        states = [api.get(order_id)["state"] for order_id in (running, queued, spared)]
        assert states == ["running", "cancelled", "queued"]

    @pytest.mark.parametrize("body", [b"", b"{}"])
    def test_an_empty_body_cancels_all_that_is_queued(self, api: Api, body: bytes) -> None:
        running = api.place()
        api.sandbox.clock.advance(100)
        queued = [api.place(), api.place()]
        answer = api.http.post(self.bulk, content=body)
        assert answer.json()["result"]["succeeded"] == {"count": 2}
        assert api.get(running)["state"] == "running"
        assert {api.get(order_id)["state"] for order_id in queued} == {"cancelled"}

    def test_no_ids_cancel_nothing(self, api: Api) -> None:
        order_id = api.place()
        answer = api.http.post(self.bulk, json={"order_ids": []})
        assert answer.json()["result"]["succeeded"] == {"count": 0}
        assert api.get(order_id)["state"] == "queued"

    def test_stats(self, api: Api) -> None:
        api.place()
        api.sandbox.clock.advance(100)
        api.place()
        api.place()
        counts = {"queued_orders": 2, "running_orders": 1}
        answer = api.http.get("/compute/ops/stats/orders/v2")
        assert answer.json() == {"organization": counts, "user": counts}


class TestAdmission:
    @pytest.mark.planet_sandbox(max_queued_orders=2)
    def test_concurrency_limit(self, api: Api) -> None:
        api.place()
        api.sandbox.clock.advance(100)
        api.place()
        body = api.request_body()
        answer = api.post(body)
        assert answer.status_code == 409
        assert answer.json()["general"] == [{"message": "Order concurrency limit reached"}]
        api.sandbox.clock.advance(1000)
        assert api.post(body).status_code == 202

    @pytest.mark.planet_sandbox(quota_km2=1)
    def test_over_quota(self, api: Api) -> None:
        answer = api.post(api.request_body())
        assert answer.status_code == 403
        assert answer.json()["general"] == [{"message": "Download quota has been exceeded."}]
        assert api.sandbox.orders == {}

    @pytest.mark.planet_sandbox(quota_km2=1, over_quota_status=429)
    def test_over_quota_as_it_was(self, api: Api) -> None:
        answer = api.post(api.request_body())
        assert answer.status_code == 429
        assert "quota" in answer.text

    @pytest.mark.planet_sandbox(quota_km2=100_000)
    def test_charged_area(self, api: Api) -> None:
        api.place(items=2)
        [order] = api.sandbox.orders.values()
        assert 50 < order["area_km2"] < 2000

    @pytest.mark.planet_sandbox(quota_km2=100_000)
    def test_a_clip_is_charged_with_what_is_inside(self, api: Api) -> None:
        item: dict[str, Any] = api.http.get(f"/data/v1/item-types/PSScene/items/{api.items(1)[0]}").json()
        points = item["geometry"]["coordinates"][0]
        longitude = sum(x for x, _ in points[:4]) / 4
        latitude = sum(y for _, y in points[:4]) / 4
        ring = [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]
        square = [[longitude + 0.005 * x, latitude + 0.005 * y] for x, y in ring]
        aoi = {"type": "Polygon", "coordinates": [square]}
        api.place(tools=[{"clip": {"aoi": aoi}}])
        [order] = api.sandbox.orders.values()
        assert order["area_km2"] == pytest.approx(1.11**2, rel=0.5)
