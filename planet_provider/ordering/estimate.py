"""What an order would cost: how many scenes, and how many square kilometres of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from planet_provider.builders import filters
from planet_provider.builders.geometry import is_reference
from planet_provider.client.api import data
from planet_provider.client.http.session import PlanetSession
from planet_provider.exceptions import InvalidInputError, OrderTooLargeError, PlanetError
from planet_provider.wording import counted

log = logging.getLogger(__name__)

_SQUARE_METRES = 1e6


@dataclass(frozen=True)
class Estimate:
    """An order's size before it is placed. Planet's own account is what counts.

    :param scenes: Items in all products.
    :param area_km2: Square kilometres of their footprints within the clip's area, each scene on its own;
        geodesic, on WGS 84.
    :param clipped: Whether a clip's area was taken into account. A feature reference's geometry is not known
        here, so it is not.
    :param unknown_items: Items that the catalogue doesn't list; they are not in the area.
    :param outside_items: Items whose footprint doesn't overlap the clip's area.
    """

    scenes: int
    area_km2: float
    clipped: bool
    unknown_items: int
    outside_items: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return what a task hands on, as plain JSON."""
        return {key: value for key, value in asdict(self).items() if key != "outside_items"}

    def __str__(self) -> str:
        within = "clipped to the area of interest" if self.clipped else "whole footprints"
        unknown = (
            f"; not in the catalogue: {counted(self.unknown_items, 'item')}" if self.unknown_items else ""
        )
        outside = (
            f"; outside of that area: {counted(self.outside_items, 'item')}" if self.outside_items else ""
        )
        return f"{counted(self.scenes, 'scene')}, {self.area_km2:,.1f} km² ({within}){unknown}{outside}"


def estimate(session: PlanetSession, request: Mapping[str, Any]) -> Estimate:
    """Estimate an order from its items' footprints in the catalogue.

    :param session: Session with Planet; one or two requests of class ``data.other`` a product.
    :param request: Order request, of scenes.
    """
    area_of_interest = _clip_area(request)
    wanted = sum(len(product["item_ids"]) for product in request["products"])
    areas = [_square_kilometres(footprint, area_of_interest) for footprint in _footprints(session, request)]
    return Estimate(
        scenes=wanted,
        area_km2=round(sum(areas), 3),
        clipped=area_of_interest is not None,
        unknown_items=wanted - len(areas),
        outside_items=0 if area_of_interest is None else areas.count(0.0),
    )


def checked_estimate(
    session: PlanetSession,
    request: Mapping[str, Any],
    *,
    max_items: int | None = None,
    max_area_km2: float | None = None,
) -> Estimate | None:
    """Estimate an order, and refuse it if it is larger than allowed, or if its clip area overlaps no scene.

    :param session: Session with Planet.
    :param request: Order request.
    :param max_items: Scenes, at most.
    :param max_area_km2: Square kilometres, at most.
    :return: ``None`` if its size can't be told, as of basemaps, and nobody needs to know.
    :raises OrderTooLargeError: It is larger, or what is limited can't be told.
    :raises InvalidInputError: The clip area overlaps none of the scenes, so Planet would fail the order.
    """
    if request.get("source_type") == "basemaps":
        _refuse_limits(max_items=max_items, max_area_km2=max_area_km2)
        return None
    try:
        found = estimate(session, request)
    except Exception as error:  # geometries fail in many ways
        if max_items is None and max_area_km2 is None:
            log.warning("The order's size can't be estimated: %s", error)
            return None
        if isinstance(error, PlanetError):
            raise
        raise OrderTooLargeError(
            f"The order's size can't be estimated, so it can't be compared with max_items and "
            f"max_area_km2. It was not placed: correct the items or the clip's area, or leave the "
            f"limits out. {type(error).__name__}: {error}"
        ) from error
    log.info("This order: %s.", found)
    check_size(found, max_items=max_items, max_area_km2=max_area_km2)
    _check_overlap(found, request)
    return found


def _refuse_limits(**limits: float | None) -> None:
    for name, limit in limits.items():
        if limit is not None:
            raise OrderTooLargeError(
                "The size of an order of basemaps is not known before it is placed, so it can't be compared "
                f"with {name}={limit:g}. It was not placed: leave the limit out, and name the quads by quad_ids "
                "to bound the order."
            )


