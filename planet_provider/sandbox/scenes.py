"""Rendering of assets: real GeoTIFFs of a simulated world, and the files beside them.

An image is the scene at reduced size: its edge is a parameter, its place on the ground is true.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.features import geometry_mask
from rasterio.transform import Affine

from planet_provider.sandbox import (
    assets,
    clouds,
    sidecars,
    terrain,
)
from planet_provider.sandbox.footprints import unwrap_longitudes
from planet_provider.sandbox.raster import (
    Grid,
    Raster,
    encode,
    grid_of,
    project,
)

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from planet_provider.sandbox.items import Item

DEFAULT_PIXELS = 256

CACHE_BYTES = 128 * 1024 * 1024
"""Bound of the cache of rendered files, in bytes of content."""

_BLOCK = 1 << 20
_DN_FULL_SCALE = 4000.0


@dataclass(frozen=True)
class RenderedAsset:
    """One asset as a file.

    :param file_name: Planet's name of the file, for example ``<item id>_3B_AnalyticMS_SR.tif``.
    :param media_type: MIME type.
    :param content: The file's bytes.
    :param md5: MD5 of the content, hexadecimal.
    :param sha256: SHA-256 of the content, hexadecimal.
    """

    file_name: str
    media_type: str
    content: bytes
    md5: str
    sha256: str

    @classmethod
    def of(cls, file_name: str, media_type: str, content: bytes) -> RenderedAsset:
        """Wrap a content with its digests."""
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return cls(file_name, media_type, content, md5, hashlib.sha256(content).hexdigest())


class _Cache:
    """Least recently used files, bounded by their bytes; safe to share between threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = Lock()
        self._held: OrderedDict[tuple[Item, str, int], RenderedAsset] = OrderedDict()
        self._bytes = 0

    def get(self, key: tuple[Item, str, int]) -> RenderedAsset | None:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: tuple[Item, str, int], made: RenderedAsset) -> RenderedAsset:
        with self._lock:
            if key not in self._held and len(made.content) <= self._limit:
                self._held[key] = made
                self._bytes += len(made.content)
            while self._bytes > self._limit:
                _, dropped = self._held.popitem(last=False)
                self._bytes -= len(dropped.content)
            return self._held.get(key, made)


_cache = _Cache(CACHE_BYTES)


def render(item: Item, asset_type: str, *, pixels: int = DEFAULT_PIXELS) -> RenderedAsset:
    """Make the file of one asset, or take it from the cache.

    :param pixels: Longest edge of an image, in pixels.
    :raises UnknownAssetError: The item type has no such asset type.
    """
    key = (item, asset_type, pixels)
    made = _cache.get(key)
    if made is None:
        spec = assets.lookup(item.item_type, asset_type)
        file_name = item.id + spec.suffix
        content = _content(item, spec, asset_type, file_name, pixels)
        made = _cache.put(key, RenderedAsset.of(file_name, spec.media_type, content))
    return made


def thumbnail(item: Item, width: int = DEFAULT_PIXELS) -> bytes:
    """Make a PNG of the item, transparent outside of its footprint.

    :param width: Longest edge, in pixels.
    """
    visual = next(name for name in item.assets if assets.lookup(item.item_type, name).kind == "visual")
    return encode(image(item, visual, pixels=width), "PNG")


