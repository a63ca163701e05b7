from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import planet.geojson
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from planet_provider.client.geometry import geometry, is_reference
from planet_provider.exceptions import InvalidInputError

SQUARE: dict[str, Any] = {
    "type": "Polygon",
    "coordinates": [[[10, 50], [11, 50], [11, 51], [10, 51], [10, 50]]],
}
REF = "pl:features/my/water-fields-RqB0NZ5/rmQEGqm"


def refused(value: object, expected_field: str, words: str, **options: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        geometry(value, **options)
    assert caught.value.field == expected_field
    assert words in caught.value.remedy


longitude = st.floats(-180, 180)
latitude = st.floats(-90, 90)
position = st.tuples(longitude, latitude).map(list) | st.tuples(
    longitude, latitude, st.floats(-500, 9000)
).map(list)
line = st.lists(position, min_size=2, max_size=6)
ring = st.lists(position, min_size=3, max_size=6).map(lambda corners: [*corners, corners[0]])
polygon = st.lists(ring, min_size=1, max_size=3)
geometries = st.one_of(
    st.tuples(st.just(kind), coordinates).map(lambda pair: {"type": pair[0], "coordinates": pair[1]})
    for kind, coordinates in {
        "Point": position,
        "MultiPoint": st.lists(position, min_size=1, max_size=4),
        "LineString": line,
        "MultiLineString": st.lists(line, min_size=1, max_size=3),
        "Polygon": polygon,
        "MultiPolygon": st.lists(polygon, min_size=1, max_size=3),
    }.items()
)


@settings(max_examples=300, deadline=None)
@given(geometries)
def test_same_as_the_sdk_in_every_wrapping(shape: dict[str, Any]) -> None:
    feature = {"type": "Feature", "properties": {"pl:ref": REF}, "geometry": shape, "id": 1}
    collection = {"type": "FeatureCollection", "features": [feature]}
    for form in (shape, feature, collection):
        assert geometry(form) == planet.geojson.as_geom_or_ref(form) == shape
        assert geometry(json.dumps(form)) == shape


# Where we part from the SDK: members beside type and coordinates are dropped rather than sent; ranges,
# finite numbers and the count of vertices are checked; a reference must name a feature, not a collection;
# "REF" is no type; strings may be JSON or paths.
@pytest.mark.parametrize(
    "only_sdk_takes",
    [
        {"type": "Point", "coordinates": [181, 0]},
        {"type": "Point", "coordinates": [0, 91]},
        "pl:features/my/collection",
    ],
)
def test_stricter_than_the_sdk(only_sdk_takes: Any) -> None:
    assert planet.geojson.as_geom_or_ref(only_sdk_takes)
    with pytest.raises(InvalidInputError):
        geometry(only_sdk_takes)


def test_result_is_a_copy_without_foreign_members() -> None:
    given_shape = {**SQUARE, "bbox": [10, 50, 11, 51], "crs": {}}
    result = geometry(given_shape)
    assert result == SQUARE
    result["coordinates"][0][0][0] = 99
    assert given_shape["coordinates"][0][0][0] == 10


@pytest.mark.parametrize("form", [REF, f" {REF}\n", {"type": "ref", "content": REF}])
def test_reference_as_the_sdk_sends_it(form: Any) -> None:
    result = geometry(form)
    assert result == planet.geojson.as_geom_or_ref(REF)
    assert is_reference(result)
    assert not is_reference(SQUARE)


@pytest.mark.parametrize(
    "form", ["pl:features/my", "pl:features/my//x", "pl:features/my/a/b/c", "pl:features/my/a/b c"]
)
def test_reference_malformed(form: str) -> None:
    refused(form, "geometry.content", "must name a feature")
    refused({"type": "ref"}, "geometry.content", "must name a feature")


@pytest.mark.parametrize("name", ["aoi.geojson", "AOI.JSON"])
def test_file(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / name
    path.write_text(
        json.dumps({"type": "Feature", "geometry": SQUARE, "properties": {"ort": "Zürich"}}), "utf-8"
    )
    assert geometry(path) == geometry(str(path)) == SQUARE
    monkeypatch.setenv("HOME", str(tmp_path))
    assert geometry(f"~/{name}") == SQUARE


def test_file_that_cannot_be_used(tmp_path: Path) -> None:
    refused(tmp_path / "none.geojson", "aoi", "cannot be read", field="aoi")
    refused("a\0b.geojson", "geometry", "cannot be read")
    refused("~nobody-of-this-name/aoi.geojson", "geometry", "cannot be read")
    (tmp_path / "latin.json").write_bytes(b'{"\xe4": 1}')
    refused(tmp_path / "latin.json", "geometry", "cannot be read")
    (tmp_path / "cut.json").write_text('{"type": "Pol')
    refused(tmp_path / "cut.json", "geometry", "holds no JSON")
    (tmp_path / "list.json").write_text("[]")
    refused(tmp_path / "list.json", "geometry", "must be a GeoJSON geometry")


def test_geo_interface() -> None:
    assert geometry(shapely.box(10, 50, 11, 51)) == {
        "type": "Polygon",
        "coordinates": [[[11.0, 50.0], [11.0, 51.0], [10.0, 51.0], [10.0, 50.0], [11.0, 50.0]]],
    }
    refused(shapely.GeometryCollection([shapely.Point(1, 2)]), "geometry.type", "Point")


@pytest.mark.parametrize(
    ("value", "field", "words"),
    [
        ("POLYGON((0 0, 1 1, 0 1, 0 0))", "geometry", "must be a GeoJSON geometry"),
        ("s3://bucket/aoi.gpkg", "geometry", "must be a GeoJSON geometry"),
        ("{not json}", "geometry", "holds no JSON"),
        ('{"a":' * 100_000, "geometry", "holds no JSON"),
        (None, "geometry", "must be a GeoJSON geometry"),
        (3, "geometry", "must be a GeoJSON geometry"),
        ({}, "geometry.type", "must be one of Point"),
        ({"type": ["Point"]}, "geometry.type", "must be one of Point"),
        ({"type": "GeometryCollection", "geometries": []}, "geometry.type", "MultiPolygon"),
        ({"type": "Feature", "geometry": None}, "geometry.geometry", "must be a GeoJSON geometry"),
        ({"type": "FeatureCollection"}, "geometry.features", "must be a list"),
        ({"type": "FeatureCollection", "features": []}, "geometry.features", "empty"),
        ({"type": "FeatureCollection", "features": [{}, {}]}, "geometry.features", "one MultiPolygon"),
        (
            {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": {"type": "P"}}]},
            "geometry.features[0].geometry.type",
            "must be one of",
        ),
        ({"type": "Point"}, "geometry.coordinates", "must be a list"),
        ({"type": "Point", "coordinates": []}, "geometry.coordinates", "empty"),
        ({"type": "Point", "coordinates": [1]}, "geometry.coordinates", "[longitude, latitude]"),
        ({"type": "Point", "coordinates": [1, 2, 3, 4]}, "geometry.coordinates", "[longitude, latitude]"),
        ({"type": "Point", "coordinates": [1, "2"]}, "geometry.coordinates[1]", "must be a number"),
        ({"type": "Point", "coordinates": [1, True]}, "geometry.coordinates[1]", "must be a number"),
        ({"type": "Point", "coordinates": [float("nan"), 2]}, "geometry.coordinates[0]", "finite"),
        ('{"type": "Point", "coordinates": [0, 1e999]}', "geometry.coordinates[1]", "finite"),
        ({"type": "Point", "coordinates": [[1, 2]]}, "geometry.coordinates[0]", "must be a number"),
        ({"type": "Point", "coordinates": [37.8, -122.4]}, "geometry.coordinates", "swap"),
        ({"type": "Point", "coordinates": [180.5, 10]}, "geometry.coordinates", "antimeridian"),
        ({"type": "Point", "coordinates": [120, 95]}, "geometry.coordinates", "beyond ±90"),
        ({"type": "Point", "coordinates": [551234.5, 4182345.1]}, "geometry.coordinates", "EPSG:4326"),
        ({"type": "Point", "coordinates": [10**400, 1]}, "geometry.coordinates", "EPSG:4326"),
        ({"type": "LineString", "coordinates": [[1, 2]]}, "geometry.coordinates", "at least 2"),
        (
            {"type": "Polygon", "coordinates": [[1, 2], [3, 4]]},
            "geometry.coordinates[0][0]",
            "must be a list",
        ),
        (
            {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]},
            "geometry.coordinates[0]",
            "at least 4",
        ),
        (
            {"type": "Polygon", "coordinates": [*SQUARE["coordinates"], [[0, 0], [1, 1], [0, 1], [0, 2]]]},
            "geometry.coordinates[1]",
            "not closed: it must end where it starts, with [0, 0]",
        ),
        (
            {
                "type": "MultiPolygon",
                "coordinates": [SQUARE["coordinates"], [[[0, 0], [200, 0], [0, 1], [0, 0]]]],
            },
            "geometry.coordinates[1][0][1]",
            "antimeridian",
        ),
    ],
)
def test_refused_by_name(value: object, field: str, words: str) -> None:
    refused(value, field, words)


def test_vertices_are_counted_over_all_parts() -> None:
    circle = [[index / 100, 1] for index in range(749)]
    ring_of_750 = [*circle, circle[0]]
    full = {"type": "MultiPolygon", "coordinates": [[ring_of_750], [ring_of_750]]}
    assert geometry(full) == full
    over = {
        "type": "MultiPolygon",
        "coordinates": [[ring_of_750], [[circle[-1], *ring_of_750[:-1], circle[-1]]]],
    }
    refused(over, "geometry.coordinates", "than the 1500 Planet takes")
    assert geometry(over, max_vertices=1501) == over
    refused(SQUARE, "aoi.coordinates", "than the 4", field="aoi", max_vertices=4)


def test_message_names_the_path_the_value_and_the_remedy() -> None:
    with pytest.raises(
        InvalidInputError, match=r"tools\[0\]\.clip\.aoi\.coordinates\[1\]='x': must be a number"
    ):
        geometry({"type": "Point", "coordinates": [0, "x"]}, "tools[0].clip.aoi")
