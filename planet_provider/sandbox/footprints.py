"""Ground geometry: frames along a satellite's track, and longitudes around the antimeridian."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import shapely
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon, box, mapping
from shapely.geometry.polygon import orient

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

KM_PER_DEGREE = 111.195
"""Length of one degree of a great circle on a sphere of 6,371 km."""

INCLINATION = math.radians(97.5)
"""Of a sun-synchronous orbit at about 475 km, as PlanetScope's."""

GROUND_SPEED = 7.1
"""Of the point below such a satellite, in km/s."""

_WORLD = box(-180, -90, 180, 90)


def wrap_longitudes(geometry: BaseGeometry) -> BaseGeometry:
    """Bring a geometry into -180..180 degrees of longitude, cut at the antimeridian where it crosses.

    :param geometry: EPSG:4326; longitudes may run past 180 degrees, but not more than one turn.
    """
    west, _, east, _ = geometry.bounds
    if west >= -180 and east <= 180:
        return geometry
    parts = (translate(geometry, xoff=turn).intersection(_WORLD) for turn in (-360, 0, 360))
    return shapely.union_all([part for part in parts if not part.is_empty])


def unwrap_longitudes(geometry: BaseGeometry) -> BaseGeometry:
    """Undo the cut at the antimeridian: parts west of it move to 180 degrees and beyond."""
    west, _, east, _ = geometry.bounds
    if east - west <= 180 or geometry.geom_type != "MultiPolygon":
        return geometry
    return shapely.union_all(
        [translate(part, xoff=360) if part.bounds[2] <= 0 else part for part in geometry.geoms],
    )


def overlap(one: BaseGeometry, other: BaseGeometry) -> BaseGeometry:
    """Area that two geometries share; without the lines and points in which they may touch too."""
    shared = one.intersection(other)
    return shapely.union_all([part for part in getattr(shared, "geoms", (shared,)) if part.area])


def track_azimuth(latitude: float) -> float:
    """Direction of a descending sun-synchronous ground track, in radians clockwise from north.

    :param latitude: Degrees; beyond about 82 degrees the track runs due west.
    """
    ratio = math.cos(INCLINATION) / max(math.cos(math.radians(latitude)), 1e-6)
    return math.pi - math.asin(max(-1.0, min(1.0, ratio)))


def move(
    longitude: float,
    latitude: float,
    *,
    along: float,
    across: float,
    azimuth: float,
) -> tuple[float, float]:
    """Move a point on the ground.

    :param longitude: Degrees.
    :param latitude: Degrees.
    :param along: Kilometres in the direction of ``azimuth``.
    :param across: Kilometres to the right of it.
    :param azimuth: Radians clockwise from north.
    :return: Longitude (may pass 180) and latitude in degrees.
    """
    north = along * math.cos(azimuth) - across * math.sin(azimuth)
    east = along * math.sin(azimuth) + across * math.cos(azimuth)
    shrink = max(math.cos(math.radians(latitude)), 0.02)
    return longitude + east / (KM_PER_DEGREE * shrink), latitude + north / KM_PER_DEGREE


def frame(
    longitude: float,
    latitude: float,
    *,
    width: float,
    height: float,
    azimuth: float,
) -> dict[str, Any]:
    """Footprint of one frame as GeoJSON, counter-clockwise, with coordinates of about a centimetre.

    :param longitude: Of the centre, in degrees.
    :param latitude: Of the centre, in degrees.
    :param width: Across the track, in kilometres.
    :param height: Along the track, in kilometres.
    :param azimuth: Of the track, in radians clockwise from north.
    """
    ring = [
        move(longitude, latitude, along=along * height / 2, across=across * width / 2, azimuth=azimuth)
        for along, across in ((1, -1), (-1, -1), (-1, 1), (1, 1), (1, -1))
    ]
    if any(abs(corner[0]) > 180 for corner in ring):
        return to_geojson(wrap_longitudes(Polygon(ring)))
    return {"type": "Polygon", "coordinates": [[[round(x, 7), round(y, 7)] for x, y in ring]]}


def to_geojson(geometry: BaseGeometry) -> dict[str, Any]:
    """Convert a geometry to plain JSON types, exterior rings counter-clockwise, 7 decimals."""
    rounded = shapely.transform(geometry, lambda points: points.round(7))
    if rounded.geom_type == "MultiPolygon":
        rounded = MultiPolygon([orient(part) for part in rounded.geoms])
    elif rounded.geom_type == "Polygon":
        rounded = orient(rounded)
    plain: dict[str, Any] = _listed(mapping(rounded))
    return plain


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(nested) for key, nested in value.items()}
    if isinstance(value, (list, tuple)):
        return [_listed(nested) for nested in value]
    return value