def image(
    item: Item,
    asset_type: str,
    *,
    pixels: int = DEFAULT_PIXELS,
    within: BaseGeometry | None = None,
) -> Raster:
    """Draw the pixels of an image asset.

    :param pixels: Longest edge, in pixels.
    :param within: Part of the item's footprint; only its bounds are drawn, with the finer pixels that
        this affords.
    :raises UnknownAssetError: The item type has no such asset type.
    """
    spec = assets.lookup(item.item_type, asset_type)
    if spec.basic:
        return _unrectified(item, spec, pixels)
    grid = grid_of(item, pixels, within)
    valid = ~geometry_mask(
        [project(item.shape, grid.epsg)],
        out_shape=(grid.height, grid.width),
        transform=grid.transform,
        # However little of the footprint is asked for, some pixel shows it.
        all_touched=within is not None,
    )
    data = np.empty((len(spec.bands), grid.height, grid.width), spec.dtype)
    step = max(1, _BLOCK // grid.width)
    for first in range(0, grid.height, step):
        last = min(first + step, grid.height)
        data[:, first:last] = _paint(item, spec, *grid.lonlat(first, last), valid[first:last])
    return _raster(spec, data, grid)


def _raster(spec: assets.AssetSpec, data: npt.NDArray[Any], grid: Grid) -> Raster:
    fill = None if spec.is_mask or spec.kind == "visual" else 0
    return Raster(data, grid.transform, grid.crs, fill, spec.bands, spec.outside)


def _content(item: Item, spec: assets.AssetSpec, asset_type: str, file_name: str, pixels: int) -> bytes:
    if spec.kind == "xml":
        return sidecars.metadata_xml(item, spec, file_name.replace("_metadata.xml", ".tif"))
    if spec.kind == "txt":
        return sidecars.metadata_txt(item)
    if spec.kind == "rpc":
        return sidecars.rpc_text(_corners(item), *_frame_shape(item, pixels))
    return encode(image(item, asset_type, pixels=pixels))


def _paint(
    item: Item,
    spec: assets.AssetSpec,
    longitude: npt.NDArray[np.float64],
    latitude: npt.NDArray[np.float64],
    valid: npt.NDArray[np.bool_],
) -> npt.NDArray[Any]:
    classes = clouds.classify(item, longitude, latitude)
    if spec.kind == "udm2":
        return clouds.udm2(classes, valid)
    if spec.kind == "udm":
        return clouds.udm1(classes, valid)[None]
    if spec.kind == "bqa":
        # Landsat's quality band: bit 0 fill, bit 4 cloud.
        return np.where(valid, np.where(classes == clouds.CLOUD, 16, 0), 1).astype(np.uint16)[None]
    acquired = item.properties["acquired"]
    day = np.datetime64(acquired[:10]) - np.datetime64(f"{acquired[:4]}-01-01")
    ground = terrain.ground(item.seed, longitude, latitude, day_of_year=int(day.astype(int)) + 1)
    painted = [_counts(spec, band, classes, ground, valid) for band in spec.bands if band != "alpha"]
    if "alpha" in spec.bands:
        painted.append(np.where(valid, 255, 0).astype(np.uint8))
    return np.stack(painted)


def _counts(
    spec: assets.AssetSpec,
    band: str,
    classes: npt.NDArray[np.uint8],
    ground: tuple[terrain.Array, terrain.Array, terrain.Array],
    valid: npt.NDArray[np.bool_],
) -> npt.NDArray[Any]:
    surface = terrain.reflectance(band, *ground, top=spec.kind in {"radiance", "toa", "dn"})
    seen = clouds.veil(classes, surface)
    if spec.kind == "visual":
        return np.where(valid, np.clip(np.sqrt(seen * 1.8) * 230, 1, 255), 0).astype(np.uint8)
    scale = {
        "radiance": 1 / sidecars.REFLECTANCE_COEFFICIENTS.get(band, 2e-5),
        "dn": _DN_FULL_SCALE,
    }.get(spec.kind, 10_000.0)
    return np.where(valid, np.clip(np.rint(seen * np.float32(scale)), 1, 65_535), 0).astype(np.uint16)


def _unrectified(item: Item, spec: assets.AssetSpec, pixels: int) -> Raster:
    height, width = _frame_shape(item, pixels)
    corners = _corners(item)
    across, down = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    upper, lower = (
        start + across[:, None] * (end - start)
        for start, end in ((corners[0], corners[1]), (corners[3], corners[2]))
    )
    points = upper[None] + down[:, None, None] * (lower - upper)[None]
    data = _paint(item, spec, points[..., 0], points[..., 1], np.ones((height, width), bool))
    places = ((0, 0), (0, width), (height, width), (height, 0))
    gcps = tuple(
        GroundControlPoint(row=row, col=column, x=x, y=y, id=str(index))
        for index, ((row, column), (x, y)) in enumerate(zip(places, corners, strict=True), start=1)
    )
    return Raster(data, Affine.identity(), CRS.from_epsg(4326), None, spec.bands, spec.outside, gcps)


def _corners(item: Item) -> npt.NDArray[np.float64]:
    """Longitude and latitude of the frame's upper left, upper right, lower right and lower left corner."""
    # Simplified, for the antimeridian may have left nodes on the edges.
    hull = unwrap_longitudes(item.shape).convex_hull.simplify(1e-6)
    ring = np.array(hull.exterior.coords[:4])
    by_latitude = ring[np.argsort(-ring[:, 1])]
    upper, lower = (pair[np.argsort(pair[:, 0])] for pair in (by_latitude[:2], by_latitude[2:]))
    return np.array([upper[0], upper[1], lower[1], lower[0]])


def _frame_shape(item: Item, pixels: int) -> tuple[int, int]:
    corners = _corners(item)
    shrink = np.array([np.cos(np.radians(corners[:, 1].mean())), 1.0])
    width, height = (float(np.hypot(*((corners[end] - corners[0]) * shrink))) for end in (1, 3))
    longest = max(width, height)
    return max(1, round(pixels * height / longest)), max(1, round(pixels * width / longest))
