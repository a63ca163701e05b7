from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import planet.data_filter
import planet.exceptions
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planet_provider.builders import filters
from planet_provider.client.api import data
from planet_provider.exceptions import InvalidInputError

POINT = {"type": "Point", "coordinates": [10.0, 50.0]}
REF = "pl:features/my/water-fields-RqB0NZ5/rmQEGqm"
CLOUDLESS = {"type": "RangeFilter", "field_name": "cloud_cover", "config": {"lte": 0.1}}
NOON = datetime(2024, 1, 31, 12, tzinfo=timezone.utc)


def refused(call: Callable[[], Any], field: str, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        call()
    assert caught.value.field == field
    assert words in caught.value.remedy


def in_utc(written: Any) -> Any:
    """The SDK keeps an offset, we write UTC: the same instant, and what they differ in."""
    if isinstance(written, dict):
        return {key: in_utc(value) for key, value in written.items()}
    if isinstance(written, list):
        return [in_utc(value) for value in written]
    if isinstance(written, str) and written[:1].isdigit():
        moment = datetime.fromisoformat(written.replace("Z", "+00:00"))
        return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    return written


names = st.sampled_from(["acquired", "published", "cloud_cover", "gsd", "view_angle"])
moments = st.datetimes(
    min_value=datetime(1990, 1, 1),
    max_value=datetime(2100, 1, 1),
    timezones=st.integers(-840, 840).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
numbers = st.integers(-1000, 1000) | st.floats(allow_nan=False, allow_infinity=False)


def bounds(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """One bound, or two that leave something between them."""
    lower, upper = st.sampled_from(["gt", "gte"]), st.sampled_from(["lt", "lte"])
    one = st.tuples(lower | upper, values).map(lambda pair: {pair[0]: pair[1]})
    two = (
        st.tuples(lower, upper, st.lists(values, min_size=2, max_size=2, unique=True))
        .map(lambda drawn: (drawn[0], drawn[1], sorted(drawn[2])))
        .map(lambda drawn: {drawn[0]: drawn[2][0], drawn[1]: drawn[2][1]})
    )
    return one | two


positions = st.tuples(st.floats(-180, 180), st.floats(-90, 90)).map(list)
boxes = st.tuples(st.floats(-170, 170), st.floats(-80, 80), st.floats(0.001, 9)).map(
    lambda box: [
        [
            [box[0], box[1]],
            [box[0] + box[2], box[1]],
            [box[0] + box[2], box[1] + box[2]],
            [box[0], box[1] + box[2]],
            [box[0], box[1]],
        ]
    ]
)
shapes = st.one_of(
    positions.map(lambda position: {"type": "Point", "coordinates": position}),
    boxes.map(lambda box: {"type": "Polygon", "coordinates": box}),
    st.lists(boxes, min_size=1, max_size=3).map(
        lambda several: {"type": "MultiPolygon", "coordinates": several}
    ),
)
areas = st.one_of(
    shapes,
    shapes.map(lambda shape: {"type": "Feature", "properties": {"name": "a field"}, "geometry": shape}),
)


def pairs(depth: int = 2) -> st.SearchStrategy[tuple[dict[str, Any], dict[str, Any]]]:
    """The same filter built by us and by the SDK."""
    ours, theirs = filters, planet.data_filter
    leaves = st.one_of(
        st.tuples(names, bounds(moments)).map(
            lambda drawn: (
                ours.date_range_filter(drawn[0], **drawn[1]),
                theirs.date_range_filter(drawn[0], **drawn[1]),
            )
        ),
        st.tuples(names, bounds(numbers)).map(
            lambda drawn: (ours.range_filter(drawn[0], **drawn[1]), theirs.range_filter(drawn[0], **drawn[1]))
        ),
        st.tuples(names, st.sampled_from(["gt", "gte"]), moments).map(
            lambda drawn: (
                ours.update_filter(drawn[0], **{drawn[1]: drawn[2]}),
                theirs.update_filter(drawn[0], **{drawn[1]: drawn[2]}),
            )
        ),
        st.tuples(areas, st.sampled_from([None, *filters.RELATIONS])).map(
            lambda drawn: (
                ours.geometry_filter(drawn[0], relation=drawn[1]),
                theirs.geometry_filter(drawn[0], relation=drawn[1]),
            )
        ),
        st.tuples(names, st.lists(numbers, min_size=1)).map(
            lambda drawn: (ours.number_in_filter(*drawn), theirs.number_in_filter(*drawn))
        ),
        st.tuples(names, st.lists(st.sampled_from(["true", "standard", "PS2"]), min_size=1)).map(
            lambda drawn: (ours.string_in_filter(*drawn), theirs.string_in_filter(*drawn))
        ),
        st.lists(st.sampled_from(["basic_udm2", "ortho_analytic_4b"]), min_size=1).map(
            lambda drawn: (ours.asset_filter(drawn), theirs.asset_filter(drawn))
        ),
        st.builds(lambda: (ours.permission_filter(), theirs.permission_filter())),
        st.builds(lambda: (ours.std_quality_filter(), theirs.std_quality_filter())),
        st.builds(lambda: (ours.empty_filter(), theirs.empty_filter())),
    )
    if not depth:
        return leaves
    nested = st.lists(pairs(depth - 1), min_size=1, max_size=3)
    return st.one_of(
        leaves,
        nested.map(
            lambda drawn: (ours.and_filter(*(p[0] for p in drawn)), theirs.and_filter([p[1] for p in drawn]))
        ),
        nested.map(
            lambda drawn: (ours.or_filter(*(p[0] for p in drawn)), theirs.or_filter([p[1] for p in drawn]))
        ),
        pairs(depth - 1).map(lambda pair: (ours.not_filter(pair[0]), theirs.not_filter(pair[1]))),
    )


@pytest.mark.guide("filters")
@given(pairs())
def test_same_json_as_the_sdk(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    ours, theirs = pair
    assert ours == in_utc(theirs)
    assert filters.search_filter(theirs) == ours
    assert filters.search_filter(json.dumps(theirs)) == ours
    assert filters.search_filter(ours) == ours


def test_the_sdk_has_no_filter_that_we_have_not() -> None:
    theirs = {
        name
        for name, value in vars(planet.data_filter).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    assert len(theirs) == 13
    source = inspect.getsource(pairs)
    for name in theirs:
        assert callable(getattr(filters, name))
        assert f"theirs.{name}(" in source, f"{name} is not compared"


# Where we part from the SDK, beside writing UTC: what it would send, we refuse.
@pytest.mark.parametrize(
    ("build", "why"),
    [
        (
            lambda module: module.date_range_filter("acquired", gt=datetime(2024, 1, 1)),
            "stamped Z by the SDK",
        ),
        (lambda module: module.update_filter("acquired", gt=datetime(2024, 1, 1)), "stamped Z by the SDK"),
        (lambda module: module.range_filter("gsd", gt=1, gte=1), "two lower bounds"),
        (lambda module: module.range_filter("gsd", gt=2, lt=1), "matches nothing"),
        (lambda module: module.range_filter("gsd", gt=float("nan")), "no JSON"),
        (lambda module: module.date_range_filter("acquired", gte=NOON, lt=NOON), "matches nothing"),
        (lambda module: module.number_in_filter("gsd", []), "matches nothing"),
        (lambda module: module.string_in_filter("instrument", "PS2"), "a string is no list of strings"),
        (lambda module: module.asset_filter([]), "matches nothing"),
        (lambda module: module.not_filter([CLOUDLESS]), "takes one filter"),
        (lambda module: module.not_filter({"type": "Unknown", "config": 1}), "unknown type"),
        (lambda module: module.geometry_filter({"type": "Point", "coordinates": [0, 99]}), "out of range"),
    ],
)
def test_stricter_than_the_sdk(build: Callable[[Any], Any], why: str) -> None:
    assert build(planet.data_filter), why
    with pytest.raises(InvalidInputError):
        build(filters)


def test_or_of_nothing_matches_nothing() -> None:
    refused(filters.or_filter, "or_filter.config", "empty")
    assert filters.and_filter() == filters.empty_filter() == {"type": "AndFilter", "config": []}


def test_needs_a_bound_as_the_sdk_does() -> None:
    for name in ("date_range_filter", "range_filter", "update_filter"):
        with pytest.raises(planet.exceptions.PlanetError):
            getattr(planet.data_filter, name)("acquired")
        with pytest.raises(InvalidInputError, match="needs at least one bound: gt"):
            getattr(filters, name)("acquired")


@pytest.mark.parametrize(
    ("value", "field", "words"),
    [
        (None, "search_filter", "dict"),
        ("{", "search_filter", "JSON string"),
        ("[]", "search_filter", "dict"),
        ('{"a":' * 100_000, "search_filter", "JSON string"),
        ({}, "search_filter.type", "AndFilter, OrFilter, NotFilter, GeometryFilter"),
        ({"type": "andFilter", "config": []}, "search_filter.type", "must be one of AndFilter"),
        ({"type": "AndFilter"}, "search_filter", "lacks config"),
        ({"type": "AndFilter", "config": CLOUDLESS}, "search_filter.config", "must be a list"),
        ({"type": "OrFilter", "config": []}, "search_filter.config", "empty"),
        ({"type": "RangeFilter", "config": {"gt": 1}}, "search_filter", "lacks field_name"),
        ({**CLOUDLESS, "field_name": ""}, "search_filter.field_name", "not empty"),
        ({**CLOUDLESS, "relation": "within"}, "search_filter", "relation is not known here"),
        ({**CLOUDLESS, "config": {"lte": "0.1"}}, "search_filter.config.lte", "must be a number"),
        ({**CLOUDLESS, "config": {"max": 1}}, "search_filter.config", "known are gt, gte, lt, lte"),
        ({**CLOUDLESS, "config": {"lt": 1, "lte": 1}}, "search_filter.config", "both lt and lte"),
        ({**CLOUDLESS, "config": {"gt": 1, "lte": 1}}, "search_filter.config", "matches nothing"),
        (
            {"type": "UpdateFilter", "field_name": "x", "config": {"lt": "2024-01-01T00:00:00Z"}},
            "search_filter.config",
            "known are gt, gte",
        ),
        (
            {
                "type": "AndFilter",
                "config": [
                    CLOUDLESS,
                    {
                        "type": "NotFilter",
                        "config": {
                            "type": "DateRangeFilter",
                            "field_name": "acquired",
                            "config": {"gte": "2024-01-31T00:00:00"},
                        },
                    },
                ],
            },
            "search_filter.config[1].config.config.gte",
            "no offset",
        ),
        (
            {
                "type": "GeometryFilter",
                "field_name": "geometry",
                "config": {"type": "Point", "coordinates": [1]},
            },
            "search_filter.config.coordinates",
            "longitude",
        ),
        (
            {"type": "GeometryFilter", "field_name": "geometry", "config": POINT, "relation": "near"},
            "search_filter.relation",
            "intersects, contains, within, disjoint",
        ),
        ({"type": "AssetFilter", "config": ["a/b"]}, "search_filter.config[0]", "asset type"),
        ({"type": "PermissionFilter", "config": [1]}, "search_filter.config[0]", "string"),
    ],
)
def test_search_filter_refused_by_name(value: object, field: str, words: str) -> None:
    refused(lambda: filters.search_filter(value), field, words)


def test_search_filter_takes_datetimes_and_leaves_the_given_one_alone() -> None:
    given_filter = {"type": "DateRangeFilter", "field_name": "acquired", "config": {"gte": NOON}}
    assert filters.search_filter(given_filter)["config"] == {"gte": "2024-01-31T12:00:00Z"}
    assert given_filter["config"] == {"gte": NOON}


def test_closed_bounds_may_meet_and_fractions_count() -> None:
    assert filters.range_filter("visible_percent", gte=100, lte=100)["config"] == {"gte": 100, "lte": 100}
    half_past = NOON + timedelta(milliseconds=500)
    assert filters.date_range_filter("acquired", gt=NOON, lt=half_past)["config"] == {
        "gt": "2024-01-31T12:00:00Z",
        "lt": "2024-01-31T12:00:00.500000Z",
    }
    refused(
        lambda: filters.date_range_filter("acquired", gt=half_past, lt=NOON),
        "DateRangeFilter.config",
        "nothing",
    )


def test_combine_nothing_matches_everything() -> None:
    assert filters.combine() == filters.empty_filter()


def test_combine_everything() -> None:
    assert filters.combine(
        json.dumps(CLOUDLESS),
        {"type": "Feature", "geometry": POINT, "properties": None},
        "2024-01-01T00:00:00+01:00",
        NOON,
        published_start=NOON,
        published_end="2024-02-01 00:00:00+00:00",
        relation="contains",
    ) == {
        "type": "AndFilter",
        "config": [
            CLOUDLESS,
            {"type": "GeometryFilter", "field_name": "geometry", "config": POINT, "relation": "contains"},
            {
                "type": "DateRangeFilter",
                "field_name": "acquired",
                "config": {"gte": "2023-12-31T23:00:00Z", "lt": "2024-01-31T12:00:00Z"},
            },
            {
                "type": "DateRangeFilter",
                "field_name": "published",
                "config": {"gte": "2024-01-31T12:00:00Z", "lt": "2024-02-01T00:00:00Z"},
            },
        ],
    }


@pytest.mark.parametrize(
    ("given_window", "config"),
    [
        ({"acquired_start": NOON}, {"gte": "2024-01-31T12:00:00Z"}),
        ({"acquired_end": NOON}, {"lt": "2024-01-31T12:00:00Z"}),
    ],
)
def test_combine_open_windows(given_window: dict[str, Any], config: dict[str, str]) -> None:
    assert filters.combine(**given_window)["config"] == [
        {"type": "DateRangeFilter", "field_name": "acquired", "config": config}
    ]


@pytest.mark.parametrize("end", [NOON, NOON - timedelta(microseconds=1), "2024-01-31T13:00:00+01:00"])
def test_combine_refuses_an_empty_window(end: Any) -> None:
    refused(lambda: filters.combine(acquired_start=NOON, acquired_end=end), "acquired_end", "acquired_start")


def test_an_interval_of_no_length_names_the_timetable() -> None:
    """As Airflow 3 has it for a plain @daily."""
    for call, field in (
        (lambda: filters.combine(acquired_start=NOON, acquired_end=NOON), "acquired_end"),
        (lambda: filters.criteria(published_start=NOON, published_end=str(NOON)), "published_end"),
        (lambda: filters.date_range_filter("acquired", gte=NOON, lt=NOON), "DateRangeFilter.config"),
    ):
        refused(call, field, "schedule with CronDataIntervalTimetable")
    later = NOON + timedelta(hours=1)
    with pytest.raises(InvalidInputError, match=r"must be later than acquired_start, [^ ]*\.$"):
        filters.combine(acquired_start=later, acquired_end=NOON)


def test_combine_refuses() -> None:
    refused(lambda: filters.combine({"type": "X"}), "search_filter.type", "must be one of")
    refused(lambda: filters.combine(None, POINT, "2024-01-31"), "acquired_start", "T00:00:00Z")
    refused(lambda: filters.combine(relation="within"), "relation", "geometry")
    refused(lambda: filters.combine(None, POINT, relation="near"), "relation", "must be one of")
    refused(lambda: filters.combine(None, REF), "geometry", "beside the filter")
    refused(lambda: filters.geometry_filter(REF), "geometry", "beside the filter")


def test_criteria_are_what_a_search_takes() -> None:
    plain = filters.criteria(CLOUDLESS, POINT, NOON)
    assert plain == {"search_filter": filters.combine(CLOUDLESS, POINT, NOON)}
    assert filters.criteria() == {"search_filter": filters.empty_filter()}
    referring = filters.criteria(CLOUDLESS, REF, acquired_end=NOON)
    assert referring == {
        "search_filter": filters.combine(CLOUDLESS, acquired_end=NOON),
        "geometry": {"type": "ref", "content": REF},
    }
    body = data.quick_search(["PSScene"], **referring).json
    assert body == {
        "item_types": ["PSScene"],
        "filter": referring["search_filter"],
        "geometry": {"type": "ref", "content": REF},
    }
    refused(lambda: filters.criteria(geometry=REF, relation="within"), "relation", "GeoJSON")
