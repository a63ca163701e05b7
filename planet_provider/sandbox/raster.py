"""Georeferenced pixels in memory, the grid they lie on, and their encoding as a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
import shapely
from pyproj import Transformer
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile
from rasterio.transform import Affine, array_bounds
from shapely.geometry.base import BaseGeometry

from planet_provider.sandbox.footprints import unwrap_longitudes

if TYPE_CHECKING:
    from planet_provider.sandbox.items import Item

Pixels = npt.NDArray[Any]


@dataclass(frozen=True)
class Grid:
    """A north-up grid in a UTM zone."""

    epsg: int
    transform: Affine
    width: int
    height: int

    @property
    def crs(self) -> CRS:
        """The grid's coordinate reference system."""
        return CRS.from_epsg(self.epsg)

    def lonlat(
        self,
        first: int,
        last: int,
        nodes: int = 17,
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Longitude and latitude of the pixels' centres in rows ``first`` to ``last - 1``, in degrees.

        Interpolated between exact nodes: with 17 a side the error stays below 10 m even for a Landsat
        scene of 185 km.
        """
        columns, rows = np.linspace(0, self.width, nodes), np.linspace(0, self.height, nodes)
        x = self.transform.c + self.transform.a * columns
        y = self.transform.f + self.transform.e * rows
        eastings, northings = np.meshgrid(x, y)
        longitude, latitude = _transformer(self.epsg).transform(eastings, northings, direction="INVERSE")
        centre = (self.epsg % 100) * 6 - 183
        longitude = centre + (longitude - centre + 180) % 360 - 180
        across, down = _hat(self.width, nodes), _hat(self.height, nodes)[first:last]
        return down @ longitude @ across.T, down @ latitude @ across.T


@dataclass(frozen=True)
class Raster:
    """Pixels with their place.

    :param data: Bands, rows, columns.
    :param crs: Coordinate reference system; for unrectified images that of the control points.
    :param nodata: Pixel value for "no data", if the file has one.
    :param descriptions: Band names.
    :param outside: Value of each band where there is no image.
    :param gcps: Ground control points of an unrectified image, in place of ``transform``.
    """

    data: Pixels
    transform: Affine
    crs: CRS
    nodata: float | None
    descriptions: tuple[str, ...]
    outside: tuple[float, ...]
    gcps: tuple[GroundControlPoint, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Where there is an image."""
        fill = np.asarray(self.outside, self.data.dtype)[:, None, None]
        blank = self.data == fill
        if self.data.dtype.kind == "f":
            blank |= np.isnan(fill) & np.isnan(self.data)
        return np.asarray(~blank.all(axis=0))

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east and north in the units of ``crs``."""
        _, height, width = self.data.shape
        west, south, east, north = array_bounds(height, width, self.transform)
        return west, south, east, north

    def masked(self, keep: npt.NDArray[np.bool_]) -> Raster:
        """Return a copy with no image where ``keep`` is false."""
        fill = np.asarray(self.outside, self.data.dtype)[:, None, None]
        return replace(self, data=np.where(keep[None], self.data, fill))


def utm_epsg(longitude: float, latitude: float) -> int:
    """EPSG code of the UTM zone of a point given in degrees."""
    zone = int(((longitude + 180) % 360) // 6) + 1
    return (32600 if latitude >= 0 else 32700) + zone


def project(geometry: BaseGeometry, epsg: int) -> BaseGeometry:
    """Project a lon/lat geometry of the size of a scene; its edges bend, by pieces of 0.01 degrees."""
    pieces = shapely.segmentize(unwrap_longitudes(geometry), 0.01)
    transformer = _transformer(epsg)
    return shapely.transform(pieces, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1])))


def grid_of(item: Item, pixels: int, within: BaseGeometry | None = None) -> Grid:
    """Lay the grid of an item's images.

    The pixel is the smallest multiple of the item type's own pixel that keeps the longer edge within
    ``pixels``, and grids start at multiples of it: images of one place line up.

    :param pixels: Longest edge of the grid, in pixels.
    :param within: Part of the item's footprint; the grid covers no more than its bounds.
    """
    centre = unwrap_longitudes(item.shape).centroid
    epsg = utm_epsg(centre.x, centre.y)
    west, south, east, north = project(item.shape, epsg).bounds
    if within is not None:
        left, bottom, right, top = project(within, epsg).bounds
        west, south, east, north = max(west, left), max(south, bottom), min(east, right), min(north, top)
    own = float(item.properties["pixel_resolution"])
    size = own * max(1, math.ceil(max(east - west, north - south) / own / max(pixels - 1, 1)))
    west, north = math.floor(west / size) * size, math.ceil(north / size) * size
    return Grid(
        epsg=epsg,
        transform=Affine(size, 0, west, 0, -size, north),
        width=max(1, math.ceil((east - west) / size)),
        height=max(1, math.ceil((north - south) / size)),
    )


def encode(raster: Raster, driver: str = "GTiff") -> bytes:
    """Write a raster as a file.

    :param driver: ``GTiff`` (tiled, deflate), ``COG`` (cloud-optimized, deflate) or ``PNG``.
    """
    count, height, width = raster.data.shape
    deflate = {"compress": "deflate", "zlevel": 6 if raster.data.nbytes < 1 << 25 else 1}
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": count,
        "height": height,
        "width": width,
        "dtype": raster.data.dtype.name,
        "nodata": raster.nodata,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        **deflate,
        "crs": raster.crs,
        **({"gcps": list(raster.gcps)} if raster.gcps else {"transform": raster.transform}),
    }
    if "alpha" in raster.descriptions:
        profile |= {"photometric": "RGB", "alpha": "unassociated"}
    with MemoryFile() as memory:
        with memory.open(**profile) as target:
            target.write(raster.data)
            target.descriptions = raster.descriptions
            target.update_tags(**raster.tags)
            if "alpha" in raster.descriptions:
                target.colorinterp = [ColorInterp[name] for name in raster.descriptions]
        if driver == "GTiff":
            return bytes(memory.getbuffer())
        options = {"COG": {"compress": "deflate", "blocksize": 256}, "PNG": {}}[driver]
        with MemoryFile() as copy:
            rasterio.shutil.copy(memory.name, copy.name, driver=driver, **options)
            return bytes(copy.getbuffer())


def _hat(length: int, nodes: int) -> npt.NDArray[np.float64]:
    """Matrix of linear interpolation from nodes at 0..length to pixel centres."""
    place = (np.arange(length) + 0.5) / length * (nodes - 1)
    return np.maximum(0.0, 1.0 - np.abs(place[:, None] - np.arange(nodes)[None, :]))


@lru_cache(maxsize=128)
def _transformer(epsg: int) -> Transformer:
    return Transformer.from_crs(4326, epsg, always_xy=True)
