"""Lists of orders: filters, order, pages, lag."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from plain_http import Api

from planet_provider.sandbox import run

pytestmark = pytest.mark.planet_sandbox(
    rate_limits=False, scene_pixels=64, queued_seconds=100, running_seconds=1000
)

URL = "/compute/ops/orders/v2"


@pytest.fixture
def three(api: Api) -> list[dict[str, Any]]:
    """Three orders a minute apart: a success, one running, one queued."""
    for name, seconds in (("alpha", 1000), ("beta one", 100), ("beta two", 0)):
        api.place(name)
        api.sandbox.clock.advance(seconds)
    return list(api.sandbox.orders.values())


def test_newest_first_and_without_results(api: Api, three: list[dict[str, Any]]) -> None:
    rows = api.http.get(URL).json()["orders"]
    assert [row["name"] for row in rows] == ["beta two", "beta one", "alpha"]
    assert [row["state"] for row in rows] == ["queued", "running", "success"]
    assert all(row["_links"].keys() == {"_self"} for row in rows)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"state": "queued"}, ["beta two"]),
        ({"state": ["queued", "success"]}, ["beta two", "alpha"]),
        ({"name": "beta"}, []),
        ({"name": "beta one"}, ["beta one"]),
        ({"name__contains": "beta"}, ["beta two", "beta one"]),
        ({"name__contains": "Beta"}, []),
        ({"name__contains": "beta", "state": "running"}, ["beta one"]),
        ({"source_type": "all"}, ["beta two", "beta one", "alpha"]),
        ({"source_type": "basemaps"}, []),
        ({"hosting": "true"}, []),
        ({"hosting": "false"}, ["beta two", "beta one", "alpha"]),
        ({"destination_ref": "pl:destinations/x"}, []),
        ({"user_id": "2"}, []),
        ({"user_id": "all"}, ["beta two", "beta one", "alpha"]),
        ({"sort_by": "name"}, ["alpha", "beta one", "beta two"]),
        ({"sort_by": "created_on"}, ["alpha", "beta one", "beta two"]),
        ({"sort_by": "state DESC"}, ["alpha", "beta one", "beta two"]),
        ({"sort_by": "last_modified DESC,name"}, ["beta two", "beta one", "alpha"]),
    ],
)
def test_filters(api: Api, three: Any, params: dict[str, Any], expected: list[str]) -> None:
    assert api.listed(**params) == expected


def test_hosting_and_destination(api: Api) -> None:
    api.place("hosted", hosting={"sentinel_hub": {}})
    api.place("sent", delivery={"destination": {"ref": "pl:destinations/x"}})
    assert api.listed(hosting="true") == ["hosted"]
    assert api.listed(destination_ref="pl:destinations/x") == ["sent"]


@pytest.mark.parametrize("field", ["created_on", "last_modified"])
def test_intervals_include_their_start_and_exclude_their_end(
    api: Api, three: list[dict[str, Any]], field: str
) -> None:
    times = {order["name"]: order[field] for order in three}
    ordered = sorted(times, key=lambda name: times[name])
    first, second, third = (times[name] for name in ordered)
    expected = {
        f"{second}/..": set(ordered[1:]),
        f"../{second}": set(ordered[:1]),
        f"{first}/{third}": set(ordered[:2]),
        second: {ordered[1]},
        f"{second}/": set(ordered[1:]),
    }
    assert {text: set(api.listed(**{field: text})) for text in expected} == expected


@pytest.mark.parametrize(
    "params",
    [
        {"state": "done"},
        {"source_type": "moon"},
        {"hosting": "maybe"},
        {"created_on": "yesterday"},
        {"created_on": "2024-01-01T00:00:00"},
        {"last_modified": "../.."},
        {"sort_by": "size"},
        {"sort_by": "name SIDEWAYS"},
        {"user_id": "me"},
        {"page_size": "0"},
        {"page_marker": "nonsense"},
    ],
)
def test_filters_that_make_no_sense(api: Api, params: dict[str, str]) -> None:
    answer = api.http.get(URL, params=params)
    assert answer.status_code == 400
    assert answer.json()["field"].keys() == params.keys()


class TestPages:
    def pages(self, api: Api, **params: Any) -> list[list[str]]:
        pages = []
        url: str | None = URL
        while url:
            body = api.http.get(url, params=params if url == URL else None).raise_for_status().json()
            pages.append([row["name"] for row in body["orders"]])
            url = body["_links"].get("next")
        return pages

    def test_pages(self, api: Api) -> None:
        for number in range(5):
            api.place(f"order {number}")
        assert self.pages(api, page_size=2) == [["order 4", "order 3"], ["order 2", "order 1"], ["order 0"]]
        assert self.pages(api, page_size=5) == [[f"order {number}" for number in (4, 3, 2, 1, 0)]]

    def test_the_next_page_keeps_the_filters(self, api: Api) -> None:
        for number in range(4):
            api.place(f"{'even' if number % 2 == 0 else 'odd'} {number}")
        params = {"name__contains": "even", "state": ["queued", "running"], "page_size": 1}
        assert self.pages(api, **params) == [["even 2"], ["even 0"]]

    def test_sorted_pages(self, api: Api) -> None:
        for name in "cadb":
            api.place(name)
        assert self.pages(api, page_size=3, sort_by="name") == [["a", "b", "c"], ["d"]]

    def test_orders_placed_meanwhile_shift_nothing(self, api: Api) -> None:
        for number in range(3):
            api.place(f"order {number}")
        body = api.http.get(URL, params={"page_size": 2}).json()
        api.place("a newer one")
        rest = api.http.get(body["_links"]["next"]).json()
        assert [row["name"] for row in rest["orders"]] == ["order 0"]

    @pytest.mark.planet_sandbox(orders_page_size=2)
    def test_default_size_and_absolute_link(self, api: Api) -> None:
        for number in range(3):
            api.place(f"order {number}")
        body = api.http.get(URL).json()
        assert len(body["orders"]) == 2
        link = urlsplit(body["_links"]["next"])
        assert f"{link.scheme}://{link.netloc}" == api.sandbox.url

    def test_an_empty_list_has_no_next(self, api: Api) -> None:
        assert self.pages(api) == [[]]


@pytest.mark.planet_sandbox(list_lag_seconds=50)
class TestLag:
    def test_a_new_order_shows_late(self, api: Api) -> None:
        order_id = api.place("late")
        assert api.get(order_id)["state"] == "queued"
        assert api.listed() == []
        api.sandbox.clock.advance(50)
        assert api.listed() == ["late"]

    def test_a_change_shows_late(self, api: Api) -> None:
        order_id = api.place("late")
        api.sandbox.clock.advance(100)
        assert api.get(order_id)["state"] == "running"
        assert api.listed(state="queued") == ["late"]
        assert api.listed(state="running") == []
        api.sandbox.clock.advance(50)
        assert api.listed(state="running") == ["late"]
        since = api.sandbox.clock.now() - timedelta(seconds=60)
        assert api.listed(last_modified=f"{since.isoformat()}/..") == ["late"]


def test_orders_of_other_users() -> None:
    keys = ("PLAK-first-0123456789", "PLAK-second-0123456789")
    with run(api_keys=keys, rate_limits=False) as sandbox:
        import httpx

        with (
            httpx.Client(base_url=sandbox.url, auth=(keys[0], "")) as first,
            httpx.Client(base_url=sandbox.url, auth=(keys[1], "")) as second,
        ):
            order_id = Api(sandbox, first).place("of the first")
            assert Api(sandbox, second).listed() == []
            assert Api(sandbox, second).listed(user_id="all") == ["of the first"]
            assert second.get(f"{URL}/{order_id}").status_code == 404
            assert second.put(f"{URL}/{order_id}").status_code == 404
            second.post("/compute/ops/bulk/orders/v2/cancel", json={}).raise_for_status()
            stats = second.get("/compute/ops/stats/orders/v2").json()
            assert stats["organization"]["queued_orders"] == 1
            assert stats["user"]["queued_orders"] == 0
