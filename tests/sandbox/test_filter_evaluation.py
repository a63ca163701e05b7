"""Search filters, against hand-made cases, plain shapely and the official SDK's builders."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planet import data_filter
from shapely.affinity import rotate
from shapely.geometry import LineString, Point, box, mapping, shape

from planet_provider.sandbox.catalogue import ITEM_TYPES, Catalogue, Item
from planet_provider.sandbox.filters import (
    FilterError,
    compile,
    matches,
    parse_instant,
)

NOW = datetime(2026, 3, 10, 15, 30, tzinfo=timezone.utc)
CATALOGUE = Catalogue(seed=5, items=700, now=NOW)
ITEMS = CATALOGUE.search(ITEM_TYPES, {"type": "AndFilter", "config": []})

ITEM = Item(
    item_type="PSScene",
    id="20220125_075509_67_1061",
    geometry=mapping(box(10, 10, 12, 12)),
    properties={
        "acquired": "2022-01-25T07:55:09.676173Z",
        "published": "2022-01-26T00:00:00Z",
        "cloud_cover": 0.25,
        "ground_control": True,
        "gsd": 3.6,
        "instrument": "PS2.SD",
        "item_type": "PSScene",
        "view_angle": -1.5,
    },
    assets=("ortho_analytic_4b", "ortho_udm2"),
    permissions=("assets.ortho_udm2:download",),
    updates={"cloud_cover": "2022-02-01T00:00:00Z"},
)


def leaf(kind: str, field: str | None, config: Any, **more: Any) -> dict[str, Any]:
    return {"type": kind, **({"field_name": field} if field else {}), "config": config, **more}


@pytest.mark.parametrize(
    ("search_filter", "expected"),
    [
        (leaf("DateRangeFilter", "acquired", {"gte": "2022-01-25T07:55:09.676173Z"}), True),
        (leaf("DateRangeFilter", "acquired", {"gt": "2022-01-25T07:55:09.676173Z"}), False),
        (leaf("DateRangeFilter", "acquired", {"lt": "2022-01-25T09:00:00+01:30"}), False),
        (leaf("DateRangeFilter", "acquired", {"lt": "2022-01-25T09:30:00+01:30"}), True),
        (
            leaf(
                "DateRangeFilter", "acquired", {"gte": "2022-01-25T00:00:00z", "lte": "2022-01-26T00:00:00Z"}
            ),
            True,
        ),
        (leaf("DateRangeFilter", "cloud_cover", {"gte": "2022-01-25T00:00:00Z"}), False),
        (leaf("DateRangeFilter", "no_such_field", {"gte": "2022-01-25T00:00:00Z"}), False),
        (leaf("RangeFilter", "cloud_cover", {"lte": 0.25}), True),
        (leaf("RangeFilter", "cloud_cover", {"lt": 0.25}), False),
        (leaf("RangeFilter", "cloud_cover", {"gt": 0.2, "lt": 0.25}), False),
        (leaf("RangeFilter", "view_angle", {"lt": 0}), True),
        (leaf("RangeFilter", "ground_control", {"gte": 0}), False),
        (leaf("NumberInFilter", "gsd", [3.5, 3.6]), True),
        (leaf("NumberInFilter", "gsd", [3]), False),
        (leaf("StringInFilter", "instrument", ["PS2", "PS2.SD"]), True),
        (leaf("StringInFilter", "instrument", ["ps2.sd"]), False),
        (leaf("StringInFilter", "ground_control", ["true"]), True),
        (leaf("StringInFilter", "ground_control", [False]), False),
        (leaf("StringInFilter", "id", ["x", "20220125_075509_67_1061"]), True),
        (leaf("StringInFilter", "gsd", ["3.6"]), False),
        (leaf("AssetFilter", None, ["ortho_visual", "ortho_udm2"]), True),
        (leaf("AssetFilter", None, ["ortho_visual"]), False),
        (leaf("PermissionFilter", None, ["assets:download"]), True),
        (leaf("PermissionFilter", None, ["assets.ortho_udm2:download"]), True),
        (leaf("PermissionFilter", None, ["assets.ortho_analytic_4b:download"]), False),
        (leaf("UpdateFilter", "cloud_cover", {"gt": "2022-01-31T00:00:00Z"}), True),
        (leaf("UpdateFilter", "cloud_cover", {"gt": "2022-02-01T00:00:00Z"}), False),
        (leaf("UpdateFilter", "cloud_cover", {"gte": "2022-02-01T00:00:00Z"}), True),
        (leaf("UpdateFilter", "ground_control", {"gte": "2000-01-01T00:00:00Z"}), False),
        (leaf("GeometryFilter", "geometry", mapping(Point(11, 11))), True),
        (leaf("GeometryFilter", "geometry", mapping(Point(13, 11))), False),
        (leaf("GeometryFilter", "geometry", mapping(LineString([(0, 0), (11, 11)]))), True),
        (leaf("GeometryFilter", "geometry", mapping(box(11, 11, 13, 13)), relation="within"), False),
        (leaf("GeometryFilter", "geometry", mapping(box(9, 9, 13, 13)), relation="within"), True),
        (leaf("GeometryFilter", "geometry", mapping(box(11, 11, 11.5, 11.5)), relation="contains"), True),
        (leaf("GeometryFilter", "geometry", mapping(box(11, 11, 13, 13)), relation="contains"), False),
        (leaf("GeometryFilter", "geometry", mapping(box(13, 13, 14, 14)), relation="disjoint"), True),
        (leaf("GeometryFilter", "geometry", mapping(box(11, 11, 13, 13)), relation="disjoint"), False),
        # The bow tie is repaired, not refused.
        (
            leaf(
                "GeometryFilter",
                "geometry",
                {"type": "Polygon", "coordinates": [[[10, 10], [12, 12], [12, 10], [10, 12], [10, 10]]]},
            ),
            True,
        ),
        # A field inside of another is no hole in it.
        (
            leaf(
                "GeometryFilter",
                "geometry",
                {
                    "type": "MultiPolygon",
                    "coordinates": [
                        mapping(box(0, 0, 20, 20))["coordinates"],
                        mapping(box(5, 5, 15, 15))["coordinates"],
                    ],
                },
                relation="within",
            ),
            True,
        ),
        (leaf("AndFilter", None, []), True),
        (leaf("OrFilter", None, []), False),
        (leaf("NotFilter", None, leaf("OrFilter", None, [])), True),
    ],
)
def test_hand_made_cases(search_filter: dict[str, Any], expected: bool) -> None:
    assert matches(search_filter, ITEM) is expected


def test_an_item_without_permissions_fails_the_permission_filter() -> None:
    assert not matches(data_filter.permission_filter(), replace(ITEM, permissions=()))


BAD: list[tuple[Any, str, str]] = [
    ([], "filter", "must be an object"),
    ({"type": "NoFilter", "config": []}, "filter.type", "NoFilter"),
    ({"type": ["AndFilter"], "config": []}, "filter.type", "is not a filter type"),
    ({"type": "AndFilter"}, "filter.config", "needs a config"),
    (leaf("AndFilter", None, {}), "filter.config", "array"),
    (leaf("AndFilter", None, [leaf("OrFilter", None, [{}])]), "filter.config.0.config.0.type", "None"),
    (leaf("NotFilter", None, [leaf("AndFilter", None, [])]), "filter.config", "must be an object"),
    (leaf("RangeFilter", None, {"gt": 1}), "filter.field_name", "non-empty string"),
    (leaf("RangeFilter", "gsd", {}), "filter.config", "must be an object with one of"),
    (leaf("RangeFilter", "gsd", {"ge": 1}), "filter.config.ge", "'ge' is not one of"),
    (leaf("RangeFilter", "gsd", {"gt": "1"}), "filter.config.gt", "must be a number"),
    (leaf("RangeFilter", "gsd", {"gt": True}), "filter.config.gt", "must be a number"),
    (leaf("DateRangeFilter", "acquired", {"gt": "2022-01-01"}), "filter.config.gt", "RFC 3339"),
    (leaf("DateRangeFilter", "acquired", {"gt": "2022-01-01T00:00:00"}), "filter.config.gt", "offset"),
    (leaf("DateRangeFilter", "acquired", {"gt": "2022-13-01T00:00:00Z"}), "filter.config.gt", "month"),
    (leaf("DateRangeFilter", "acquired", {"gt": 5}), "filter.config.gt", "string"),
    (leaf("UpdateFilter", "gsd", {"lt": "2022-01-01T00:00:00Z"}), "filter.config.lt", "not one of"),
    (leaf("NumberInFilter", "gsd", [1, "2"]), "filter.config.1", "must be a number"),
    (leaf("NumberInFilter", "gsd", []), "filter.config", "non-empty array"),
    (leaf("StringInFilter", "instrument", "PS2"), "filter.config", "array"),
    (leaf("AssetFilter", None, [1]), "filter.config.0", "string"),
    (leaf("PermissionFilter", None, ["download"]), "filter.config.0", "not a permission"),
    (leaf("GeometryFilter", "geometry", {"type": "Circle"}), "filter.config", "Circle"),
    (leaf("GeometryFilter", "geometry", None), "filter.config", "geometry type"),
    (leaf("GeometryFilter", "geometry", {"type": "Polygon"}), "filter.config.coordinates", "malformed"),
    (
        leaf("GeometryFilter", "geometry", {"type": "Point", "coordinates": [0, 91]}),
        "filter.config.coordinates",
        "globe",
    ),
    (
        leaf("GeometryFilter", "geometry", {"type": "Point", "coordinates": []}),
        "filter.config.coordinates",
        "globe",
    ),
    (leaf("GeometryFilter", "geometry", mapping(Point(0, 0)), relation="near"), "filter.relation", "near"),
]


@pytest.mark.parametrize(("search_filter", "field", "message"), BAD)
def test_a_bad_filter_is_refused_by_field(search_filter: Any, field: str, message: str) -> None:
    with pytest.raises(FilterError, match=message) as caught:
        compile(search_filter)
    assert caught.value.field == field


def test_bottomless_nesting_is_refused() -> None:
    search_filter = leaf("AndFilter", None, [])
    for _ in range(200):
        search_filter = leaf("NotFilter", None, search_filter)
    with pytest.raises(FilterError, match="nested"):
        compile(search_filter)


def test_everything_that_the_sdk_builds_is_understood() -> None:
    moment = datetime(2020, 1, 1, tzinfo=timezone.utc)
    built = [
        data_filter.empty_filter(),
        data_filter.or_filter([data_filter.std_quality_filter()]),
        data_filter.not_filter(data_filter.permission_filter()),
        data_filter.date_range_filter("acquired", gt=moment, lte=moment + timedelta(days=1)),
        data_filter.range_filter("cloud_cover", gte=0.1, lt=0.2),
        data_filter.update_filter("ground_control", gt=moment),
        *(
            data_filter.geometry_filter(mapping(box(0, 0, 1, 1)), relation)
            for relation in (None, "intersects", "contains", "within", "disjoint")
        ),
        data_filter.number_in_filter("gsd", [1, 2.5]),
        data_filter.string_in_filter("instrument", ["PS2"]),
        data_filter.asset_filter(["ortho_visual"]),
    ]
    predicate = compile(data_filter.and_filter(built))
    assert [item for item in ITEMS if predicate(item)] == []


def test_a_query_over_the_antimeridian_finds_both_sides() -> None:
    east = replace(ITEM, geometry=mapping(box(179, -17, 179.5, -16)))
    west = replace(ITEM, geometry=mapping(box(-179.5, -17, -179, -16)))
    far = replace(ITEM, geometry=mapping(box(0, -17, 1, -16)))
    for query in (box(178, -18, 182, -15), box(-182, -18, -178, -15)):
        found = compile(leaf("GeometryFilter", "geometry", mapping(query), relation="within"))
        assert [found(item) for item in (east, west, far)] == [True, True, False]


def test_footprints_over_the_antimeridian_are_found_from_both_sides() -> None:
    crossing = next(item for item in ITEMS if item.geometry["type"] == "MultiPolygon")
    _, south, _, north = crossing.shape.bounds
    for longitude in (179.9999, -179.9999):
        assert matches(
            leaf("GeometryFilter", "geometry", mapping(Point(longitude, (south + north) / 2))), crossing
        )


areas = st.builds(
    lambda x, y, width, height, angle: rotate(box(x, y, x + width, y + height), angle),
    st.floats(-170, 150),
    st.floats(-70, 50),
    st.floats(0.01, 15),
    st.floats(0.01, 15),
    st.floats(0, 90),
)


@given(area=areas, relation=st.sampled_from(["intersects", "within", "contains", "disjoint"]))
def test_geometry_agrees_with_shapely(area: Any, relation: str) -> None:
    predicate = compile(leaf("GeometryFilter", "geometry", mapping(area), relation=relation))
    for item in ITEMS[::7]:
        assert predicate(item) is bool(getattr(shape(item.geometry), relation)(area))


conditions = st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), st.integers(0, 20), min_size=1)


@given(conditions)
def test_ranges_agree_with_comparison(config: dict[str, int]) -> None:
    limits = {name: value / 20 for name, value in config.items()}
    predicate = compile(leaf("RangeFilter", "cloud_cover", limits))
    for item in ITEMS:
        value = item.properties["cloud_cover"]
        expected = (
            value > limits.get("gt", -1)
            and value >= limits.get("gte", -1)
            and value < limits.get("lt", 2)
            and value <= limits.get("lte", 2)
        )
        assert predicate(item) is expected


simple = st.one_of(
    st.builds(lambda value: leaf("RangeFilter", "cloud_cover", {"lt": value}), st.floats(0, 1)),
    st.builds(lambda name: leaf("StringInFilter", "item_type", [name]), st.sampled_from(sorted(ITEM_TYPES))),
    st.just(leaf("PermissionFilter", None, ["assets:download"])),
)
nested = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.builds(
            lambda kind, of: leaf(kind, None, of), st.sampled_from(["AndFilter", "OrFilter"]), st.lists(inner)
        ),
        st.builds(lambda of: leaf("NotFilter", None, of), inner),
    ),
    max_leaves=8,
)


@given(st.lists(nested, max_size=3))
def test_de_morgan(filters: list[dict[str, Any]]) -> None:
    neither = compile(leaf("NotFilter", None, leaf("OrFilter", None, filters)))
    all_not = compile(leaf("AndFilter", None, [leaf("NotFilter", None, each) for each in filters]))
    assert [neither(item) for item in ITEMS[::5]] == [all_not(item) for item in ITEMS[::5]]


offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=offsets))
def test_instants_survive_the_round_trip(moment: datetime) -> None:
    in_utc = moment.astimezone(timezone.utc)
    assert parse_instant(moment.isoformat()) == in_utc
    assert parse_instant(in_utc.isoformat().replace("+00:00", "Z")) == in_utc


def test_nanoseconds_are_cut() -> None:
    assert parse_instant("2022-01-01T00:00:00.123456789Z").microsecond == 123456
