"""An area of interest, from whatever form a user has it in to what Planet takes.

Checked are type, coordinate system, nesting, numbers, ranges, closed rings, steps across the antimeridian and
the count of vertices. Whether a ring crosses itself, which way it runs and whether holes lie inside is not
checked; Planet does that.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from planet_provider.builders import checks, spec
from planet_provider.exceptions import InvalidInputError

#: Vertices that an order's area may have, closing ones included. Source: "AOI geometry limits" in Planet's
#: article on the clip tool, and the limitations of the Features API. Planet documents none for searches.
MAX_VERTICES = 1500

#: Type of a reference to a feature that is stored at Planet.
REFERENCE = "ref"

#: Geometries with an area, which is what clipping needs.
AREA_TYPES = ("Polygon", "MultiPolygon")

_REFERENCE_PREFIX = "pl:features/"
_REFERENCE = re.compile(r"pl:features/[^/\s]+/[^/\s]+/[^/\s]+")
#: Longitude and latitude on WGS 84, without and with a height.
_EPSG = (4326, 4979)
#: The same as a GeoJSON ``crs`` member names them, e.g. ``urn:ogc:def:crs:OGC:1.3:CRS84`` and ``EPSG:4326``.
_WGS84 = re.compile(r"(.*[:/#])?(CRS:?84h?|4326|4979|WGS[ _]?84)/?", re.IGNORECASE | re.DOTALL)
_FILE_SUFFIXES = (".geojson", ".json")
#: A URL; one slash is left of two where a URL was made into a pathlib.Path.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_FORMS = (
    "a GeoJSON geometry or Feature (dict or JSON string), a path or file:// URL of a .geojson or .json file on "
    "this machine, an object with __geo_interface__, or a feature reference "
    "pl:features/my/<collection>/<feature>"
)

# Checks one node of coordinates, named by its path, and returns the node and the count of its vertices.
_Node = Callable[[object, str], tuple[list[Any], int]]


def geometry(
    value: object, field: str = "geometry", *, max_vertices: int | None = MAX_VERTICES
) -> dict[str, Any]:
    """Turn an area of interest into the geometry or the reference that Planet takes.

    :param value: GeoJSON geometry, Feature, or FeatureCollection of one feature, as dict or JSON string;
        path or ``file://`` URL of a ``.geojson`` or ``.json`` file on this machine, which is read; anything with
        ``__geo_interface__``; a reference to a feature that is stored at Planet,
        ``pl:features/my/<collection>/<feature>``. Coordinates are EPSG:4326, (longitude, latitude) in degrees;
        what names another system is refused. The type may have any capitalisation.
    :param field: Name that errors give the value.
    :param max_vertices: Vertices it may have, closing ones included; ``None`` where they were counted before.
    :return: ``{"type", "coordinates"}`` without any other member, or ``{"type": "ref", "content"}``.
    :raises InvalidInputError: It is none of these, cannot be read, or Planet would refuse it.
    """
    found, path = _unwrapped(_resolve(value, field), field)
    if not isinstance(found, Mapping):
        raise InvalidInputError(path, found, f"must be {_FORMS}.")
    if _is_type(found, REFERENCE):
        return {"type": REFERENCE, "content": _reference(found.get("content"), f"{path}.content")}
    if "type" not in found:
        remedy = f"lacks the type of a geometry: one of {', '.join(_COORDINATES)}."
        raise InvalidInputError(f"{path}.type", sorted(map(str, found)), remedy)
    kind = checks.choice(found["type"], _COORDINATES, f"{path}.type", fold_case=True)
    coordinates = found.get("coordinates")
    _check_nesting(coordinates, kind, _DEPTHS[kind], f"{path}.coordinates")
    coordinates, vertices = _COORDINATES[kind](coordinates, f"{path}.coordinates")
    if _exceeds(vertices, max_vertices):
        remedy = (
            f"are more vertices than the {max_vertices} Planet takes; simplify it or split it up, or raise "
            "max_vertices (an extra of the connection) where Planet takes more of this account."
        )
        raise InvalidInputError(f"{path}.coordinates", vertices, remedy)
    return {"type": kind, "coordinates": coordinates}


def search_geometry(
    value: object, field: str = "geometry", *, max_vertices: int | None = MAX_VERTICES
) -> dict[str, Any]:
    """Do what :func:`geometry` does, for a search: an area of more vertices is warned of, not refused.

    :param value: As for :func:`geometry`, and so is the field.
    :param max_vertices: Vertices above which to warn; ``None``: never.
    """
    found = geometry(value, field, max_vertices=None)
    vertices = _count(found.get("coordinates"))
    if _exceeds(vertices, max_vertices):
        spec.warn(
            f"{field}.coordinates", vertices, f"more vertices than the {max_vertices} of Planet's orders"
        )
    return found


def _exceeds(vertices: int, max_vertices: int | None) -> bool:
    most = checks.limit(max_vertices, "max_vertices")
    return most is not None and vertices > most


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
        _check_srid(value, field)
        return value.__geo_interface__
    if isinstance(value, os.PathLike):
        return _from_file(os.fsdecode(value), field)
    if hasattr(value, "read_bytes"):  # Airflow's ObjectStoragePath, which is no PathLike
        return _from_file(str(value), field)
    return _from_text(value, field) if isinstance(value, str) else value


def _from_text(value: str, field: str) -> object:
    stripped = checks.without_bom(value).strip()
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
    # For systems without a number, OGC's CRS84 among it, only that it isn't in degrees is sure.
    if epsg not in (None, *_EPSG) or (epsg is None and getattr(crs, "is_projected", False)):
        raise _other_crs(field, "a projection" if epsg is None else f"EPSG:{epsg}")


def _check_srid(value: object, field: str) -> None:
    """Refuse the coordinate system of a shapely object, e.g. from PostGIS; 0 stands for none."""
    if type(value).__module__.partition(".")[0] == "shapely":
        from shapely import get_srid

        if (srid := get_srid(value)) not in (0, *_EPSG):
            raise _other_crs(field, f"EPSG:{srid}")


def _check_member(crs: object, field: str) -> None:
    """Refuse a ``crs`` member, as GeoJSON had before RFC 7946, that names another coordinate system."""
    properties = crs.get("properties") if isinstance(crs, Mapping) else crs
    named = properties
    if isinstance(properties, Mapping):
        named = next((properties[key] for key in ("name", "code", "href") if properties.get(key)), None)
    if named and not _WGS84.fullmatch(str(named).strip()):
        raise _other_crs(f"{field}.crs", named)


def _other_crs(field: str, named: object) -> InvalidInputError:
    remedy = "is its coordinate system, not EPSG:4326; project it to longitude and latitude: to_crs(4326)."
    return InvalidInputError(field, named, remedy)


def _from_file(path: str, field: str) -> object:
    if _URL.match(path):
        path = _local_path(path, field)
    try:
        content = Path(path).expanduser().read_bytes()
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidInputError(field, path, f"is a file that cannot be read: {error}.") from None
    return _from_json(content, path, field)


def _local_path(url: str, field: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme.lower() != "file" or parts.netloc not in ("", "localhost"):
        remedy = (
            "is not on this machine. Read it in a task before and hand on its content, or copy it to this "
            f"machine; accepted are {_FORMS}."
        )
        raise InvalidInputError(field, url, remedy)
    return unquote(parts.path)


def _from_json(content: str | bytes, shown: object, field: str) -> object:
    try:
        return json.loads(content)  # bytes may be any Unicode, with or without a byte order mark
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(field, shown, f"holds no JSON: {error}.") from None


def _is_type(value: Mapping[Any, Any], kind: str) -> bool:
    return str(value.get("type")).lower() == kind.lower()


def _unwrapped(value: object, field: str) -> tuple[object, str]:
    """Return the geometry in a Feature or a FeatureCollection of one, which may lack their type."""
    if isinstance(value, Mapping):
        _check_member(value.get("crs"), field)
        untyped = "type" not in value
        if _is_type(value, "FeatureCollection") or (untyped and "features" in value):
            return _unwrapped(
                _only_feature(value.get("features"), f"{field}.features"), f"{field}.features[0]"
            )
        if _is_type(value, "Feature") or (untyped and "geometry" in value):
            return _unwrapped(value.get("geometry"), f"{field}.geometry")
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


def _check_nesting(value: object, kind: str, depth: int, path: str) -> None:
    """Check that positions stand as deep in lists as the type has them.

    :param depth: Lists that the value should be: 1 for a position.
    """
    entries = value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else None
    if (entries is not None) == (depth > 0):
        for index, entry in enumerate(entries or ()):
            _check_nesting(entry, kind, depth - 1, f"{path}[{index}]")
        return
    form = "[longitude, latitude]"
    for _ in range(_DEPTHS[kind] - 1):
        form = f"[{form}, ...]"
    expected = "a list" if entries is None else "a number"
    raise InvalidInputError(path, value, f"must be {expected}: the coordinates of a {kind} are {form}.")


def _count(coordinates: object) -> int:
    """Count the positions in checked coordinates."""
    if not isinstance(coordinates, list):
        return 0
    return sum(map(_count, coordinates)) if isinstance(coordinates[0], list) else 1


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


def _check_steps(positions: list[list[Any]], path: str) -> None:
    """Refuse a line that crosses the antimeridian: Planet takes it for one around the rest of the globe."""
    # A band around the whole globe, from -180 to 180, does go around.
    if all(abs(position[0]) == 180 for position in positions):
        return
    for index, (before, position) in enumerate(pairwise(positions), start=1):
        if abs(position[0] - before[0]) > 180:
            remedy = (
                f"is more than 180 degrees of longitude from the position before it, {before}. If it crosses the "
                "antimeridian, split the geometry in two there (RFC 7946, section 3.1.9); if it goes the long "
                "way around, add a position halfway."
            )
            raise InvalidInputError(f"{path}[{index}]", position, remedy)


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
    _check_steps(positions, path)
    return positions, vertices


def _line(value: object, path: str) -> tuple[list[Any], int]:
    positions, vertices = _several(_position, least=2, what="a line")(value, path)
    _check_steps(positions, path)
    return positions, vertices


_POLYGON = _several(_ring, least=1, what="a polygon")
_COORDINATES: dict[str, _Node] = {
    "Point": _position,
    "MultiPoint": _several(_position, least=1, what="a MultiPoint"),
    "LineString": _line,
    "MultiLineString": _several(_line, least=1, what="a MultiLineString"),
    "Polygon": _POLYGON,
    "MultiPolygon": _several(_POLYGON, least=1, what="a MultiPolygon"),
}
_DEPTHS = {
    "Point": 1,
    "MultiPoint": 2,
    "LineString": 2,
    "MultiLineString": 3,
    "Polygon": 3,
    "MultiPolygon": 4,
}
