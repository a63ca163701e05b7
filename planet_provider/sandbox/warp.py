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

KERNELS: dict[str, Resampling] = {
    "near": Resampling.nearest,
    "bilinear": Resampling.bilinear,
    "cubic": Resampling.cubic,
    "cubicspline": Resampling.cubic_spline,
    "lanczos": Resampling.lanczos,
    "average": Resampling.average,
    "mode": Resampling.mode,
}


def clip(raster: Raster, aoi: BaseGeometry) -> Raster | None:
    """Crop to an area and blank what lies outside of it; pixels that the outline touches stay.

    :param aoi: Lon/lat polygon, no larger than the footprint of the image.
    :return: The cut image, or none if no pixel of the area has an image.
    """
    transformer = Transformer.from_crs(4326, raster.crs, always_xy=True)
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

    :param resolution: Pixel size in the units of ``crs``; as the input's if none. It is multiplied by the
        smallest whole number that keeps the edges within :data:`MAX_EDGE`.
    :param kernel: Name of the resampling, see :data:`KERNELS`.
    """
    _, height, width = raster.data.shape
    where = (raster.crs, crs, width, height, *raster.bounds)
    transform, columns, rows = calculate_default_transform(*where, resolution=resolution)
    coarser = math.ceil(max(columns, rows) / MAX_EDGE)
    if coarser > 1:
        transform, columns, rows = calculate_default_transform(*where, resolution=transform.a * coarser)
    return _onto(
        raster,
        crs=crs,
        transform=transform,
        rows=int(rows),
        columns=int(columns),
        resampling=KERNELS[kernel],
    )


def mosaic(rasters: Sequence[Raster]) -> Raster:
    """Lay images over each other on the grid of the first; where they overlap the first one shows."""
    first = rasters[0]
    placed = [
        raster
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
