"""Orders of basemaps: which quads of a mosaic they hold, and the files of these.

Planet names no layout of such orders; here a quad is ``<mosaic>/<quad>_quad.tif``, and a merged order
``<mosaic>/merged.tif``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from functools import lru_cache
from math import floor, pi
from typing import Any

import numpy as np
import shapely
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.transform import Affine
from shapely.geometry.base import BaseGeometry

from planet_provider.sandbox import assets, terrain, warp
from planet_provider.sandbox.delivery import DeliveredFile, delivered
from planet_provider.sandbox.footprints import overlap
from planet_provider.sandbox.raster import Raster, encode
from planet_provider.sandbox.toolchain import Toolchain, band_math, reproject
from planet_provider.sandbox.toolchecks import ProductError, clip_area

#: Quads of an order, and of one whose quads are merged. Source: Planet's page on ordering basemaps.
MAX_QUADS, MAX_MERGED = 500, 25

_TOOLS = frozenset({"bandmath", "clip", "file_format", "merge", "reproject"})
_NAME = re.compile(r"global_(?:monthly_(?P<year>\d{4})_(?P<month>0[1-9]|1[0-2])"
                   r"|quarterly_(?P<quarter_year>\d{4})q(?P<quarter>[1-4]))_mosaic")  # fmt: skip
_QUAD = re.compile(r"(\d{1,4})-(\d{1,4})")

#: Zoom 15 in quads of 4,096 pixels, as Planet's global mosaics are cut: so many make a side of the world.
_GRID = 2048
_EDGE = pi * 6_378_137.0
_SIDE = 2 * _EDGE / _GRID
_BANDS = ("red", "green", "blue", "alpha")


def problems(request: Mapping[str, Any], today: date) -> dict[str, list[str]]:
    """Tell what is wrong with the products and the tools of an order of basemaps, by field."""
    ordered = request.get("products")
    if not isinstance(ordered, list) or not ordered:
        return {"Products": ["products must be a non-empty array"]}
    wrong = [text for product in ordered for text in _product_problems(product, today)]
    if wrong:
        return {"Products": wrong}
    if not isinstance(request.get("tools") or [], list):
        return {"Tools": ["tools must be an array"]}
    try:
        chains = [_chain(request, product) for product in ordered]
        count = sum(len(quads(product)) for product in ordered)
    except ProductError as error:
        return {"Tools": [error.message, *error.hints]}
    most = MAX_MERGED if any("merge" in chain for chain in chains) else MAX_QUADS
    if not 0 < count <= most:
        return {"Products": [f"An order may hold 1 to {most} quads, not {count}"]}
    return {}


def quads(product: Mapping[str, Any]) -> list[str]:
    """Return the ids of a product's quads, ``<column>-<row>`` counted from the south-west.

    :raises ProductError: The geometry holds far too many.
    """
    if "quad_ids" in product:
        return list(dict.fromkeys(product["quad_ids"]))
    area = _mercator(clip_area({"aoi": product["geometry"]}))
    if area.area > MAX_QUADS * _SIDE**2:
        raise ProductError(f"geometry: an order may hold {MAX_QUADS} quads")
    west, south, east, north = (min(max(floor((edge + _EDGE) / _SIDE), 0), _GRID - 1) for edge in area.bounds)
    columns, rows = np.meshgrid(np.arange(west, east + 1), np.arange(south, north + 1))
    boxes = shapely.box(*_bounds(columns.ravel(), rows.ravel()))
    held = shapely.area(shapely.intersection(boxes, area)) > 0
    pairs = zip(columns.ravel()[held], rows.ravel()[held], strict=True)
    return [f"{column}-{row}" for column, row in pairs]


def footprint(quad: str) -> BaseGeometry:
    """Return a quad's outline, lon/lat."""
    corners = shapely.box(*_bounds(*_position(quad)))
    return shapely.transform(
        corners, lambda xy: np.column_stack(_transformer().transform(xy[:, 0], xy[:, 1], direction="INVERSE"))
    )


def deliver(
    order: Mapping[str, Any], *, pixels: int, failed_items: Collection[str] = frozenset()
) -> list[DeliveredFile]:
    """Make the files of an order of basemaps, without manifest and archive.

    :param order: The order's request, which is valid.
    :param pixels: Edge of a quad, in pixels; Planet's have 4,096.
    :param failed_items: Ids of quads to leave out.
    """
    return [file for product in order["products"] for file in _files(order, product, pixels, failed_items)]


