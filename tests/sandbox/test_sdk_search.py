"""The SDK's search, saved search, statistics and item calls."""

from __future__ import annotations

import json
import uuid
from bisect import bisect_left
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import planet
import pytest
from planet import data_filter, exceptions, specs
from planet.clients.data import Searches
from sdk import ITEM_TYPE, Clients, Feature, ids, timestamp, unique
from shapely.geometry import box, mapping, shape

from planet_provider.sandbox import Sandbox

pytest_plugins = ("sdk",)

ANYTHING = data_filter.empty_filter()
CLEAR = data_filter.range_filter("cloud_cover", lt=0.2)


async def everything(results: AsyncIterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return [result async for result in results]


def around(feature: Feature) -> dict[str, Any]:
    """The bounding box of an item as GeoJSON."""
    return dict(mapping(box(*shape(feature["geometry"]).bounds)))


def requests_to(server: Sandbox, path: str) -> list[Any]:
    return [request for request in server.requests if request.path == path]


async def test_search_of_several_item_types(clients: Clients, features: list[Feature]) -> None:
    """Items of every type come over several pages, none twice, none left out."""
    kinds = sorted({feature["properties"]["item_type"] for feature in features})
    assert len(kinds) > 1
    results = await everything(clients.data.search(kinds, limit=0))
    assert len(results) == len(ids(results)) == len(features)
    assert len(results) > 250, "one page only"


async def test_search_of_one_item_type(clients: Clients, features: list[Feature]) -> None:
    kind = sorted({feature["properties"]["item_type"] for feature in features} - {ITEM_TYPE})[0]
    results = await everything(clients.data.search([kind.upper()], limit=0))
    assert ids(results) == ids([item for item in features if item["properties"]["item_type"] == kind])


@pytest.mark.parametrize("limit", [1, 250, 251])
async def test_search_limit(clients: Clients, scenes: list[Feature], limit: int) -> None:
    results = await everything(clients.data.search([ITEM_TYPE], limit=limit))
    assert [item["id"] for item in results] == [item["id"] for item in scenes[:limit]]


async def test_search_stops_at_a_hundred_by_default(clients: Clients) -> None:
    """A known shortcoming of the SDK: it cuts at 100 without a word."""
    assert len(await everything(clients.data.search([ITEM_TYPE]))) == 100


@pytest.mark.parametrize("sort", ["published desc", "published asc", "acquired desc", "acquired asc"])
async def test_search_sort(clients: Clients, scenes: list[Feature], sort: str) -> None:
    results = await everything(clients.data.search([ITEM_TYPE], sort=sort, limit=0))
    field, _, direction = sort.partition(" ")
    times = [timestamp(item["properties"][field]) for item in results]
    assert times == sorted(times, reverse=direction == "desc")
    assert ids(results) == ids(scenes)


async def test_search_sorts_by_latest_publication_by_default(clients: Clients) -> None:
    results = await everything(clients.data.search([ITEM_TYPE], limit=0))
    times = [timestamp(item["properties"]["published"]) for item in results]
    assert times == sorted(times, reverse=True)


async def test_search_geometry(clients: Clients, scenes: list[Feature]) -> None:
    """The request's own geometry narrows a search as a filter's would, and on top of the filter."""
    area = around(scenes[0])
    results = await everything(clients.data.search([ITEM_TYPE], CLEAR, geometry=area, limit=0))
    expected = [
        item
        for item in scenes
        if shape(item["geometry"]).intersects(shape(area)) and item["properties"]["cloud_cover"] < 0.2
    ]
    assert 0 < len(expected) < len(scenes)
    assert ids(results) == ids(expected)


async def test_search_geometry_by_feature_reference(clients: Clients) -> None:
    """A reference to a feature the account doesn't have is refused by the server, not ignored."""
    with pytest.raises(exceptions.APIError):
        await everything(clients.data.search([ITEM_TYPE], geometry="pl:features/my/no-such/feature"))


async def test_search_name_names_the_stored_search(clients: Clients) -> None:
    name = unique("quick")
    await everything(clients.data.search([ITEM_TYPE], CLEAR, name=name, limit=1))
    (stored,) = [found async for found in clients.data.list_searches(limit=0) if found["name"] == name]
    assert stored["search_type"] == "quick"
    assert stored["filter"] == CLEAR


async def test_search_item_shape(scenes: list[Feature], server: Sandbox) -> None:
    item = scenes[0]
    url = f"{server.url}/data/v1/item-types/{ITEM_TYPE}/items/{item['id']}"
    assert item["type"] == "Feature"
    assert item["_links"]["_self"] == url
    assert item["_links"]["assets"].rstrip("/") == f"{url}/assets"
    assert item["_links"]["thumbnail"].startswith("http")
    assert {"acquired", "published", "updated", "cloud_cover", "satellite_id", "quality_category"} <= set(
        item["properties"]
    )
    assert shape(item["geometry"]).is_valid


async def test_collect_makes_a_feature_collection(clients: Clients) -> None:
    """Every item is a GeoJSON Feature by the SDK's own schema, or ``collect`` would return a list."""
    collected = await planet.collect(clients.data.search([ITEM_TYPE], limit=7))
    assert isinstance(collected, dict)
    assert collected["type"] == "FeatureCollection"
    assert len(collected["features"]) == 7


async def test_saved_search_from_creation_to_deletion(clients: Clients, scenes: list[Feature]) -> None:
    name = unique("saved")
    created = await clients.data.create_search([ITEM_TYPE], CLEAR, name, enable_email=True)
    assert uuid.UUID(created["id"])
    assert created["name"] == name
    assert created["filter"] == CLEAR
    assert created["item_types"] == [ITEM_TYPE]
    assert created["search_type"] == "saved"
    assert created["__daily_email_enabled"] is True
    assert created["_links"]["results"] == f"{created['_links']['_self']}/results"
    assert await clients.data.get_search(created["id"]) == created

    cloudy = data_filter.range_filter("cloud_cover", gte=0.5)
    updated = await clients.data.update_search(
        created["id"], [ITEM_TYPE], cloudy, f"{name}-2", geometry=around(scenes[0])
    )
    assert updated["id"] == created["id"]
    assert updated["name"] == f"{name}-2"
    assert updated["filter"] == cloudy
    assert updated["geometry"] == json.loads(json.dumps(around(scenes[0])))
    assert updated["__daily_email_enabled"] is False
    assert updated["created"] == created["created"]
    assert timestamp(updated["updated"]) > timestamp(created["updated"])
    assert (await clients.data.get_search(created["id"]))["name"] == f"{name}-2"

    await clients.data.delete_search(created["id"])
    with pytest.raises(exceptions.MissingResource):
        await clients.data.get_search(created["id"])
    with pytest.raises(exceptions.MissingResource):
        await clients.data.delete_search(created["id"])


async def test_create_search_with_a_geometry(clients: Clients, scenes: list[Feature]) -> None:
    area = around(scenes[1])
    created = await clients.data.create_search([ITEM_TYPE], ANYTHING, unique("area"), geometry=area)
    results = await everything(clients.data.run_search(created["id"], limit=0))
    expected = [item for item in scenes if shape(item["geometry"]).intersects(shape(area))]
    assert ids(results) == ids(expected)
    assert 0 < len(results) < len(scenes)


@pytest.mark.parametrize("sort", ["published desc", "published asc", "acquired desc", "acquired asc"])
async def test_run_search(clients: Clients, scenes: list[Feature], sort: str) -> None:
    created = await clients.data.create_search([ITEM_TYPE], CLEAR, unique("run"))
    expected = [item for item in scenes if item["properties"]["cloud_cover"] < 0.2]
    assert len(expected) > 250, "one page only"
    results = await everything(clients.data.run_search(created["id"], sort=sort, limit=0))
    assert ids(results) == ids(expected)
    field, _, direction = sort.partition(" ")
    times = [timestamp(item["properties"][field]) for item in results]
    assert times == sorted(times, reverse=direction == "desc")
    assert len(await everything(clients.data.run_search(created["id"], limit=3))) == 3


async def test_run_search_refuses_a_bad_id_before_asking(clients: Clients, server: Sandbox) -> None:
    before = len(server.requests)
    with pytest.raises(exceptions.ClientError, match="not a valid UUID"):
        await everything(clients.data.run_search("nonsense"))
    assert len(server.requests) == before


async def test_run_search_of_an_unknown_id(clients: Clients) -> None:
    with pytest.raises(exceptions.MissingResource):
        await everything(clients.data.run_search(uuid.uuid4().hex))


async def test_list_searches_by_type_and_sort(own_clients: Clients) -> None:
    """On a sandbox of its own: the list is the whole account's."""
    data = own_clients.data
    saved = [await data.create_search([ITEM_TYPE], ANYTHING, f"saved-{number}") for number in range(3)]
    await everything(data.search([ITEM_TYPE], name="quick-0", limit=1))

    names = [found["name"] for found in await everything(data.list_searches())]
    assert names == ["quick-0", "saved-2", "saved-1", "saved-0"]
    oldest = await everything(data.list_searches(sort="created asc"))
    assert [found["name"] for found in oldest] == names[::-1]
    only_saved = await everything(data.list_searches(search_type="saved"))
    assert [found["id"] for found in only_saved] == [found["id"] for found in reversed(saved)]
    only_quick = await everything(data.list_searches(search_type="quick"))
    assert [found["name"] for found in only_quick] == ["quick-0"]
    assert len(await everything(data.list_searches(limit=2))) == 2


async def test_list_searches_over_several_pages(own_clients: Clients, own_server: Sandbox) -> None:
    """The page is asked for in the form of the API: the SDK follows ``_links._next``."""
    wanted = [
        (await own_clients.data.create_search([ITEM_TYPE], ANYTHING, f"page-{number}"))["id"]
        for number in range(5)
    ]
    url = f"{own_server.url}/data/v1/searches?_page_size=2"
    response = await own_clients.session.request(method="GET", url=url)
    pages = Searches(response, own_clients.session.request)
    assert [found["id"] async for found in pages] == wanted[::-1]


async def test_list_searches_refuses_unknown_arguments(clients: Clients) -> None:
    with pytest.raises(exceptions.ClientError):
        await everything(clients.data.list_searches(sort="name"))
    with pytest.raises(exceptions.ClientError):
        await everything(clients.data.list_searches(search_type="odd"))


def after(start: datetime, interval: str) -> datetime:
    """Start of the next bucket."""
    if interval == "year":
        return start.replace(year=start.year + 1)
    if interval == "month":
        return (start + timedelta(days=32)).replace(day=1)
    return (
        start + {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}[interval]
    )


@pytest.mark.parametrize("interval", ["hour", "day", "week", "month", "year"])
async def test_get_stats(clients: Clients, scenes: list[Feature], interval: str) -> None:
    """Buckets hold the items acquired in them, start on the interval and count each item once."""
    answer = await clients.data.get_stats([ITEM_TYPE], CLEAR, interval)
    assert answer["interval"] == interval
    assert answer["utc_offset"] == "+0h"
    acquired = sorted(
        timestamp(item["properties"]["acquired"])
        for item in scenes
        if item["properties"]["cloud_cover"] < 0.2
    )
    starts = [timestamp(bucket["start_time"]) for bucket in answer["buckets"]]
    assert starts == sorted(set(starts))
    for start, bucket in zip(starts, answer["buckets"], strict=True):
        assert (start.minute, start.second, start.microsecond) == (0, 0, 0)
        assert interval == "hour" or start.hour == 0
        assert interval not in ("month", "year") or start.day == 1
        assert interval != "year" or start.month == 1
        end = after(start, interval)
        assert bucket["count"] == bisect_left(acquired, end) - bisect_left(acquired, start)
    assert sum(bucket["count"] for bucket in answer["buckets"]) == len(acquired)


async def test_get_stats_refuses_an_unknown_interval(clients: Clients) -> None:
    with pytest.raises(exceptions.ClientError):
        await clients.data.get_stats([ITEM_TYPE], ANYTHING, "century")


async def test_get_item_is_the_item_of_the_search(clients: Clients, scenes: list[Feature]) -> None:
    item = scenes[3]
    assert await clients.data.get_item(ITEM_TYPE, item["id"]) == item


async def test_get_item_of_another_type_is_missing(clients: Clients, scenes: list[Feature]) -> None:
    with pytest.raises(exceptions.MissingResource):
        await clients.data.get_item("SkySatCollect", scenes[0]["id"])


@pytest.mark.parametrize("mode", [None, "UDM2", "estimate"])
async def test_get_item_coverage(clients: Clients, scenes: list[Feature], mode: str | None) -> None:
    item = next(scene for scene in scenes if scene["properties"].get("clear_percent") is not None)
    area = around(item)
    coverage = await clients.data.get_item_coverage(ITEM_TYPE, item["id"], area, mode=mode)
    assert 0 <= coverage["clear_percent"] <= 100
    assert coverage["status"] in {"activating", "complete"}


async def test_get_item_coverage_of_a_band(clients: Clients, scenes: list[Feature], server: Sandbox) -> None:
    item = next(scene for scene in scenes if scene["properties"].get("clear_percent") is not None)
    await clients.data.get_item_coverage(ITEM_TYPE, item["id"], around(item), mode="UDM2", band="cloud")
    path = f"/data/v1/item-types/{ITEM_TYPE}/items/{item['id']}/coverage"
    assert dict(requests_to(server, path)[-1].query) == {"mode": "UDM2", "band": "cloud"}


async def test_unknown_item_type_never_reaches_the_server(clients: Clients, server: Sandbox) -> None:
    before = len(server.requests)
    with pytest.raises(specs.SpecificationException):
        await everything(clients.data.search(["NoSuchScene"]))
    assert len(server.requests) == before
