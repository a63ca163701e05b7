"""Tools at the antimeridian: an image over it stays in one piece."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.io import DatasetReader, MemoryFile
from rasterio.transform import Affine
from shapely.geometry import box, mapping

from planet_provider.sandbox import bundles, products, warp
from planet_provider.sandbox.catalogue import Catalogue, Item
from planet_provider.sandbox.footprints import unwrap_longitudes
from planet_provider.sandbox.products import ProductError
from planet_provider.sandbox.quota import area_km2
from planet_provider.sandbox.raster import Raster, grid_of

CATALOGUE = Catalogue(seed=5, items=900, now=datetime(2026, 3, 10, 15, 30, tzinfo=timezone.utc))
ACROSS = sorted(
    (
        item
        for item in CATALOGUE
        if item.item_type == "PSScene"
        and item.geometry["type"] == "MultiPolygon"
        and bundles.choose(item, "analytic_udm2") == "analytic_udm2"
        and abs(item.shape.centroid.y) < 20
    ),
    key=lambda item: item.id,
)
WEST, EAST = (
    next(item for item in ACROSS if grid_of(item, 64).epsg == zone)
    for zone in (32760, 32701)  # the middle of the one lies west of 180 degrees, of the other east
)
PIXELS = 96
EDGE = math.pi * 6_378_137
# Beside it, at it and beyond: 179.95 to 180.05 degrees.
OVER = {
    "type": "MultiPolygon",
    "coordinates": [
        mapping(box(179.95, -16.9, 180, -16.8))["coordinates"],
        mapping(box(-180, -16.9, -179.95, -16.8))["coordinates"],
    ],
}
BEYOND = {"type": "Polygon", "coordinates": mapping(box(179.95, -16.9, 180.05, -16.8))["coordinates"]}
ONE_SIDE = {"type": "Polygon", "coordinates": mapping(box(-180, -16.9, -179.95, -16.8))["coordinates"]}

Images = dict[str, tuple[DatasetReader, Any]]


@pytest.fixture
def images() -> Iterator[Any]:
    """Deliver items with tools; the rasters by file name without the item's id."""
    with ExitStack() as stack:

        def deliver(*items: Item, tools: list[dict[str, Any]]) -> Images:
            files = products.deliver(request(*items, tools=tools), CATALOGUE, pixels=PIXELS)
            found: Images = {}
            for file in files:
                if file.media_type == "image/tiff":
                    image = stack.enter_context(stack.enter_context(MemoryFile(file.content)).open())
                    name = file.path.rpartition("/")[2].removeprefix(f"{items[0].id}_")
                    found[name] = (image, image.read())
            return found

        yield deliver


def request(*items: Item, tools: list[dict[str, Any]]) -> dict[str, Any]:
    product = {
        "item_type": "PSScene",
        "item_ids": [item.id for item in items],
        "product_bundle": "analytic_udm2",
    }
    return {"name": "an order", "products": [product], "tools": tools}


def covered(image: DatasetReader, pixels: Any) -> float:
    """Area of the pixels with data, in the units of the projection."""
    return float((pixels[0] > 0).sum() * image.res[0] * image.res[1])


@pytest.mark.slow
@pytest.mark.parametrize("item", [WEST, EAST], ids=["west", "east"])
@pytest.mark.parametrize("resolution", [None, 0.0001, 0.002])
def test_reprojected_to_degrees(images: Any, item: Item, resolution: float | None) -> None:
    tool = {"reproject": {"projection": "EPSG:4326", "resolution": resolution, "kernel": "cubic"}}
    files = images(item, tools=[tool])
    assert files.keys() == {"3B_AnalyticMS_reproject.tif", "3B_udm2_reproject.tif"}
    footprint = unwrap_longitudes(item.shape)
    for image, _ in files.values():
        assert image.crs.to_epsg() == 4326
        assert box(*image.bounds).buffer(1e-3).contains(footprint)
        assert image.bounds.left < 180 < image.bounds.right < 181
    image, pixels = files["3B_AnalyticMS_reproject.tif"]
    assert covered(image, pixels) == pytest.approx(footprint.area, rel=0.05)


@pytest.mark.parametrize("item", [WEST, EAST], ids=["west", "east"])
def test_reprojected_to_web_mercator(images: Any, item: Item) -> None:
    [(image, pixels), _] = images(item, tools=[{"reproject": {"projection": "EPSG:3857"}}]).values()
    assert image.crs.to_epsg() == 3857
    assert image.bounds.left < EDGE < image.bounds.right
    west, _, east, _ = unwrap_longitudes(item.shape).bounds
    assert image.bounds.right - image.bounds.left == pytest.approx((east - west) / 180 * EDGE, rel=0.1)
    assert 0.3 < (pixels[0] > 0).mean() < 0.95


