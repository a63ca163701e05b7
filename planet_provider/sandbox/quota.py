"""What an order charges the quota with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyproj import Geod
from shapely.geometry.base import BaseGeometry

from planet_provider.sandbox import basemaps
from planet_provider.sandbox.catalogue import Catalogue
from planet_provider.sandbox.toolchecks import clip_area

_ELLIPSOID = Geod(ellps="WGS84")


def area_km2(request: Mapping[str, Any], catalogue: Catalogue) -> float:
    """Return the area of an order's items in km²; of a clipped order, that inside its ``aoi``.

    Of basemaps all quads count as they are.

    :param request: A valid request that places an order.
    """
    clips = [tool["clip"] for tool in request.get("tools") or [] if "clip" in tool]
    clip = clip_area(clips[0]) if clips and clips[0] else None
    total = 0.0
    for product in request["products"]:
        if "mosaic_name" in product:
            total += sum(_km2(basemaps.footprint(quad)) for quad in basemaps.quads(product))
            continue
        for item_id in product["item_ids"]:
            item = catalogue.get(product["item_type"], item_id)
            if item is not None:
                footprint = item.shape if clip is None else item.shape.intersection(clip)
                total += _km2(footprint)
    return total


def _km2(geometry: BaseGeometry) -> float:
    return float(abs(_ELLIPSOID.geometry_area_perimeter(geometry)[0])) / 1e6
