"""One catalogue item as the Data API shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from shapely.geometry import shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shapely.geometry.base import BaseGeometry


@dataclass(frozen=True)
class Item:
    """A scene, tile or collect of the catalogue.

    :param item_type: ``PSScene``, ``SkySatCollect`` and so on.
    :param id: Item id, unique within its item type.
    :param geometry: GeoJSON footprint, EPSG:4326, (longitude, latitude) in degrees; a footprint over the
        antimeridian is a MultiPolygon cut there (RFC 7946, section 3.1.9).
    :param properties: Searchable metadata, JSON types only.
    :param assets: Asset types the item has published.
    :param permissions: ``assets.<asset type>:download`` for every asset the account may download.
    :param updates: When a republishing changed a property: property name to RFC 3339 instant.
    :param seed: Seed of the catalogue; the imagery of the item is drawn from it.
    """

    item_type: str
    id: str
    geometry: Mapping[str, Any] = field(hash=False)
    properties: Mapping[str, Any] = field(hash=False)
    assets: tuple[str, ...]
    permissions: tuple[str, ...]
    updates: Mapping[str, str] = field(default_factory=dict, hash=False)
    seed: int = 0

    @cached_property
    def shape(self) -> BaseGeometry:
        """The footprint as a shapely geometry."""
        return shape(self.geometry)

    def may_download(self, asset_type: str) -> bool:
        """Tell whether the account may download one asset of this item."""
        return f"assets.{asset_type}:download" in self.permissions

    def feature(self, base_url: str) -> dict[str, Any]:
        """Return the item as the GeoJSON Feature of the Data API.

        :param base_url: Origin of the API, without a trailing slash; the item's links point into it.
        """
        own = f"{base_url}/data/v1/item-types/{self.item_type}/items/{self.id}"
        return {
            "_links": {"_self": own, "assets": f"{own}/assets/", "thumbnail": f"{own}/thumb"},
            "_permissions": list(self.permissions),
            "assets": list(self.assets),
            "geometry": dict(self.geometry),
            "id": self.id,
            "properties": dict(self.properties),
            "type": "Feature",
        }