def test_reprojected_to_utm(images: Any) -> None:
    [(image, pixels), _] = images(WEST, tools=[{"reproject": {"projection": "EPSG:32701"}}]).values()
    assert image.crs.to_epsg() == 32701
    assert 0.3 < (pixels[0] > 0).mean() < 0.95


def test_a_projection_whose_edge_is_there_is_refused() -> None:
    with pytest.raises(ProductError, match=r"the edge of EPSG:6933 runs through the image; choose EPSG:4326"):
        products.deliver(
            request(WEST, tools=[{"reproject": {"projection": "EPSG:6933"}}]), CATALOGUE, pixels=PIXELS
        )


@pytest.mark.parametrize("item", [WEST, EAST], ids=["west", "east"])
@pytest.mark.parametrize("aoi", [OVER, BEYOND, ONE_SIDE], ids=["multipolygon", "beyond 180", "one side"])
@pytest.mark.parametrize("projection", [None, "EPSG:4326", "EPSG:3857"])
@pytest.mark.parametrize("clip_first", [True, False])
def test_clipped(
    images: Any, item: Item, aoi: dict[str, Any], projection: str | None, clip_first: bool
) -> None:
    tools: list[dict[str, Any]] = [{"clip": {"aoi": aoi}}]
    if projection:
        tools.insert(1 if clip_first else 0, {"reproject": {"projection": projection}})
    [(image, pixels), _] = images(item, tools=tools).values()
    width = {"EPSG:4326": 1.0, "EPSG:3857": EDGE / 180, None: 106_500.0}[projection]
    expected = (0.05 if aoi is ONE_SIDE else 0.1) * width
    assert image.bounds.right - image.bounds.left == pytest.approx(expected, rel=0.15)
    assert (pixels[0] > 0).mean() > 0.7


def test_a_clip_is_charged_on_both_sides() -> None:
    whole, beyond, half = (
        area_km2(request(WEST, tools=[{"clip": {"aoi": aoi}}]), CATALOGUE) for aoi in (OVER, BEYOND, ONE_SIDE)
    )
    assert whole == pytest.approx(beyond)
    # The western half is not all within the footprint.
    assert 0.5 * whole < half < 0.6 * whole


@pytest.mark.parametrize("reprojected", [True, False])
def test_composed(images: Any, reprojected: bool) -> None:
    tools: list[dict[str, Any]] = [{"composite": {}}]
    if reprojected:
        tools.insert(0, {"reproject": {"projection": "EPSG:4326"}})
    image, pixels = images(WEST, EAST, tools=tools)["composite.tif"]
    joined = unwrap_longitudes(WEST.shape).union(unwrap_longitudes(EAST.shape))
    square = 1.0 if reprojected else 106_500.0 * 110_700.0
    assert covered(image, pixels) == pytest.approx(joined.area * square, rel=0.06)
    assert max(image.shape) < 4 * PIXELS


def test_composed_with_a_neighbour_whose_longitudes_are_negative() -> None:
    """One image runs beyond 180 degrees; the next, which lies east of that, begins at -180."""

    def image(west: float, value: int) -> Raster:
        return Raster(
            data=np.full((1, 10, 20), value, np.uint16),
            transform=Affine(0.01, 0, west, 0, -0.01, -16.8),
            crs=CRS.from_epsg(4326),
            nodata=0,
            descriptions=("red",),
            outside=(0,),
        )

    merged = warp.mosaic([image(179.9, 1), image(-179.9, 2)])
    assert merged.bounds == pytest.approx((179.9, -16.9, 180.3, -16.8))
    assert (merged.data[0, :, :20] == 1).all()
    assert (merged.data[0, :, 20:] == 2).all()


@pytest.mark.parametrize(
    "tool",
    [{"file_format": {"format": "COG"}}, {"toar": {}}, {"tile": {"tile_size": 32}}],
    ids=lambda tool: next(iter(tool)),
)
@pytest.mark.parametrize("reprojected", [True, False])
def test_other_tools(images: Any, tool: dict[str, Any], reprojected: bool) -> None:
    before = [{"reproject": {"projection": "EPSG:4326"}}] if reprojected else []
    [(plain, expected), _] = images(WEST, tools=[*before, {"bandmath": {"b1": "b1"}}]).values()
    files = images(WEST, tools=[*before, tool])
    made = [read for name, read in files.items() if "udm2" not in name]
    assert sum((pixels[0] > 0).sum() for _, pixels in made) == pytest.approx(
        (expected[0] > 0).sum(), rel=0.02
    )
    assert (len(made) > 1) == ("tile" in tool)
    assert {np.dtype(image.dtypes[0]).kind for image, _ in made} == {"u"}
    assert all(image.crs == plain.crs for image, _ in made)