def check_size(found: Estimate, *, max_items: int | None = None, max_area_km2: float | None = None) -> None:
    """Refuse an order that is larger than allowed.

    :param max_items: Scenes, at most.
    :param max_area_km2: Square kilometres, at most.
    :raises OrderTooLargeError: It is larger, or its area is not known.
    """
    if max_items is not None and found.scenes > max_items:
        raise OrderTooLargeError(
            f"The order has {counted(found.scenes, 'scene')}, more than max_items={max_items}. It was not placed: "
            "narrow the search, order in smaller batches, or raise max_items."
        )
    if max_area_km2 is None:
        return
    if found.unknown_items:
        raise OrderTooLargeError(
            f"{found.unknown_items} of the order's items are not in the catalogue, so its area can't be "
            f"compared with max_area_km2={max_area_km2:g}. It was not placed: correct the items, or leave the "
            "limit out."
        )
    if found.area_km2 > max_area_km2:
        raise OrderTooLargeError(
            f"The order has {found.area_km2:,.1f} km², more than max_area_km2={max_area_km2:g}. It was not "
            "placed: clip it to a smaller area, order fewer items, or raise max_area_km2."
        )


def _check_overlap(found: Estimate, request: Mapping[str, Any]) -> None:
    if not found.outside_items:
        return
    if found.outside_items < found.scenes:
        log.warning(
            "Outside of the clip area: %d of the order's %s. Planet can't deliver them, and fails the "
            "order for it unless order_type is partial.",
            found.outside_items,
            counted(found.scenes, "item"),
        )
        return
    area = _clip_geometry(request)
    # Planet refuses a malformed area itself, and says what is wrong with it.
    if area.is_valid:
        west, south, east, north = (round(degrees, 5) for degrees in area.bounds)
        raise InvalidInputError(
            "tools.clip.aoi",
            [west, south, east, north],
            "is the bounding box (west, south, east, north) of a clip area that overlaps none of the order's "
            "items. The order would fail, so it was not placed. Order items that a search finds in this area, "
            "and check that each position has its longitude first.",
        )


def _clip_geometry(request: Mapping[str, Any]) -> Any:
    from shapely.geometry import shape

    for tool in request.get("tools") or ():
        area = (tool.get("clip") or {}).get("aoi")
        if area is not None and not is_reference(area):
            return shape(area)
    return None


def _clip_area(request: Mapping[str, Any]) -> Any:
    area = _clip_geometry(request)
    return None if area is None else _repaired(area)


def _repaired(geometry: Any) -> Any:
    """Return the union of a geometry's polygons, each valid: areas that overlap count once."""
    from shapely import make_valid, union_all

    def repaired(polygon: Any) -> Any:
        # The default method takes what two rings share for a hole. It knows more of a hole that stands before
        # its shell, of which this one leaves nothing.
        structured = make_valid(polygon, method="structure")
        return make_valid(polygon) if structured.is_empty else structured

    return union_all([repaired(polygon) for polygon in _polygons(geometry)])


def _footprints(session: PlanetSession, request: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for product in request["products"]:
        by_id = filters.string_in_filter("id", product["item_ids"])
        call = data.quick_search([product["item_type"]], by_id)
        for item in chain.from_iterable(session.pages(call)):
            yield item["geometry"]


def _square_kilometres(footprint: Mapping[str, Any], area_of_interest: Any) -> float:
    from pyproj import Geod
    from shapely.geometry import shape
    from shapely.geometry.polygon import orient

    covered = _on_globe(shape(footprint))
    if area_of_interest is not None:
        covered = covered.intersection(area_of_interest)
    geod = Geod(ellps="WGS84")
    # A polygon's sign is that of its direction, and GeoJSON's parts may run in either.
    areas = (geod.geometry_area_perimeter(orient(polygon))[0] for polygon in _polygons(covered))
    return float(sum(areas)) / _SQUARE_METRES


def _on_globe(footprint: Any) -> Any:
    """Return a valid footprint in -180 to 180 degrees; one that crosses the antimeridian is cut there."""
    from shapely import transform, union_all
    from shapely.affinity import translate
    from shapely.geometry import box

    west, _, east, _ = footprint.bounds
    if footprint.geom_type == "Polygon" and east - west > 180:

        def unwrapped(points: Any) -> Any:
            points[points[:, 0] < 0, 0] += 360
            return points

        footprint = transform(footprint, unwrapped)
        west, _, east, _ = footprint.bounds
    footprint = _repaired(footprint)
    if west >= -180 and east <= 180:
        return footprint
    world = box(-180, -90, 180, 90)
    return union_all([translate(footprint, xoff=turn).intersection(world) for turn in (-360, 0, 360)])


def _polygons(geometry: Any) -> Iterator[Any]:
    """Yield the polygons of a geometry; where two areas only touch, lines and points are left out."""
    if geometry.geom_type == "Polygon":
        yield geometry
    for part in getattr(geometry, "geoms", ()):
        yield from _polygons(part)


def footprint_km2(footprint: Any) -> float | None:
    """Return a footprint's area in square kilometres, geodesic, on WGS 84; ``None`` if it can't be understood.

    :param footprint: GeoJSON geometry.
    """
    try:
        return _square_kilometres(footprint, None)
    except Exception:  # geometries fail in many ways
        return None
