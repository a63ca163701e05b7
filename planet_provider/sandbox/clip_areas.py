"""Areas that Planet refuses to clip to, when an order is placed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pyproj import Geod
from shapely import is_valid_reason
from shapely.errors import ShapelyError
from shapely.geometry import Polygon, shape

from planet_provider.sandbox.errors import ApiError

_ELLIPSOID = Geod(ellps="WGS84")

#: Metres: a part that is narrower on average than the finest pixel, SkySat's, holds no imagery.
_NARROWEST = 0.5

#: A valid geometry, in the words of GEOS.
_VALID = "Valid Geometry"


def check_clip_areas(request: Mapping[str, Any], *, max_vertices: int) -> None:
    """Refuse an order whose clip area is malformed; a search takes such an area.

    The words are Planet's, as users report them: "Unable to accept order: AOI is invalid:
    Self-intersection[-91.30 43.78]". Why an area is no good is told in the words of GEOS.

    :param request: The order's request, whose tools are well-formed.
    :param max_vertices: Vertices an area may have.
    :raises ApiError: 400.
    """
    areas = [(tool.get("clip") or {}).get("aoi") for tool in request.get("tools") or ()]
    areas += [product.get("geometry") for product in request["products"]]  # of basemaps
    for area in areas:
        problem = None if area is None else _problem(area, max_vertices)
        if problem is not None:
            message = f"Unable to accept order: {problem}"
            raise ApiError(400, {"field": None, "general": [{"message": message}]})


def _problem(area: Mapping[str, Any], max_vertices: int) -> str | None:
    rings = list(_rings(area))
    if any(len(ring) < 4 or ring[0] != ring[-1] for ring in rings):
        return "geojson: invalid geometry"
    vertices = sum(map(len, rings))
    if vertices > max_vertices:
        return f"AOI is invalid: {vertices} vertices are more than {max_vertices}"
    try:
        geometry = shape(area)
    except (ShapelyError, ValueError, TypeError):
        return "geojson: invalid geometry"
    reason = str(is_valid_reason(geometry))
    if reason != _VALID:
        return f"AOI is invalid: {reason}"
    if any(_width(part) < _NARROWEST for part in getattr(geometry, "geoms", (geometry,))):
        return "AOI is invalid: Sliver"
    return None


def _rings(area: Mapping[str, Any]) -> Iterator[Any]:
    polygons = area["coordinates"] if area["type"] == "MultiPolygon" else [area["coordinates"]]
    for polygon in polygons:
        yield from polygon


def _width(polygon: Polygon) -> float:
    """Return the mean width of a polygon in metres, as if it were a long strip."""
    square_metres, perimeter = _ELLIPSOID.geometry_area_perimeter(polygon)
    return 2 * abs(square_metres) / perimeter if perimeter else 0.0
