from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import planet.geojson
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from planet_provider.builders.geometry import geometry, is_reference
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


def geometries(west: float, east: float) -> st.SearchStrategy[dict[str, Any]]:
    """Geometries of any type between two meridians, at most 180 degrees apart."""
    longitude, latitude = st.floats(west, east), st.floats(-90, 90)
    position = st.tuples(longitude, latitude).map(list) | st.tuples(
        longitude, latitude, st.floats(-500, 9000)
    ).map(list)
    line = st.lists(position, min_size=2, max_size=6)
    ring = st.lists(position, min_size=3, max_size=6).map(lambda corners: [*corners, corners[0]])
    polygon = st.lists(ring, min_size=1, max_size=3)
    return st.one_of(
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


@given(st.one_of(geometries(-180, 0), geometries(-90, 90), geometries(0, 180)))
def test_same_as_the_sdk_in_every_wrapping(shape: dict[str, Any]) -> None:
    feature = {"type": "Feature", "properties": {"pl:ref": REF}, "geometry": shape, "id": 1}
    collection = {"type": "FeatureCollection", "features": [feature]}
    for form in (shape, feature, collection):
        assert geometry(form) == planet.geojson.as_geom_or_ref(form) == shape
        assert geometry(json.dumps(form)) == shape


# Where we part from the SDK: members beside type and coordinates are dropped rather than sent; ranges,
# finite numbers, steps over the antimeridian and the count of vertices are checked; a reference must name a
# feature, not a collection; strings may be JSON or paths.
@pytest.mark.parametrize(
    "only_sdk_takes",
    [
        {"type": "Point", "coordinates": [181, 0]},
        {"type": "Point", "coordinates": [0, 91]},
        {"type": "LineString", "coordinates": [[179, 0], [-179, 0]]},
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
    refused(tmp_path / "latin.json", "geometry", "holds no JSON")
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
        ({}, "geometry.type", "lacks the type of a geometry: one of Point"),
        ({"coordinates": [1, 2]}, "geometry.type", "lacks the type of a geometry"),
        ({"type": None, "coordinates": [1, 2]}, "geometry.type", "must be one of Point"),
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


FIJI = [[177, -19], [-178, -19], [-178, -16], [177, -16], [177, -19]]


@pytest.mark.parametrize(
    ("kind", "coordinates", "path"),
    [
        ("Polygon", [FIJI], "[0][1]"),
        ("Polygon", [FIJI[::-1]], "[0][2]"),
        ("Polygon", [SQUARE["coordinates"][0], FIJI], "[1][1]"),
        ("MultiPolygon", [SQUARE["coordinates"], [FIJI]], "[1][0][1]"),
        ("LineString", [[179.9, 0], [-179.9, 0]], "[1]"),
        ("MultiLineString", [[[1, 0], [2, 0]], [[-10, 0], [170.5, 0]]], "[1][1]"),
        # Through positions on the antimeridian itself.
        ("Polygon", [[[177, 0], [180, 0], [-180, 0], [-178, 0], [-178, 2], [177, 2], [177, 0]]], "[0][2]"),
        ("Polygon", [[[177, 0], [180, 0], [-180, 0], [-180, 2], [180, 2], [177, 2], [177, 0]]], "[0][2]"),
    ],
)
def test_a_step_over_the_antimeridian_is_refused(kind: str, coordinates: Any, path: str) -> None:
    shape = {"type": kind, "coordinates": coordinates}
    refused(shape, f"geometry.coordinates{path}", "split the geometry in two there (RFC 7946")
    refused(shape, f"geometry.coordinates{path}", "180 degrees of longitude from the position before")


@pytest.mark.parametrize(
    "shape",
    [
        {"type": "Polygon", "coordinates": [[[-90, 0], [90, 0], [90, 1], [-90, 1], [-90, 0]]]},
        shapely.geometry.mapping(shapely.box(-180, -60, 180, 60)),
        {"type": "MultiPoint", "coordinates": [[179, 0], [-179, 0]]},
        {
            "type": "MultiPolygon",
            "coordinates": [
                [[[177, -19], [180, -19], [180, -16], [177, -16], [177, -19]]],
                [[[-180, -19], [-178, -19], [-178, -16], [-180, -16], [-180, -19]]],
            ],
        },
    ],
    ids=["180 degrees", "the globe", "points", "split"],
)
def test_no_step_over_the_antimeridian(shape: dict[str, Any]) -> None:
    assert json.loads(json.dumps(geometry(shape))) == json.loads(json.dumps(shape))


@pytest.mark.parametrize(
    ("shape", "field", "words"),
    [
        (
            {"type": "Polygon", "coordinates": [[-122.5, 37.6], [-122.4, 37.7], [-122.5, 37.6]]},
            "geometry.coordinates[0][0]",
            "must be a list: the coordinates of a Polygon are [[[longitude, latitude], ...], ...]",
        ),
        (
            {"type": "Polygon", "coordinates": [SQUARE["coordinates"]]},
            "geometry.coordinates[0][0][0]",
            "must be a number: the coordinates of a Polygon are [[[longitude, latitude], ...], ...]",
        ),
        (
            {"type": "MultiPolygon", "coordinates": SQUARE["coordinates"]},
            "geometry.coordinates[0][0][0]",
            "must be a list: the coordinates of a MultiPolygon are [[[[longitude, latitude], ...], ...], ...]",
        ),
        ({"type": "Point", "coordinates": [[1, 2]]}, "geometry.coordinates[0]", "are [longitude, latitude]."),
        (
            {"type": "LineString", "coordinates": [1, 2]},
            "geometry.coordinates[0]",
            "[[longitude, latitude], ...",
        ),
    ],
)
def test_wrong_nesting_says_which_is_right(shape: dict[str, Any], field: str, words: str) -> None:
    refused(shape, field, words)


def with_crs(level: str, crs: Any) -> dict[str, Any]:
    feature: dict[str, Any] = {"type": "Feature", "properties": {}, "geometry": dict(SQUARE)}
    collection = {"type": "FeatureCollection", "features": [feature]}
    levels = {"FeatureCollection": collection, "Feature": feature, "Polygon": feature["geometry"]}
    levels[level]["crs"] = crs
    return collection


@pytest.mark.parametrize("level", ["FeatureCollection", "Feature", "Polygon"])
@pytest.mark.parametrize(
    "named",
    [
        "urn:ogc:def:crs:OGC:1.3:CRS84",
        "urn:ogc:def:crs:OGC::CRS84h",
        "urn:ogc:def:crs:EPSG::4326",
        "urn:ogc:def:crs:EPSG:6.9:4326",
        "http://www.opengis.net/def/crs/OGC/1.3/CRS84",
        "http://www.opengis.net/def/crs/EPSG/0/4326",
        "http://www.opengis.net/gml/srs/epsg.xml#4326",
        "EPSG:4326",
        "epsg:4979",
        "CRS:84",
        "WGS84",
    ],
)
def test_a_crs_member_of_wgs84(level: str, named: str) -> None:
    assert geometry(with_crs(level, {"type": "name", "properties": {"name": named}})) == SQUARE


@pytest.mark.parametrize("crs", [None, {}, {"type": "EPSG", "properties": {"code": 4326}}, "EPSG:4326"])
def test_a_crs_member_that_names_no_other(crs: Any) -> None:
    assert geometry(with_crs("Feature", crs)) == SQUARE


@pytest.mark.parametrize(
    ("level", "path"),
    [("FeatureCollection", ""), ("Feature", ".features[0]"), ("Polygon", ".features[0].geometry")],
)
@pytest.mark.parametrize(
    "named",
    ["EPSG:3857", "urn:ogc:def:crs:EPSG::32633", "urn:ogc:def:crs:EPSG::14326", "NAD83", "EPSG:43260"],
)
def test_a_crs_member_of_another_system(level: str, path: str, named: str) -> None:
    crs = {"type": "name", "properties": {"name": named}}
    refused(with_crs(level, crs), f"geometry{path}.crs", "is its coordinate system, not EPSG:4326")
    refused(json.dumps(with_crs(level, crs)), f"geometry{path}.crs", "project it to longitude and latitude")


@pytest.mark.parametrize(
    "crs",
    [
        "EPSG:3857",
        3857,
        {"type": "EPSG", "properties": {"code": 3857}},
        {"type": "link", "properties": {"href": "https://example.com/crs/42"}},
    ],
)
def test_a_crs_member_of_another_form(crs: Any) -> None:
    refused(with_crs("Feature", crs), "geometry.features[0].crs", "not EPSG:4326")


def test_the_coordinate_system_of_a_shapely_object() -> None:
    square = shapely.box(1, 2, 3, 4)
    assert geometry(shapely.set_srid(square, 4326)) == geometry(square)
    refused(shapely.set_srid(square, 3857), "geometry", "is its coordinate system")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "aoi.geojson"
    path.write_text(json.dumps({**SQUARE, "name": "Zürich"}, ensure_ascii=False), encoding)
    assert geometry(path) == SQUARE
    assert geometry("\ufeff" + json.dumps(SQUARE)) == SQUARE


@pytest.mark.parametrize(
    "form",
    [
        {"geometry": SQUARE},
        {"geometry": SQUARE, "properties": {}},
        {"features": [{"geometry": SQUARE}]},
        {"type": "feature", "geometry": SQUARE},
        {"type": "FEATURECOLLECTION", "features": [{"type": "FEATURE", "geometry": SQUARE}]},
        {"type": "polygon", "coordinates": SQUARE["coordinates"]},
        {"geometry": {"geometry": {**SQUARE, "type": "POLYGON"}}},
    ],
)
def test_a_type_that_is_missing_or_in_another_case(form: dict[str, Any]) -> None:
    assert geometry(form) == SQUARE


def test_a_reference_in_another_case() -> None:
    assert geometry({"type": "Ref", "content": REF}) == geometry(REF)


@pytest.mark.parametrize("start", ["file://", "file://localhost", "FILE://"])
def test_a_file_url(tmp_path: Path, start: str) -> None:
    path = tmp_path / "my area.geojson"
    path.write_text(json.dumps(SQUARE))
    assert geometry(f"{start}{tmp_path}/my%20area.geojson") == SQUARE


class StoragePath:
    """Like Airflow's ObjectStoragePath, which is no PathLike."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __str__(self) -> str:
        return self._url

    def read_bytes(self) -> bytes:
        raise NotImplementedError


def test_an_object_storage_path_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "aoi.geojson"
    path.write_text(json.dumps(SQUARE))
    assert geometry(StoragePath(path.as_uri())) == geometry(StoragePath(str(path))) == SQUARE


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/aoi.geojson",
        "s3://conn@bucket/aoi.geojson",
        "https://example.com/aoi.json",
        "file://server/share/aoi.geojson",
        Path("s3://bucket/aoi.geojson"),
        StoragePath("gs://bucket/aoi"),
    ],
)
def test_a_url_of_another_machine_says_what_is_taken(url: Any) -> None:
    refused(url, "geometry", "is not on this machine. Read it in a task before and hand on its content")
    refused(url, "geometry", "a path or file:// URL of a .geojson or .json file")


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
