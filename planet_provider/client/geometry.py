"""An area of interest, from whatever form a user has it in to what Planet takes.

Checked are type, nesting, numbers, ranges, closed rings and the count of vertices. Whether a ring crosses
itself, which way it runs and whether holes lie inside is not checked; Planet does that.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from planet_provider.client import checks
from planet_provider.exceptions import InvalidInputError

#: Vertices a geometry may have, closing ones included. Source: "AOI geometry limits" in Planet's article on
#: the clip tool, and the limitations of the Features API.
MAX_VERTICES = 1500

#: Type of a reference to a feature that is stored at Planet.
REFERENCE = "ref"

#: Geometries with an area, which is what clipping needs.
AREA_TYPES = ("Polygon", "MultiPolygon")

_REFERENCE_PREFIX = "pl:features/"
_REFERENCE = re.compile(r"pl:features/[^/\s]+/[^/\s]+/[^/\s]+")
#: Longitude and latitude on WGS 84, without and with a height.
_EPSG = (4326, 4979)
_FILE_SUFFIXES = (".geojson", ".json")
_FORMS = (
    "a GeoJSON geometry or Feature (dict or JSON string), a path to a .geojson or .json file, an object with "
    "__geo_interface__, or a feature reference pl:features/my/<collection>/<feature>"
)

# Checks one node of coordinates, named by its path, and returns the node and the count of its vertices.
_Node = Callable[[object, str], tuple[list[Any], int]]


def geometry(
    value: object, field: str = "geometry", *, max_vertices: int | None = MAX_VERTICES
) -> dict[str, Any]:
    """Turn an area of interest into the geometry or the reference that Planet takes.

    :param value: GeoJSON geometry, Feature, or FeatureCollection of one feature, as dict or JSON string;
        path to a ``.geojson`` or ``.json`` file, which is read; anything with ``__geo_interface__``; a
        reference to a feature that is stored at Planet, ``pl:features/my/<collection>/<feature>``.
        Coordinates are EPSG:4326, (longitude, latitude) in degrees; what names another system is refused.
    :param field: Name that errors give the value.
    :param max_vertices: Vertices it may have, closing ones included; ``None`` where they were counted before.
    :return: ``{"type", "coordinates"}`` without any other member, or ``{"type": "ref", "content"}``.
    :raises InvalidInputError: It is none of these, cannot be read, or Planet would refuse it.
    """
    found, path = _unwrapped(_resolve(value, field), field)
    if not isinstance(found, Mapping):
        raise InvalidInputError(path, found, f"must be {_FORMS}.")
    kind = found.get("type")
    if kind == REFERENCE:
        return {"type": REFERENCE, "content": _reference(found.get("content"), f"{path}.content")}
    kind = checks.choice(kind, _COORDINATES, f"{path}.type")
    coordinates, vertices = _COORDINATES[kind](found.get("coordinates"), f"{path}.coordinates")
    if max_vertices is not None and vertices > max_vertices:
        remedy = (
            f"are more vertices than the {max_vertices} Planet takes; simplify it or split it up, or raise "
            "max_vertices (an extra of the connection) where Planet takes more of this account."
        )
        raise InvalidInputError(f"{path}.coordinates", vertices, remedy)
    return {"type": kind, "coordinates": coordinates}


def is_reference(checked: Mapping[str, Any]) -> bool:
    """Whether it refers to a feature that is stored at Planet."""
    return checked.get("type") == REFERENCE


def check_area(value: object, field: str, *, max_vertices: int | None = MAX_VERTICES) -> None:
    """Check an area that is sent as it is: a Polygon, a MultiPolygon or a reference, in no wrapping.

    :param value: The area as dict.
    :param field: Name that errors give the value.
    :param max_vertices: As for :func:`geometry`.
    """
    given = checks.mapping(value, field)
    checks.choice(given.get("type"), (*AREA_TYPES, REFERENCE), f"{field}.type")
    geometry(given, field, max_vertices=max_vertices)


def _resolve(value: object, field: str) -> object:
    if hasattr(value, "__geo_interface__"):
        _check_crs(getattr(value, "crs", None), field)
        return value.__geo_interface__
    if isinstance(value, os.PathLike):
        return _from_file(os.fspath(value), field)
    if not isinstance(value, str):
        return value
    stripped = value.strip()
    if stripped.startswith(_REFERENCE_PREFIX):
        return {"type": REFERENCE, "content": stripped}
    if stripped.startswith("{"):
        return _from_json(stripped, value, field)
    if stripped.lower().endswith(_FILE_SUFFIXES):
        return _from_file(stripped, field)
    raise InvalidInputError(field, value, f"must be {_FORMS}.")


def _check_crs(crs: object, field: str) -> None:
    """Refuse the coordinate system of a GeoPandas object, which its ``__geo_interface__`` doesn't tell."""
    to_epsg = getattr(crs, "to_epsg", None)
    if not callable(to_epsg):
        return
    epsg = to_epsg()
    # Of what has no number, OGC's CRS84 among it, only that it isn't in degrees is sure.
    if epsg not in (None, *_EPSG) or (epsg is None and getattr(crs, "is_projected", False)):
        named = "a projection" if epsg is None else f"EPSG:{epsg}"
        raise InvalidInputError(field, named, "is its coordinate system, not EPSG:4326; use to_crs(4326).")


