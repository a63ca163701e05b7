"""What the Orders API's tools do to pixels: cut, reproject, mosaic, tile, rescale."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.features import geometry_mask
from rasterio.transform import Affine
from rasterio.warp import calculate_default_transform, reproject
from shapely.geometry.base import BaseGeometry

from planet_provider.sandbox import bandmath, sidecars
from planet_provider.sandbox.footprints import unwrap_longitudes
from planet_provider.sandbox.raster import Raster

MAX_EDGE = 4096
"""Longest edge of an image that a tool makes, in pixels; finer requests are coarsened to fit."""

_WEB_MERCATOR = 3857
_WEB_MERCATOR_EDGE = math.pi * 6_378_137.0
"""Easting of 180 degrees in EPSG:3857, in metres."""

KERNELS: dict[str, Resampling] = {
    "near": Resampling.nearest,
    "bilinear": Resampling.bilinear,
    "cubic": Resampling.cubic,
    "cubicspline": Resampling.cubic_spline,
    "lanczos": Resampling.lanczos,
    "average": Resampling.average,
    "mode": Resampling.mode,
}


class ProjectionError(ValueError):
    """An image that a projection cannot show in one piece."""


def clip(raster: Raster, aoi: BaseGeometry) -> Raster | None:
    """Crop to an area and blank what lies outside of it; pixels that the outline touches stay.

    :param aoi: Lon/lat polygon, no larger than the footprint of the image.
    :return: The cut image, or none if no pixel of the area has an image.
    """
    transformer = Transformer.from_crs(4326, _crs_beyond_edge(raster) or raster.crs, always_xy=True)
    outline = shapely.transform(
        shapely.segmentize(unwrap_longitudes(aoi), 0.01),
        lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1])),
    )
    shape = raster.data.shape[1:]
    inside = ~geometry_mask([outline], out_shape=shape, transform=raster.transform, all_touched=True)
    keep = inside & raster.valid
    if not keep.any():
        return None
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    cut = raster.masked(keep)
    size, _, west, _, height, north = raster.transform[:6]
    return replace(
        cut,
        data=cut.data[:, window[0], window[1]],
        transform=Affine(size, 0, west + columns[0] * size, 0, height, north + rows[0] * height),
    )


def to_crs(raster: Raster, crs: CRS, *, resolution: float | None, kernel: str) -> Raster:
    """Reproject an image.

    One over the antimeridian stays in one piece: its longitudes, or eastings, run on beyond 180 degrees.

    :param resolution: Pixel size in the units of ``crs``; as the input's if none. It is multiplied by the
        smallest whole number that keeps the edges within :data:`MAX_EDGE`.
    :param kernel: Name of the resampling, see :data:`KERNELS`.
    :raises ProjectionError: The edge of the projection runs through the image.
    """
    working = crs
    if _torn(raster, crs):
        unbroken = _beginning_at_greenwich(crs)
        if unbroken is None or _torn(raster, unbroken):
            raise ProjectionError(
                f"the edge of {crs.to_string()} runs through the image; choose EPSG:4326 or the UTM zone"
            )
        working = unbroken
    _, height, width = raster.data.shape
    where = (raster.crs, working, width, height, *raster.bounds)
    transform, columns, rows = calculate_default_transform(*where, resolution=resolution)
    coarser = math.ceil(max(columns, rows) / MAX_EDGE)
    if coarser > 1:
        transform, columns, rows = calculate_default_transform(*where, resolution=transform.a * coarser)
    made = _onto(
        raster,
        crs=working,
        transform=transform,
        rows=max(1, int(rows)),
        columns=max(1, int(columns)),
        resampling=KERNELS[kernel],
    )
    return replace(made, crs=crs)


def mosaic(rasters: Sequence[Raster]) -> Raster:
    """Lay images over each other on the grid of the first; where they overlap the first one shows."""
    first = rasters[0]
    placed = [
        _beside(first, raster)
        if raster.crs == first.crs
        else to_crs(raster, first.crs, resolution=first.transform.a, kernel="near")
        for raster in rasters
    ]
    bounds = np.array([raster.bounds for raster in placed])
    west, south = (float(value) for value in bounds[:, :2].min(axis=0))
    east, north = (float(value) for value in bounds[:, 2:].max(axis=0))
    size = first.transform.a
    size *= max(1, math.ceil(max(east - west, north - south) / size / MAX_EDGE))
    columns, rows = (max(1, round(extent / size)) for extent in (east - west, north - south))
    transform = Affine(size, 0, west, 0, -size, north)
    blank = np.asarray(first.outside, first.data.dtype)[:, None, None]
    data = np.broadcast_to(blank, (len(first.outside), rows, columns)).copy()
    free = np.ones((rows, columns), bool)
    for raster in placed:
        laid = _onto(raster, crs=first.crs, transform=transform, rows=rows, columns=columns)
        take = free & laid.valid
        data[:, take] = laid.data[:, take]
        free &= ~take
    return replace(first, data=data, transform=transform)


def tiles(raster: Raster, parameters: Mapping[str, Any]) -> Iterator[tuple[int, int, Raster]]:
    """Cut an image into square tiles of a grid over its projection; tiles without an image are left out.

    :param parameters: ``tile_size`` in pixels, ``origin_x``, ``origin_y`` and ``pixel_size`` in the units
        of the projection.
    :return: Column and row of the tile in the grid, and the tile.
    """
    edge = int(parameters["tile_size"])
    size = float(parameters.get("pixel_size") or raster.transform.a)
    origin_x, origin_y = (float(parameters.get(name) or 0) for name in ("origin_x", "origin_y"))
    west, south, east, north = raster.bounds
    span = edge * size
    for column in range(math.floor((west - origin_x) / span), math.ceil((east - origin_x) / span)):
        for row in range(math.floor((south - origin_y) / span), math.ceil((north - origin_y) / span)):
            left, top = origin_x + column * span, origin_y + (row + 1) * span
            transform = Affine(size, 0, left, 0, -size, top)
            tile = _onto(raster, crs=raster.crs, transform=transform, rows=edge, columns=edge)
            if tile.valid.any():
                yield column, row, tile


def toar(raster: Raster, scale_factor: float) -> Raster:
    """Turn radiance into top-of-atmosphere reflectance times ``scale_factor``."""
    factors = (
        np.array([sidecars.REFLECTANCE_COEFFICIENTS[band] for band in raster.descriptions]) * scale_factor
    )
    scaled = np.rint(raster.data * factors[:, None, None].astype(np.float32))
    return replace(raster, data=np.clip(scaled, 0, 65_535).astype(np.uint16))


def band_math(raster: Raster, expressions: Sequence[str], pixel_type: str) -> Raster:
    """Compute the output bands from expressions on the input's.

    :raises ExpressionError: An expression or the pixel type is not valid.
    """

    def compute(bands: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.stack(
            [bandmath.convert(bandmath.evaluate(text, bands), pixel_type) for text in expressions]
        )

    # As at Planet, pixels without data go through the expressions like any other.
    outside = compute(np.asarray(raster.outside, raster.data.dtype)[:, None, None])[:, 0, 0]
    return replace(
        raster,
        data=compute(raster.data),
        nodata=None,
        descriptions=tuple(expressions),
        outside=tuple(outside.tolist()),
    )


def _torn(raster: Raster, crs: CRS) -> bool:
    """Tell whether the outline of an image leaps from one edge of a projection to the other."""
    west, south, east, north = raster.bounds
    outline = shapely.segmentize(shapely.box(west, south, east, north), max(east - west, north - south) / 32)
    xy = shapely.get_coordinates(outline)
    x, _ = Transformer.from_crs(raster.crs, crs, always_xy=True).transform(xy[:, 0], xy[:, 1])
    return bool(np.abs(np.diff(x)).max() > np.ptp(x) / 2)


def _beginning_at_greenwich(crs: CRS) -> CRS | None:
    """Return the projection with longitudes 0 to 360 in place of -180 to 180, where that is possible."""
    if crs.is_geographic:
        return CRS.from_string(f"{crs.to_proj4()} +lon_wrap=180")
    if crs.to_epsg() == _WEB_MERCATOR:
        return CRS.from_string(
            f"+proj=merc +a=6378137 +b=6378137 +lon_0=180 +x_0={_WEB_MERCATOR_EDGE} +units=m +nadgrids=@null"
        )
    return None


def _edge(crs: CRS) -> float | None:
    """Where 180 degrees of longitude lie, if they are a straight edge of the projection."""
    if crs.is_geographic:
        return 180.0
    return _WEB_MERCATOR_EDGE if crs.to_epsg() == _WEB_MERCATOR else None


def _crs_beyond_edge(raster: Raster) -> CRS | None:
    edge = _edge(raster.crs)
    beyond = edge is not None and raster.bounds[2] > edge
    return _beginning_at_greenwich(raster.crs) if beyond else None


def _beside(first: Raster, raster: Raster) -> Raster:
    """Move an image by a turn of the globe, where that brings it nearer to another."""
    edge = _edge(first.crs)
    if edge is None:
        return raster
    apart = (sum(first.bounds[::2]) - sum(raster.bounds[::2])) / 2
    turns = round(apart / (2 * edge))
    size, _, west, _, height, north = raster.transform[:6]
    return replace(raster, transform=Affine(size, 0, west + turns * 2 * edge, 0, height, north))


def _onto(
    raster: Raster,
    *,
    crs: CRS,
    transform: Affine,
    rows: int,
    columns: int,
    resampling: Resampling = Resampling.nearest,
) -> Raster:
    place = {
        "src_transform": raster.transform,
        "src_crs": raster.crs,
        "dst_transform": transform,
        "dst_crs": crs,
    }
    data = np.zeros((len(raster.data), rows, columns), raster.data.dtype)
    reproject(raster.data, data, resampling=resampling, **place)
    # Whether there is an image is carried along by itself: zero is a value in a mask.
    valid: npt.NDArray[np.uint8] = np.zeros((rows, columns), np.uint8)
    reproject(raster.valid.astype(np.uint8), valid, resampling=Resampling.nearest, **place)
    return replace(raster, data=data, transform=transform, crs=crs).masked(valid.astype(bool))
