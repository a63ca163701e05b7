"""Every filter of ``planet.data_filter``, judged by plain Python over the unfiltered catalogue."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from planet import data_filter
from sdk import ITEM_TYPE, Clients, Feature, Filter, ids, midway, timestamp
from shapely.geometry import (
    LineString,
    MultiLineString,
    MultiPoint,
    MultiPolygon,
    Polygon,
    box,
    mapping,
    shape,
)
from shapely.geometry.base import BaseGeometry

from planet_provider.sandbox import Sandbox

pytest_plugins = ("sdk",)

Predicate = Callable[[Feature], bool]


def value(feature: Feature, field: str) -> Any:
    return feature["properties"].get(field)


def middle(scenes: list[Feature], field: str) -> float:
    """A value that occurs, with items on both sides of it."""
    values = sorted(value(scene, field) for scene in scenes if value(scene, field) is not None)
    return values[len(values) // 2]


def footprint(feature: Feature) -> BaseGeometry:
    return shape(feature["geometry"])


def area_of_interest(scenes: list[Feature]) -> Polygon:
    """A box around one scene's centre, twice as wide as the scene: some scenes lie in it, some cross it."""
    west, south, east, north = footprint(scenes[len(scenes) // 2]).bounds
    width, height = east - west, north - south
    return box(west - width / 2, south - height / 2, east + width / 2, north + height / 2)


def heart(scenes: list[Feature]) -> Polygon:
    """A small box well inside one scene."""
    centre = footprint(scenes[len(scenes) // 2]).representative_point()
    return centre.buffer(1e-4).envelope


async def found(clients: Clients, search_filter: Filter) -> list[Feature]:
    return [item async for item in clients.data.search([ITEM_TYPE], search_filter, limit=0)]


async def compare(
    clients: Clients, scenes: list[Feature], search_filter: Filter, predicate: Predicate
) -> None:
    expected = {scene["id"] for scene in scenes if predicate(scene)}
    assert 0 < len(expected) < len(scenes), "the case tells nothing apart"
    results = await found(clients, search_filter)
    assert len(results) == len(ids(results))
    assert ids(results) == expected


RANGES: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "gt": ("gt", lambda actual, bound: actual > bound),
    "gte": ("gte", lambda actual, bound: actual >= bound),
    "lt": ("lt", lambda actual, bound: actual < bound),
    "lte": ("lte", lambda actual, bound: actual <= bound),
}


@pytest.mark.parametrize("comparison", RANGES)
@pytest.mark.parametrize("field", ["cloud_cover", "view_angle"])
async def test_range_filter(clients: Clients, scenes: list[Feature], field: str, comparison: str) -> None:
    keyword, holds = RANGES[comparison]
    bound = middle(scenes, field)
    search_filter = data_filter.range_filter(field, **{keyword: bound})
    await compare(
        clients,
        scenes,
        search_filter,
        lambda scene: value(scene, field) is not None and holds(value(scene, field), bound),
    )


async def test_range_filter_between_two_bounds(clients: Clients, scenes: list[Feature]) -> None:
    search_filter = data_filter.range_filter("cloud_cover", gte=0.1, lt=0.4)
    await compare(clients, scenes, search_filter, lambda scene: 0.1 <= value(scene, "cloud_cover") < 0.4)


@pytest.mark.parametrize("comparison", RANGES)
@pytest.mark.parametrize("field", ["acquired", "updated"])
async def test_date_range_filter(
    clients: Clients, scenes: list[Feature], field: str, comparison: str
) -> None:
    """The bound is an item's own time to the microsecond, so that "equal" is told from "later"."""
    keyword, holds = RANGES[comparison]
    ordered = sorted(timestamp(value(scene, field)) for scene in scenes)
    bound = ordered[len(ordered) // 2]
    search_filter = data_filter.date_range_filter(field, **{keyword: bound})
    await compare(clients, scenes, search_filter, lambda scene: holds(timestamp(value(scene, field)), bound))


async def test_date_range_filter_reads_the_offset(clients: Clients, scenes: list[Feature]) -> None:
    bound = midway(scenes, "acquired").astimezone(timezone(timedelta(hours=5, minutes=30)))
    search_filter = data_filter.date_range_filter("acquired", gte=bound)
    assert search_filter["config"]["gte"].endswith("+05:30")
    await compare(clients, scenes, search_filter, lambda scene: timestamp(value(scene, "acquired")) >= bound)


async def test_date_range_filter_of_a_naive_datetime(clients: Clients, scenes: list[Feature]) -> None:
    """The SDK stamps a naive datetime as UTC, whatever zone its author meant."""
    bound = midway(scenes, "acquired").astimezone(timezone.utc)
    search_filter = data_filter.date_range_filter(
        "acquired", lt=datetime.fromisoformat(bound.isoformat()[:19])
    )
    assert search_filter["config"]["lt"].endswith("Z")
    cut = bound.replace(microsecond=0)
    await compare(clients, scenes, search_filter, lambda scene: timestamp(value(scene, "acquired")) < cut)


async def test_number_in_filter(clients: Clients, scenes: list[Feature]) -> None:
    wanted = sorted({value(scene, "gsd") for scene in scenes})[:2]
    search_filter = data_filter.number_in_filter("gsd", wanted)
    await compare(clients, scenes, search_filter, lambda scene: value(scene, "gsd") in wanted)


@pytest.mark.parametrize(
    "field", ["instrument", "satellite_id", "quality_category", "strip_id", "publishing_stage"]
)
async def test_string_in_filter(clients: Clients, scenes: list[Feature], field: str) -> None:
    wanted = sorted({value(scene, field) for scene in scenes})[:1]
    search_filter = data_filter.string_in_filter(field, [*wanted, "no such value"])
    await compare(clients, scenes, search_filter, lambda scene: value(scene, field) in wanted)


@pytest.mark.parametrize("flag", [True, False])
async def test_string_in_filter_of_a_boolean(clients: Clients, scenes: list[Feature], flag: bool) -> None:
    search_filter = data_filter.string_in_filter("ground_control", [str(flag).lower()])
    await compare(clients, scenes, search_filter, lambda scene: value(scene, "ground_control") is flag)


async def test_string_in_filter_of_ids(clients: Clients, scenes: list[Feature]) -> None:
    wanted = [scene["id"] for scene in scenes[5:8]]
    search_filter = data_filter.string_in_filter("id", wanted)
    await compare(clients, scenes, search_filter, lambda scene: scene["id"] in wanted)


async def test_std_quality_filter(clients: Clients, scenes: list[Feature]) -> None:
    await compare(
        clients,
        scenes,
        data_filter.std_quality_filter(),
        lambda scene: value(scene, "quality_category") == "standard",
    )


async def test_permission_filter(clients: Clients, scenes: list[Feature]) -> None:
    await compare(clients, scenes, data_filter.permission_filter(), lambda scene: bool(scene["_permissions"]))


async def test_asset_filter(clients: Clients, scenes: list[Feature]) -> None:
    """Any of the listed asset types is enough."""
    wanted = sorted(
        {asset for scene in scenes for asset in scene["assets"]},
        key=lambda asset: sum(asset in scene["assets"] for scene in scenes),
    )[:2]
    await compare(
        clients,
        scenes,
        data_filter.asset_filter(wanted),
        lambda scene: not set(wanted).isdisjoint(scene["assets"]),
    )


@pytest.mark.parametrize("comparison", ["gt", "gte"])
async def test_update_filter(
    clients: Clients, scenes: list[Feature], server: Sandbox, comparison: str
) -> None:
    """An item doesn't show when which field changed: judged by the catalogue itself.

    The SDK's signature offers ``lt`` and ``lte`` too, but drops them, as the API knows no such bound.
    """
    keyword, holds = RANGES[comparison]
    known = ids(scenes)
    changes = {
        item.id: timestamp(item.updates["ground_control"])
        for item in server.catalogue
        if item.item_type == ITEM_TYPE and "ground_control" in item.updates and item.id in known
    }
    bound = sorted(changes.values())[len(changes) // 2]
    search_filter = data_filter.update_filter("ground_control", **{keyword: bound})
    await compare(
        clients,
        scenes,
        search_filter,
        lambda scene: scene["id"] in changes and holds(changes[scene["id"]], bound),
    )
    for scene in await found(clients, search_filter):
        assert timestamp(value(scene, "published")) < timestamp(value(scene, "updated"))


async def test_update_filter_narrows_with_time(clients: Clients, scenes: list[Feature]) -> None:
    bounds = [midway(scenes, "updated") + timedelta(days=days) for days in (-400, 0, 200)]
    changed = [
        ids(await found(clients, data_filter.update_filter("quality_category", gte=bound)))
        for bound in bounds
    ]
    assert changed[0] > changed[1] > changed[2]


def geometries(scenes: list[Feature]) -> dict[str, BaseGeometry]:
    """One geometry of each kind that the API takes."""
    first, second, third, fourth = (footprint(scene).representative_point() for scene in scenes[:4])
    area = area_of_interest(scenes)
    return {
        "Point": first,
        "MultiPoint": MultiPoint([first, second, third]),
        "LineString": LineString([first, second]),
        "MultiLineString": MultiLineString([[first, second], [third, fourth]]),
        "Polygon": area,
        "MultiPolygon": MultiPolygon([area, third.buffer(1e-4)]),
    }


@pytest.mark.parametrize(
    "kind", ["Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon"]
)
async def test_geometry_filter(clients: Clients, scenes: list[Feature], kind: str) -> None:
    geometry = geometries(scenes)[kind]
    search_filter = data_filter.geometry_filter(mapping(geometry))
    assert search_filter["config"]["type"] == kind
    await compare(clients, scenes, search_filter, lambda scene: footprint(scene).intersects(geometry))


@pytest.mark.parametrize("wrapping", ["Feature", "FeatureCollection"])
async def test_geometry_filter_of_a_feature(clients: Clients, scenes: list[Feature], wrapping: str) -> None:
    geometry = area_of_interest(scenes)
    wrapped: dict[str, Any] = {"type": "Feature", "properties": {}, "geometry": mapping(geometry)}
    if wrapping == "FeatureCollection":
        wrapped = {"type": wrapping, "features": [wrapped]}
    search_filter = data_filter.geometry_filter(wrapped)
    await compare(clients, scenes, search_filter, lambda scene: footprint(scene).intersects(geometry))


@pytest.mark.parametrize("relation", ["intersects", "contains", "within", "disjoint"])
async def test_geometry_filter_relation(clients: Clients, scenes: list[Feature], relation: str) -> None:
    """The relation is the footprint's: ``contains`` finds scenes that enclose the area of interest."""
    geometry = heart(scenes) if relation == "contains" else area_of_interest(scenes)
    search_filter = data_filter.geometry_filter(mapping(geometry), relation=relation)
    await compare(clients, scenes, search_filter, lambda scene: getattr(footprint(scene), relation)(geometry))


async def test_and_or_and_not_filters(clients: Clients, scenes: list[Feature]) -> None:
    clouds, since = middle(scenes, "cloud_cover"), midway(scenes, "acquired")
    clear = data_filter.range_filter("cloud_cover", lte=clouds)
    recent = data_filter.date_range_filter("acquired", gte=since)
    standard = data_filter.std_quality_filter()
    search_filter = data_filter.and_filter(
        [
            data_filter.or_filter([clear, data_filter.not_filter(recent)]),
            data_filter.not_filter(data_filter.and_filter([clear, standard])),
        ]
    )

    def expected(scene: Feature) -> bool:
        is_clear = value(scene, "cloud_cover") <= clouds
        is_recent = timestamp(value(scene, "acquired")) >= since
        is_standard = value(scene, "quality_category") == "standard"
        return (is_clear or not is_recent) and not (is_clear and is_standard)

    await compare(clients, scenes, search_filter, expected)


async def test_not_filter_keeps_items_without_the_field(clients: Clients, scenes: list[Feature]) -> None:
    """A field an item lacks doesn't match, so its negation does."""
    search_filter = data_filter.not_filter(data_filter.range_filter("clear_percent", lt=50))
    await compare(
        clients,
        scenes,
        search_filter,
        lambda scene: value(scene, "clear_percent") is None or value(scene, "clear_percent") >= 50,
    )


async def test_empty_filter_finds_everything(clients: Clients, scenes: list[Feature]) -> None:
    assert ids(await found(clients, data_filter.empty_filter())) == ids(scenes)