def _from_file(path: str | bytes, field: str) -> object:
    try:
        content = Path(os.fsdecode(path)).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidInputError(field, path, f"is a file that cannot be read: {error}.") from None
    return _from_json(content, path, field)


def _from_json(content: str, shown: object, field: str) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(field, shown, f"holds no JSON: {error}.") from None


def _unwrapped(value: object, field: str) -> tuple[object, str]:
    if isinstance(value, Mapping) and value.get("type") == "FeatureCollection":
        value, field = _only_feature(value.get("features"), f"{field}.features"), f"{field}.features[0]"
    if isinstance(value, Mapping) and value.get("type") == "Feature":
        value, field = value.get("geometry"), f"{field}.geometry"
    return value, field


def _reference(content: object, field: str) -> str:
    if not isinstance(content, str) or not _REFERENCE.fullmatch(content):
        raise InvalidInputError(field, content, "must name a feature: pl:features/my/<collection>/<feature>.")
    return content


def _only_feature(features: object, field: str) -> object:
    found = checks.sequence(features, field, lambda feature, _: feature)
    if len(found) > 1:
        remedy = "are features, and Planet takes one geometry; join them into one MultiPolygon, or pass one."
        raise InvalidInputError(field, len(found), remedy)
    return found[0]


def _position(value: object, path: str) -> tuple[list[Any], int]:
    numbers = checks.sequence(value, path, checks.number)
    if len(numbers) not in (2, 3):
        raise InvalidInputError(path, value, "must be a position: [longitude, latitude] or with a height.")
    if problem := _out_of_range(numbers[0], numbers[1]):
        raise InvalidInputError(path, value, problem)
    return numbers, 1


def _out_of_range(longitude: float, latitude: float) -> str | None:
    if abs(longitude) <= 180 and abs(latitude) <= 90:
        return None
    if max(abs(longitude), abs(latitude)) > 360:
        return "is not in degrees; coordinates must be EPSG:4326, so project them back."
    if abs(longitude) <= 90 and abs(latitude) <= 180:
        return "looks like (latitude, longitude); GeoJSON has the longitude first, so swap them."
    if abs(latitude) <= 90:
        return (
            "has a longitude beyond ±180 degrees; split what crosses the antimeridian in two there "
            "(RFC 7946, section 3.1.9)."
        )
    return "has a latitude beyond ±90 degrees."


def _several(each: _Node, *, least: int, what: str) -> _Node:
    def check(value: object, path: str) -> tuple[list[Any], int]:
        nodes = checks.sequence(value, path, each)
        if len(nodes) < least:
            raise InvalidInputError(path, value, f"must have at least {least} positions to be {what}.")
        return [node for node, _ in nodes], sum(vertices for _, vertices in nodes)

    return check


def _ring(value: object, path: str) -> tuple[list[Any], int]:
    positions, vertices = _several(_position, least=4, what="a ring")(value, path)
    if positions[0] != positions[-1]:
        remedy = f"is not closed: it must end where it starts, with {positions[0]}."
        raise InvalidInputError(path, value, remedy)
    return positions, vertices


_LINE = _several(_position, least=2, what="a line")
_POLYGON = _several(_ring, least=1, what="a polygon")
_COORDINATES: dict[str, _Node] = {
    "Point": _position,
    "MultiPoint": _several(_position, least=1, what="a MultiPoint"),
    "LineString": _LINE,
    "MultiLineString": _several(_LINE, least=1, what="a MultiLineString"),
    "Polygon": _POLYGON,
    "MultiPolygon": _several(_POLYGON, least=1, what="a MultiPolygon"),
}
