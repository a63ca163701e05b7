"""An order's size: areas against a computation of their own, and the limits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from client_support import order_request, session_of
from planet_provider.builders import tools
from planet_provider.client.http.session import PlanetSession
from planet_provider.exceptions import InvalidInputError, OrderTooLargeError
from planet_provider.ordering import estimate as estimate_module
from planet_provider.ordering.estimate import (
    Estimate,
    _square_kilometres,
    check_size,
    checked_estimate,
    estimate,
)
from planet_provider.sandbox import Sandbox

# WGS 84, as NIMA TR8350.2 defines it.
_A = 6378.137
_F = 1 / 298.257223563


def _zone(latitude: float) -> float:
    """Square kilometres between the equator and a latitude, per radian of longitude (Snyder, eq. 3-12)."""
    e = math.sqrt(_F * (2 - _F))
    s = math.sin(math.radians(latitude))
    q = (1 - e * e) * (s / (1 - e * e * s * s) + math.atanh(e * s) / e)
    return _A * _A * q / 2


def rectangle_km2(west: float, south: float, east: float, north: float) -> float:
    """Area of a rectangle of meridians and parallels on the ellipsoid."""
    return math.radians(east - west) * (_zone(north) - _zone(south))


def ring(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def polygon(*rings: list[list[float]]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


BOXES = [
    (-122.5, 37.6, -122.3, 37.8),
    (10.0, -0.1, 10.2, 0.1),
    (25.0, 69.9, 25.3, 70.0),
    (179.7, -17.0, 180.0, -16.8),
]


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("reverse", [False, True])
def test_against_the_formula(box: tuple[float, float, float, float], reverse: bool) -> None:
    points = ring(*box)
    found = _square_kilometres(polygon(points[::-1] if reverse else points), None)
    # A parallel is no geodesic: over such short edges that makes less than a part in 10,000.
    assert found == pytest.approx(rectangle_km2(*box), rel=2e-4)


def test_holes_and_parts_whatever_their_direction() -> None:
    outer, hole, other = (0.0, 0.0, 0.4, 0.4), (0.1, 0.1, 0.2, 0.2), (1.0, 0.0, 1.2, 0.2)
    expected = rectangle_km2(*outer) - rectangle_km2(*hole) + rectangle_km2(*other)
    for hole_ring in (ring(*hole), ring(*hole)[::-1]):
        for other_ring in (ring(*other), ring(*other)[::-1]):
            both = {"type": "MultiPolygon", "coordinates": [[ring(*outer), hole_ring], [other_ring]]}
            assert _square_kilometres(both, None) == pytest.approx(expected, rel=2e-4)


def test_clipped() -> None:
    from shapely.geometry import box

    found = _square_kilometres(polygon(ring(0.0, 0.0, 0.4, 0.4)), box(0.1, 0.1, 0.2, 5.0))
    assert found == pytest.approx(rectangle_km2(0.1, 0.1, 0.2, 0.4), rel=2e-4)


def test_areas_that_only_touch() -> None:
    from shapely.geometry import MultiPolygon, box

    touching = MultiPolygon([box(0.4, 0.0, 0.8, 0.4), box(0.0, 0.5, 0.4, 0.9)])
    assert _square_kilometres(polygon(ring(0.0, 0.0, 0.4, 0.4)), touching) == 0.0
    corner = MultiPolygon([box(0.3, 0.3, 0.8, 0.8), box(0.4, 0.0, 0.8, 0.2)])  # one overlaps, one touches
    assert _square_kilometres(polygon(ring(0.0, 0.0, 0.4, 0.4)), corner) == pytest.approx(
        rectangle_km2(0.3, 0.3, 0.4, 0.4), rel=2e-4
    )


FIELD, INSIDE = (0.0, 0.0, 0.08, 0.08), (0.02, 0.02, 0.04, 0.04)
BESIDE, ACROSS = (0.04, 0.0, 0.12, 0.08), (179.95, -0.05, 180.05, 0.05)


@pytest.mark.parametrize(
    ("area", "expected"),
    [
        ([[ring(*FIELD)], [ring(*INSIDE)]], rectangle_km2(*FIELD)),
        ([[ring(*FIELD)], [ring(*FIELD)]], rectangle_km2(*FIELD)),
        ([[ring(*FIELD)], [ring(*BESIDE)]], rectangle_km2(0.0, 0.0, 0.12, 0.08)),
        ([[ring(*FIELD), ring(*INSIDE)]], rectangle_km2(*FIELD) - rectangle_km2(*INSIDE)),
        # A hole before its shell, alone and beside another part.
        ([[ring(*INSIDE), ring(*FIELD)]], rectangle_km2(*FIELD) - rectangle_km2(*INSIDE)),
        (
            [[ring(*INSIDE), ring(*FIELD)], [ring(0.2, 0.2, 0.3, 0.3)]],
            rectangle_km2(*FIELD) - rectangle_km2(*INSIDE) + rectangle_km2(0.2, 0.2, 0.3, 0.3),
        ),
        # Two holes that overlap, and a hole that reaches beyond the field.
        ([[ring(*FIELD), ring(*INSIDE), ring(*INSIDE)]], rectangle_km2(*FIELD) - rectangle_km2(*INSIDE)),
        ([[ring(*FIELD), ring(*BESIDE)]], rectangle_km2(0.0, 0.0, 0.04, 0.08)),
        # The same ground twice in one ring.
        ([[[*ring(*FIELD)[:-1], *ring(*FIELD)]]], rectangle_km2(*FIELD)),
    ],
)
def test_parts_that_overlap_count_once(area: list[Any], expected: float) -> None:
    request = {"tools": [{"clip": {"aoi": {"type": "MultiPolygon", "coordinates": area}}}]}
    clip = estimate_module._clip_area(request)
    assert _square_kilometres(polygon(ring(-1, -1, 1, 1)), clip) == pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize(
    "footprint",
    [
        polygon(ring(*ACROSS)),
        polygon([[x - 360 if x > 180 else x, y] for x, y in ring(*ACROSS)]),
        {
            "type": "MultiPolygon",
            "coordinates": [[ring(179.95, -0.05, 180, 0.05)], [ring(-180, -0.05, -179.95, 0.05)]],
        },
    ],
    ids=["beyond 180", "not split", "split"],
)
def test_a_footprint_over_the_antimeridian(footprint: dict[str, Any]) -> None:
    from shapely.geometry import box

    assert _square_kilometres(footprint, None) == pytest.approx(rectangle_km2(*ACROSS), rel=2e-4)
    west = box(-180, -0.01, -179.99, 0.01)
    expected = rectangle_km2(-180, -0.01, -179.99, 0.01)
    assert _square_kilometres(footprint, west) == pytest.approx(expected, rel=2e-4)


@pytest.fixture
def session(planet_sandbox: Sandbox) -> Iterator[PlanetSession]:
    planet_sandbox.reset(rate_limits=False)
    with session_of(planet_sandbox) as session:
        yield session


def footprint(sandbox: Sandbox, item_id: str) -> list[list[float]]:
    item = sandbox.catalogue.get("PSScene", item_id)
    assert item is not None
    [points] = item.geometry["coordinates"]
    return [list(point) for point in points]


def shoelace_km2(points: list[list[float]]) -> float:
    """Area on the authalic cylinder, whose cells keep their true size; edges are cut fine to follow it."""
    total = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        for step in range(100):
            a, b = step / 100, (step + 1) / 100
            west, east = (math.radians(x0 + t * (x1 - x0)) for t in (a, b))
            low, high = (_zone(y0 + t * (y1 - y0)) for t in (a, b))
            total += (east - west) * (low + high) / 2
    return abs(total)


def test_of_the_catalogues_footprints(planet_sandbox: Sandbox, session: PlanetSession) -> None:
    request = order_request(session, count=3)
    found = estimate(session, request)
    [product] = request["products"]
    expected = sum(shoelace_km2(footprint(planet_sandbox, one)) for one in product["item_ids"])
    assert found.area_km2 == pytest.approx(expected, rel=1e-4)
    assert (found.scenes, found.clipped, found.unknown_items) == (3, False, 0)
    assert str(found) == f"3 scenes, {found.area_km2:,.1f} km² (whole footprints)"


def test_within_the_clips_area(planet_sandbox: Sandbox, session: PlanetSession) -> None:
    request = order_request(session, count=1)
    [product] = request["products"]
    points = footprint(planet_sandbox, product["item_ids"][0])
    x, y = (sum(axis) / (len(points) - 1) for axis in zip(*points[1:], strict=True))
    box = (x - 0.01, y - 0.01, x + 0.01, y + 0.01)
    request["tools"] = [tools.clip(polygon(ring(*box)))]
    found = estimate(session, request)
    assert found.clipped
    assert found.area_km2 == pytest.approx(rectangle_km2(*box), rel=1e-3)


def test_items_that_the_catalogue_does_not_list(session: PlanetSession) -> None:
    request = order_request(session, count=2)
    request["products"][0]["item_ids"].append("20200101_000000_00_0000")
    found = estimate(session, request)
    assert (found.scenes, found.unknown_items) == (3, 1)
    check_size(found, max_items=3)
    with pytest.raises(OrderTooLargeError, match="1 of the order's items are not in the catalogue"):
        check_size(found, max_area_km2=1e9)


@pytest.mark.parametrize("limit", [{"max_items": 500}, {"max_area_km2": 1e6}])
def test_basemaps_pass_no_limit_unseen(session: PlanetSession, limit: dict[str, Any]) -> None:
    request = {"source_type": "basemaps", "products": [{"mosaic_name": "m", "quad_ids": ["1-1"]}]}
    assert checked_estimate(session, request) is None
    with pytest.raises(OrderTooLargeError, match=f"not known.*{next(iter(limit))}"):
        checked_estimate(session, request, **limit)


def clipped_to(request: dict[str, Any], *area: list[list[float]]) -> dict[str, Any]:
    return {**request, "tools": [tools.clip(polygon(*area))]}


def test_a_clip_area_off_every_scene_is_refused(session: PlanetSession) -> None:
    far = ring(0.0, -80.0, 1.0, -79.0)
    request = clipped_to(order_request(session, count=2), far)
    with pytest.raises(InvalidInputError, match="overlaps none of the order's items") as caught:
        checked_estimate(session, request)
    assert caught.value.field == "tools.clip.aoi"
    assert "[0.0, -80.0, 1.0, -79.0]" in str(caught.value)
    # A malformed area is Planet's to refuse.
    hole_first = clipped_to(request, ring(0.1, -79.9, 0.2, -79.8), far)
    found = checked_estimate(session, hole_first)
    assert found is not None
    assert (found.area_km2, found.outside_items) == (0.0, 2)


def test_a_clip_area_off_some_scenes_is_warned_of(
    planet_sandbox: Sandbox, session: PlanetSession, caplog: pytest.LogCaptureFixture
) -> None:
    request = order_request(session, count=1)
    [product] = request["products"]
    here = footprint(planet_sandbox, product["item_ids"][0])
    away = next(
        item.id
        for item in planet_sandbox.catalogue
        if item.item_type == "PSScene" and abs(item.shape.centroid.x - here[0][0]) > 10
    )
    product["item_ids"].append(away)
    found = checked_estimate(session, clipped_to(request, here))
    assert found is not None
    assert (found.scenes, found.outside_items) == (2, 1)
    assert found.area_km2 == pytest.approx(shoelace_km2(here), rel=1e-3)
    assert str(found).endswith("; outside of that area: 1 item")
    assert "Outside of the clip area: 1 of the order's 2 items." in caplog.text


def test_a_tiny_overlap_is_one(planet_sandbox: Sandbox, session: PlanetSession) -> None:
    request = order_request(session, count=1)
    points = footprint(planet_sandbox, request["products"][0]["item_ids"][0])
    x, y = (sum(axis) / (len(points) - 1) for axis in zip(*points[1:], strict=True))
    found = checked_estimate(session, clipped_to(request, ring(x, y, x + 1e-5, y + 1e-5)))
    assert found is not None
    assert (found.area_km2, found.outside_items) == (0.0, 0)


SIZE = Estimate(scenes=10, area_km2=250.0, clipped=False, unknown_items=0)


@pytest.mark.parametrize("limits", [{}, {"max_items": 10}, {"max_area_km2": 250.0}])
def test_within_the_limits(limits: dict[str, Any]) -> None:
    check_size(SIZE, **limits)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_items": 9}, "10 scenes, more than max_items=9"),
        ({"max_area_km2": 249.9}, r"250.0 km², more than max_area_km2=249.9"),
        ({"max_items": 9, "max_area_km2": 1.0}, "max_items=9"),
    ],
)
def test_beyond_the_limits(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(OrderTooLargeError, match=message) as caught:
        check_size(SIZE, **limits)
    assert "not placed" in str(caught.value)
