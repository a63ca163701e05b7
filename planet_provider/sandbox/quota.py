"""What an order charges the quota with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyproj import Geod

from planet_provider.sandbox.catalogue import Catalogue
from planet_provider.sandbox.toolchecks import clip_area

_ELLIPSOID = Geod(ellps="WGS84")


def area_km2(request: Mapping[str, Any], catalogue: Catalogue) -> float:
    """Return the area of an order's items in km²; of a clipped order, that inside its ``aoi``.

    :param request: A valid request that places an order.
    """
    clips = [tool["clip"] for tool in request.get("tools") or [] if "clip" in tool]
    clip = clip_area(clips[0]) if clips else None
    total = 0.0
    for product in request["products"]:
        for item_id in product["item_ids"]:
            item = catalogue.get(product["item_type"], item_id)
            if item is not None:
                footprint = item.shape if clip is None else item.shape.intersection(clip)
                total += abs(_ELLIPSOID.geometry_area_perimeter(footprint)[0]) / 1e6
    return total
