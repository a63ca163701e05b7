"""Data API over plain HTTP: searches, pages, items, assets."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from plain_http import DOWNLOADABLE, Api

from planet_provider.sandbox import Fault

pytestmark = pytest.mark.planet_sandbox(rate_limits=False, scene_pixels=64, activation_seconds=100)

ALL: dict[str, Any] = {"type": "AndFilter", "config": []}
SEARCH = {"item_types": ["PSScene"], "filter": DOWNLOADABLE}


def pages(api: Api, search: dict[str, Any], **params: Any) -> list[list[dict[str, Any]]]:
    body = api.http.post("/data/v1/quick-search", json=search, params=params).raise_for_status().json()
    found = [body["features"]]
    while url := body["_links"].get("_next"):
        assert url.startswith(api.sandbox.url)
        body = api.http.get(url).raise_for_status().json()
        found.append(body["features"])
    return found


def ids(found: list[list[dict[str, Any]]]) -> list[str]:
    return [feature["id"] for page in found for feature in page]


class TestQuickSearch:
    def test_pages(self, api: Api) -> None:
        found = pages(api, SEARCH, _page_size=100)
        assert len(found) > 2
        assert {len(page) for page in found[:-1]} == {100}
        assert len(set(ids(found))) == len(ids(found))
        assert ids(pages(api, SEARCH)) == ids(found)

    @pytest.mark.planet_sandbox(empty_page_every=2)
    def test_empty_pages_lose_nothing(self, api: Api) -> None:
        found = pages(api, SEARCH, _page_size=100)
        assert [len(page) for page in found[:4]] == [100, 0, 100, 0]
        assert found[-1]
        api.sandbox.reset(rate_limits=False)
        assert ids(found) == ids(pages(api, SEARCH))

    @pytest.mark.parametrize("sort", ["published desc", "published asc", "acquired desc", "acquired asc"])
    def test_sort(self, api: Api, sort: str) -> None:
        field, direction = sort.split()
        found = [feature["properties"][field] for page in pages(api, SEARCH, _sort=sort) for feature in page]
        times = [datetime.fromisoformat(text.replace("Z", "+00:00")) for text in found]
        assert times == sorted(times, reverse=direction == "desc")

    def test_new_scenes_are_published_as_time_passes(self, api: Api) -> None:
        before = set(ids(pages(api, SEARCH)))
        api.sandbox.clock.advance(2 * 86_400)
        after = set(ids(pages(api, SEARCH)))
        assert before < after
        item_id = min(after - before)
        product = {"item_ids": [item_id], "item_type": "PSScene", "product_bundle": "analytic_udm2"}
        order_id = api.post({"name": "of a new scene", "products": [product]}).json()["id"]
        api.finish()
        assert any(item_id in result["name"] for result in api.get(order_id)["_links"]["results"])

    def test_pages_of_a_search_do_not_shift(self, api: Api) -> None:
        body = api.http.post("/data/v1/quick-search", json=SEARCH, params={"_page_size": 50}).json()
        whole = ids(pages(api, SEARCH))
        api.sandbox.clock.advance(2 * 86_400)
        second = api.http.get(body["_links"]["_next"]).json()
        assert ids([body["features"], second["features"]]) == whole[:100]

    @pytest.mark.parametrize(
        ("search", "field"),
        [
            ({"filter": ALL}, "item_types"),
            ({"item_types": ["PSScene"]}, "filter"),
            ({"item_types": [], "filter": ALL}, "item_types"),
            ({"item_types": ["Nonsense"], "filter": ALL}, "item_types"),
            ({"item_types": "PSScene", "filter": ALL}, "item_types"),
            ({"item_types": ["PSScene"], "filter": {"type": "Nonsense", "config": []}}, "filter.type"),
        ],
    )
    def test_bad_requests(self, api: Api, search: dict[str, Any], field: str) -> None:
        answer = api.http.post("/data/v1/quick-search", json=search)
        assert answer.status_code == 400
        assert answer.json()["field"].keys() == {field}
        assert answer.json()["field"][field][0]["message"]

    @pytest.mark.parametrize(
        "params", [{"_page_size": "251"}, {"_page_size": "0"}, {"_sort": "size asc"}, {"_page": "x"}]
    )
    def test_bad_parameters(self, api: Api, params: dict[str, str]) -> None:
        answer = api.http.post("/data/v1/quick-search", json=SEARCH, params=params)
        assert answer.status_code == 400
        assert answer.json()["field"].keys() == params.keys()

    @pytest.mark.parametrize("content", [b"nonsense", b"[]", b""])
    def test_bad_json(self, api: Api, content: bytes) -> None:
        answer = api.http.post("/data/v1/quick-search", content=content)
        assert answer.status_code == 400
        assert "JSON" in answer.json()["general"][0]["message"]


class TestSavedSearches:
    def test_life(self, api: Api) -> None:
        created = api.http.post("/data/v1/searches", json={**SEARCH, "name": "mine"}).json()
        url = created["_links"]["_self"]
        assert (created["name"], created["search_type"]) == ("mine", "saved")
        assert created["last_executed"] is None
        assert api.http.get(url).json() == created
        found = api.http.get(created["_links"]["results"], params={"_page_size": 3}).json()
        assert len(found["features"]) == 3
        assert api.http.get(url).json()["last_executed"]
        api.sandbox.clock.advance(1)
        updated = api.http.put(url, json={**SEARCH, "name": "ours", "filter": ALL}).json()
        assert (updated["id"], updated["name"], updated["filter"]) == (created["id"], "ours", ALL)
        assert updated["created"] == created["created"]
        assert updated["updated"] > created["updated"]
        assert api.http.delete(url).status_code == 204
        assert api.http.get(url).status_code == 404

    def test_lists(self, api: Api) -> None:
        for name in ("one", "two", "three"):
            api.http.post("/data/v1/searches", json={**SEARCH, "name": name}).raise_for_status()
        api.http.post("/data/v1/quick-search", json={**SEARCH, "name": "quick"}).raise_for_status()

        def names(**params: Any) -> list[str]:
            body = api.http.get("/data/v1/searches", params=params).raise_for_status().json()
            found = [search["name"] for search in body["searches"]]
            while url := body["_links"].get("_next"):
                body = api.http.get(url).raise_for_status().json()
                found += [search["name"] for search in body["searches"]]
            return found

        assert names() == ["quick", "three", "two", "one"]
        assert names(search_type="quick") == ["quick"]
        assert names(search_type="saved", _sort="created asc") == ["one", "two", "three"]
        assert names(_page_size=1) == names()
        for bad in ({"search_type": "x"}, {"_sort": "x"}):
            assert api.http.get("/data/v1/searches", params=bad).status_code == 400

    def test_a_bad_filter_is_not_saved(self, api: Api) -> None:
        answer = api.http.post("/data/v1/searches", json={**SEARCH, "name": "x", "filter": {"type": "x"}})
        assert answer.status_code == 400
        assert api.http.get("/data/v1/searches").json()["searches"] == []

    @pytest.mark.parametrize("interval", ["hour", "day", "week", "month", "year"])
    def test_stats(self, api: Api, interval: str) -> None:
        body = api.http.post("/data/v1/stats", json={**SEARCH, "interval": interval}).json()
        starts = [bucket["start_time"] for bucket in body["buckets"]]
        assert body["interval"] == interval
        assert sum(bucket["count"] for bucket in body["buckets"]) == len(ids(pages(api, SEARCH)))
        assert starts == sorted(set(starts))

    def test_stats_of_an_unknown_interval(self, api: Api) -> None:
        answer = api.http.post("/data/v1/stats", json={**SEARCH, "interval": "decade"})
        assert answer.json()["field"].keys() == {"interval"}


class TestItems:
    def test_item_types(self, api: Api) -> None:
        rows = api.http.get("/data/v1/item-types").json()["item_types"]
        assert "PSScene" in {row["id"] for row in rows}
        assert api.http.get(rows[0]["_links"]["_self"]).json() == rows[0]
        assert api.http.get("/data/v1/item-types/Nonsense").status_code == 404

    def test_item(self, api: Api) -> None:
        [item_id] = api.items(1)
        item = api.http.get(f"/data/v1/item-types/PSScene/items/{item_id}").json()
        assert item["_links"]["_self"].startswith(api.sandbox.url)
        assert api.http.get(item["_links"]["_self"]).json() == item
        assert api.http.get(item["_links"]["assets"]).json().keys() == set(item["assets"])
        thumbnail = api.http.get(item["_links"]["thumbnail"])
        assert thumbnail.content.startswith(b"\x89PNG")
        assert api.http.get(item["_links"]["thumbnail"], params={"width": "7"}).status_code == 400

    def test_unknown(self, api: Api) -> None:
        for path in (
            "item-types/PSScene/items/x",
            "item-types/PSScene/items/x/assets",
            "assets/x",
            "nowhere",
        ):
            answer = api.http.get(f"/data/v1/{path}")
            assert answer.status_code == 404
            assert answer.json()["message"]

    def test_coverage(self, api: Api) -> None:
        url = f"/data/v1/item-types/PSScene/items/{api.items(1)[0]}"
        item = api.http.get(url).json()
        answer = api.http.post(f"{url}/coverage", json={"geometry": item["geometry"]}).json()
        assert answer == {"status": "complete", "clear_percent": item["properties"]["clear_percent"]}
        far = {"type": "Point", "coordinates": [0, -80]}
        assert api.http.post(f"{url}/coverage", json={"geometry": far}).status_code == 400
        assert api.http.post(f"{url}/coverage", json={"geometry": "x"}).status_code == 400


class TestAssets:
    @pytest.fixture
    def asset(self, api: Api) -> dict[str, Any]:
        url = f"/data/v1/item-types/PSScene/items/{api.items(1)[0]}/assets/"
        asset: dict[str, Any] = api.http.get(url).json()["ortho_analytic_4b"]
        return asset

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_life(self, api: Api, asset: dict[str, Any], method: str) -> None:
        links = asset["_links"]
        assert (asset["status"], asset["_permissions"], asset["md5_digest"]) == (
            "inactive",
            ["download"],
            None,
        )
        assert "location" not in asset
        assert api.http.request(method, links["activate"]).status_code == 202
        assert api.http.get(links["_self"]).json()["status"] == "activating"
        assert api.http.request(method, links["activate"]).status_code == 202
        api.sandbox.clock.advance(100)
        assert api.http.request(method, links["activate"]).status_code == 204
        active = api.http.get(links["_self"]).json()
        assert active["status"] == "active"
        assert active["location"].startswith(f"{api.sandbox.url}/data/v1/download?token=")
        expires = datetime.fromisoformat(active["expires_at"])
        assert expires.tzinfo is None
        left = expires.replace(tzinfo=timezone.utc) - api.sandbox.clock.now()
        assert left == pytest.approx(timedelta(seconds=86_400), abs=timedelta(seconds=5))
        redirect = httpx.get(active["location"])
        assert redirect.status_code == 302
        content = httpx.get(redirect.headers["Location"]).content
        assert hashlib.md5(content).hexdigest() == active["md5_digest"]

    def test_links_expire(self, api: Api, asset: dict[str, Any]) -> None:
        api.http.get(asset["_links"]["activate"])
        api.sandbox.clock.advance(100)
        location = api.http.get(asset["_links"]["_self"]).json()["location"]
        api.sandbox.clock.advance(86_400)
        assert httpx.get(location).status_code == 403
        renewed = api.http.get(asset["_links"]["_self"]).json()["location"]
        assert httpx.get(renewed, follow_redirects=True).status_code == 200

    def test_links_of_orders_are_not_assets(self, api: Api) -> None:
        location = api.results()[0]["location"].replace("/compute/ops/download/", "/data/v1/download")
        assert httpx.get(location).status_code == 401

    def test_without_permission(self, api: Api) -> None:
        forbidden = {
            "type": "NotFilter",
            "config": {"type": "PermissionFilter", "config": ["assets:download"]},
        }
        search = {"item_types": ["PSScene"], "filter": forbidden}
        item = api.http.post("/data/v1/quick-search", json=search).json()["features"][0]
        for asset in api.http.get(item["_links"]["assets"]).json().values():
            assert asset["_permissions"] == []
            assert api.http.get(asset["_links"]["activate"]).status_code == 401

    def test_expire_fault(self, api: Api, asset: dict[str, Any]) -> None:
        api.http.get(asset["_links"]["activate"])
        api.sandbox.clock.advance(100)
        location = api.http.get(asset["_links"]["_self"]).json()["location"]
        api.sandbox.faults.add(Fault(kind="expire", path="/data/v1/download"))
        assert httpx.get(location).status_code == 403
        assert httpx.get(location).status_code == 302
