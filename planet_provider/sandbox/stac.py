"""STAC 1.0 files of a delivery: one item per scene, one collection per item type, one catalog."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from rasterio.io import MemoryFile

from planet_provider.sandbox.footprints import unwrap_longitudes

if TYPE_CHECKING:
    from planet_provider.sandbox.delivery import DeliveredFile
    from planet_provider.sandbox.items import Item

VERSION = "1.0.0"
EXTENSIONS = (
    "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "https://stac-extensions.github.io/view/v1.0.0/schema.json",
    "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
    "https://planetlabs.github.io/stac-extension/v1.0.0-beta.3/schema.json",
)
_JSON = "application/json"


def documents(
    order_name: str,
    items: Sequence[Item],
    files: Sequence[DeliveredFile],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the documents of a delivery with their paths in it.

    :param items: The delivered items.
    :param files: The delivered files, whose annotations tell to which item each belongs.
    """
    by_type: dict[str, list[Item]] = {}
    for item in items:
        by_type.setdefault(item.item_type, []).append(item)
    children = [_link("child", f"./{kind}/{kind}_collection.json") for kind in by_type]
    yield (
        "catalog.json",
        {
            "type": "Catalog",
            "id": order_name,
            "stac_version": VERSION,
            "description": f"Imagery of the order {order_name}",
            "links": [_link("root", "./catalog.json"), *children],
        },
    )
    for item_type, members in by_type.items():
        yield f"{item_type}/{item_type}_collection.json", _collection(item_type, members)
        for item in members:
            own = [
                file
                for file in files
                if file.annotations.get("planet/item_id") == item.id
                and file.annotations.get("planet/item_type") == item_type
            ]
            yield f"{item_type}/{item.id}.json", _item(item, own)


def dumps(document: Mapping[str, Any]) -> bytes:
    """Serialize a document."""
    return json.dumps(document, indent=2).encode()


def _link(relation: str, href: str) -> dict[str, str]:
    return {"rel": relation, "href": href, "type": _JSON}


def _collection(item_type: str, items: Sequence[Item]) -> dict[str, Any]:
    acquired = sorted(str(item.properties["acquired"]) for item in items)
    boxes = [_bbox(item) for item in items]
    whole = [
        *(min(box[index] for box in boxes) for index in (0, 1)),
        *(max(box[index] for box in boxes) for index in (2, 3)),
    ]
    return {
        "type": "Collection",
        "id": item_type,
        "stac_version": VERSION,
        "title": item_type,
        "description": f"Delivered items of type {item_type}",
        "license": "proprietary",
        "extent": {
            "spatial": {"bbox": [whole]},
            "temporal": {"interval": [[acquired[0], acquired[-1]]]},
        },
        "links": [
            _link("root", "../catalog.json"),
            _link("parent", "../catalog.json"),
            *(_link("item", f"./{item.id}.json") for item in items),
        ],
    }


def _item(item: Item, files: Sequence[DeliveredFile]) -> dict[str, Any]:
    properties = item.properties
    return {
        "type": "Feature",
        "stac_version": VERSION,
        "stac_extensions": list(EXTENSIONS),
        "id": item.id,
        "collection": item.item_type,
        "bbox": _bbox(item),
        "geometry": dict(item.geometry),
        "properties": {
            "datetime": properties["acquired"],
            "created": properties["published"],
            "updated": properties["updated"],
            "gsd": properties["gsd"],
            "platform": properties["satellite_id"],
            "constellation": properties["provider"],
            "eo:cloud_cover": round(100 * properties["cloud_cover"]),
            "view:off_nadir": abs(properties["view_angle"]),
            "view:sun_azimuth": properties["sun_azimuth"],
            "view:sun_elevation": properties["sun_elevation"],
            "pl:item_type": item.item_type,
            "pl:pixel_resolution": properties["pixel_resolution"],
            "pl:publishing_stage": properties["publishing_stage"],
            "pl:quality_category": properties["quality_category"],
            **_optional(properties),
        },
        "assets": {_asset_key(file): _asset(file, item.item_type) for file in files},
        "links": [
            _link("root", "../catalog.json"),
            _link("collection", f"./{item.item_type}_collection.json"),
            _link("parent", f"./{item.item_type}_collection.json"),
        ],
    }


def _optional(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"pl:{name}": properties[name]
        for name in ("clear_percent", "ground_control", "strip_id")
        if name in properties
    }


def _asset_key(file: DeliveredFile) -> str:
    return PurePosixPath(file.path).name.replace(".", "_")


def _asset(file: DeliveredFile, item_type: str) -> dict[str, Any]:
    path = PurePosixPath(file.path)
    href = f"./{path.name}" if path.parts[0] == item_type else f"../{path}"
    asset: dict[str, Any] = {"href": href, "type": file.media_type, "roles": ["metadata"]}
    for ours, theirs in (("planet/asset_type", "pl:asset_type"), ("planet/bundle_type", "pl:bundle_type")):
        if ours in file.annotations:
            asset[theirs] = file.annotations[ours]
    if file.media_type == "image/tiff":
        asset["roles"] = ["data"]
        with MemoryFile(file.content) as memory, memory.open() as image:
            if image.crs is not None:
                asset |= {
                    "proj:epsg": image.crs.to_epsg(),
                    "proj:shape": [image.height, image.width],
                    "proj:transform": list(image.transform),
                }
            asset["eo:bands"] = [
                {"name": name or str(index)} for index, name in enumerate(image.descriptions, start=1)
            ]
    return asset


def _bbox(item: Item) -> list[float]:
    west, south, east, north = unwrap_longitudes(item.shape).bounds
    # RFC 7946, section 5.2: a box over the antimeridian has its west east of its east.
    return [west, south, east - 360 if east > 180 else east, north]