def _files(
    order: Mapping[str, Any], product: Mapping[str, Any], pixels: int, failed: Collection[str]
) -> Iterator[DeliveredFile]:
    chain, mosaic = _chain(order, product), product["mosaic_name"]
    images = {f"{quad}_quad": _draw(mosaic, quad, pixels) for quad in quads(product) if quad not in failed}
    driver = "GTiff"
    for tool, parameters in chain.steps:
        if tool == "merge":
            images = {"merged": warp.mosaic(list(images.values()))} if images else {}
        elif tool == "file_format":
            driver = "COG"
        else:
            made = {name: _apply(tool, parameters, raster) for name, raster in images.items()}
            images = {name: raster for name, raster in made.items() if raster is not None}
    for name, raster in images.items():
        yield delivered(f"{mosaic}/{name}.tif", assets.TIFF, encode(raster, driver), {})


def _apply(tool: str, parameters: Mapping[str, Any], raster: Raster) -> Raster | None:
    if tool == "reproject":
        return reproject(raster, parameters, parameters.get("kernel", "near"))
    if tool == "bandmath":
        return band_math(raster, parameters)
    return warp.clip(raster, clip_area(parameters))


def _chain(order: Mapping[str, Any], product: Mapping[str, Any]) -> Toolchain:
    """Return the tools for a product; a clip without an area takes the product's."""
    tools = [
        {"clip": {"aoi": product["geometry"]}} if tool == {"clip": {}} and "geometry" in product else tool
        for tool in order.get("tools") or ()
    ]
    chain = Toolchain(tools)
    for name, _ in chain.steps:
        if name not in _TOOLS:
            raise ProductError(f"{name}: is not for basemaps, use one of {sorted(_TOOLS)}")
    return chain


def _product_problems(product: Any, today: date) -> list[str]:
    if not isinstance(product, dict):
        return [f"a product must be an object, not {product!r}"]
    name = product.get("mosaic_name")
    if not isinstance(name, str) or not _is_published(name, today):
        return [f"Mosaic {name!r} does not exist"]
    if ("quad_ids" in product) == ("geometry" in product):
        return ["either quad_ids or geometry is required"]
    return (
        _geometry_problems(product["geometry"])
        if "geometry" in product
        else _id_problems(product["quad_ids"])
    )


def _geometry_problems(geometry: Any) -> list[str]:
    try:
        clip_area({"aoi": geometry})
    except ProductError as error:
        return [error.message.replace("clip: aoi", "geometry")]
    return []


def _id_problems(ids: Any) -> list[str]:
    if not isinstance(ids, list) or not ids or not all(isinstance(quad, str) for quad in ids):
        return ["quad_ids must be a non-empty array of quad ids"]
    return [f"Quad {quad!r} does not exist" for quad in ids if not _is_quad(quad)]


def _is_published(name: str, today: date) -> bool:
    """Tell whether there is a mosaic of a name: of each month and quarter that is over, from 2016 on."""
    found = _NAME.fullmatch(name)
    if found is None:
        return False
    year = int(found["year"] or found["quarter_year"])
    last_month = int(found["month"] or 3 * int(found["quarter"]))
    return year >= 2016 and (year, last_month) < (today.year, today.month)


def _is_quad(quad: str) -> bool:
    return _QUAD.fullmatch(quad) is not None and max(_position(quad)) < _GRID


def _position(quad: str) -> tuple[int, int]:
    column, _, row = quad.partition("-")
    return int(column), int(row)


def _bounds(column: Any, row: Any) -> tuple[Any, Any, Any, Any]:
    """West, south, east and north of quads in EPSG:3857, metres."""
    west, south = column * _SIDE - _EDGE, row * _SIDE - _EDGE
    return west, south, west + _SIDE, south + _SIDE


def _draw(mosaic: str, quad: str, pixels: int) -> Raster:
    west, _, _, north = _bounds(*_position(quad))
    step = (np.arange(pixels) + 0.5) * _SIDE / pixels
    x, y = np.meshgrid(west + step, north - step)
    longitude, latitude = _transformer().transform(x, y, direction="INVERSE")
    found = _NAME.fullmatch(mosaic)
    month = int(found["month"] or 3 * int(found["quarter"])) if found else 1
    ground = terrain.ground(0, longitude, latitude, day_of_year=30 * month)
    seen = (terrain.reflectance(band, *ground, top=False) for band in _BANDS[:3])
    colours = [np.clip(np.sqrt(band * 1.8) * 230, 1, 255).astype(np.uint8) for band in seen]
    data = np.stack([*colours, np.full((pixels, pixels), 255, np.uint8)])
    transform = Affine(_SIDE / pixels, 0, west, 0, -_SIDE / pixels, north)
    return Raster(data, transform, CRS.from_epsg(3857), None, _BANDS, (0.0, 0.0, 0.0, 0.0))


def _mercator(geometry: BaseGeometry) -> BaseGeometry:
    within = overlap(geometry, shapely.box(-180, -85.05, 180, 85.05))
    return shapely.transform(within, lambda xy: np.column_stack(_transformer().transform(*xy.T)))


@lru_cache(maxsize=1)
def _transformer() -> Transformer:
    return Transformer.from_crs(4326, 3857, always_xy=True)
