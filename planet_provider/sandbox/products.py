"""Processing of orders: from products and tools to files."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shapely.geometry.base import BaseGeometry

from planet_provider.sandbox import (
    assets,
    bundles,
    clouds,
    scenes,
    stac,
    warp,
)
from planet_provider.sandbox.catalogue import Catalogue
from planet_provider.sandbox.delivery import (
    JSON,
    DeliveredFile,
    archive,
    delivered,
    manifest,
)
from planet_provider.sandbox.footprints import overlap, to_geojson
from planet_provider.sandbox.items import Item
from planet_provider.sandbox.raster import encode
from planet_provider.sandbox.toolchain import Image, Toolchain
from planet_provider.sandbox.toolchecks import ProductError

__all__ = ["DeliveredFile", "ProductError", "archive", "check", "deliver", "failures", "manifest"]


@dataclass(frozen=True)
class _Selected:
    item: Item
    bundle: str


def check(order: Mapping[str, Any]) -> None:
    """Check the tools of an order request, against its products too.

    :raises ProductError: A tool is unknown or misused, or cannot work on what is ordered.
    """
    chain = Toolchain(order.get("tools"))
    if "merge" in chain:
        raise ProductError("merge: is for basemaps; scenes are merged by composite")
    products = order["products"]
    if "composite" in chain and len({(p["item_type"], p["product_bundle"]) for p in products}) > 1:
        raise ProductError("composite: all products must have one item type and one product bundle")
    ordered = {item_id for product in products for item_id in product["item_ids"]}
    if "coregister" in chain and chain["coregister"]["anchor_item"] not in ordered:
        raise ProductError("coregister: anchor_item is not an item of the order")
    for product in products:
        for bundle in product["product_bundle"].split(","):
            _check_bundle(chain, product["item_type"], bundle.strip())


def _check_bundle(chain: Toolchain, item_type: str, bundle: str) -> None:
    if bundle not in bundles.BUNDLES or item_type not in bundles.BUNDLES[bundle].assets:
        return
    specs = [assets.lookup(item_type, asset_type) for asset_type in bundles.assets_for(item_type, bundle)]
    if "toar" in chain and all(spec.kind != "radiance" for spec in specs):
        raise ProductError(f"toar: product bundle {bundle!r} of {item_type} holds no radiance")
    names = [name for name, _ in chain.steps if name != "file_format"]
    if names and any(spec.basic for spec in specs):
        raise ProductError(f"{names[0]}: needs orthorectified images, product bundle {bundle!r} has none")


def failures(order: Mapping[str, Any], catalogue: Catalogue) -> dict[str, str]:
    """Tell which items of an order cannot be delivered.

    :return: Item id to the reason.
    :raises ProductError: A tool is unknown or misused.
    """
    return _select(order, catalogue, Toolchain(order.get("tools")).aoi)[1]


def deliver(
    order: Mapping[str, Any],
    catalogue: Catalogue,
    *,
    pixels: int = scenes.DEFAULT_PIXELS,
    failed_items: Collection[str] = frozenset(),
) -> list[DeliveredFile]:
    """Make the files of an order, without manifest and archive.

    Items of an order with ``order_type: "partial"`` that cannot be delivered are left out.

    :param order: The order request: ``products``, ``tools``, ``order_type``, ``metadata``.
    :param pixels: Longest edge of an image before tools, in pixels; with ``clip`` that of the cut.
    :param failed_items: Ids of items to leave out as if their processing had failed.
    :raises ProductError: A tool is misused, an item of a full order cannot be delivered, or none can.
    """
    check(order)
    chain = Toolchain(order.get("tools"))
    selected, failed = _select(order, catalogue, chain.aoi)
    selected = [chosen for chosen in selected if chosen.item.id not in failed_items]
    hints = [f"{item_id}: {reason}" for item_id, reason in failed.items()]
    if failed and order.get("order_type", "full") != "partial":
        raise ProductError("Unable to deliver all items of the order", hints)
    if not selected:
        raise ProductError("No item of the order could be delivered", hints)
    files = list(
        _composited(selected, chain, pixels) if "composite" in chain else _scenes(selected, chain, pixels)
    )
    if "stac" in (order.get("metadata") or {}):
        items = list({chosen.item: None for chosen in selected})
        for path, document in stac.documents(str(order.get("name", "")), items, files):
            files.append(delivered(path, JSON, stac.dumps(document)))
    return _unique(files)


def _select(
    order: Mapping[str, Any],
    catalogue: Catalogue,
    aoi: BaseGeometry | None,
) -> tuple[list[_Selected], dict[str, str]]:
    selected, failed = [], {}
    for product in order["products"]:
        item_type, wanted = product["item_type"], product["product_bundle"]
        for item_id in product["item_ids"]:
            item = catalogue.get(item_type, item_id)
            if item is None:
                failed[item_id] = f"{item_type} has no item of this id"
            elif (bundle := bundles.choose(item, wanted)) is None:
                missing = "no access to assets" if not item.permissions else "missing assets"
                failed[item_id] = f"{missing} for product bundle {wanted!r}"
            elif aoi is not None and not overlap(item.shape, aoi).area:
                failed[item_id] = "the clip geometry does not intersect the item"
            else:
                selected.append(_Selected(item, bundle))
    return selected, failed


def _scenes(selected: Sequence[_Selected], chain: Toolchain, pixels: int) -> Iterator[DeliveredFile]:
    described = set()
    names, _ = chain.split()
    for chosen in selected:
        item = chosen.item
        images = [made for image in _images(chosen, chain, pixels) for made in chain.apply(names, image)]
        if item not in described:
            described.add(item)
            yield _metadata(item, images, chain.aoi, f"{item.item_type}/")
        if not names:
            yield from _assets_as_they_are(chosen, pixels)
            continue
        for image in images:
            yield _image_file(image, f"{item.item_type}/")
        yield from _sidecars(chosen, chain, pixels, f"{item.item_type}/")


def _composited(selected: Sequence[_Selected], chain: Toolchain, pixels: int) -> Iterator[DeliveredFile]:
    before, after = chain.split()
    by_strip = chain["composite"].get("group_by") == "strip_id"
    stacks: dict[tuple[str, str], list[Image]] = {}
    for chosen in selected:
        item = chosen.item
        images = [made for image in _images(chosen, chain, pixels) for made in chain.apply(before, image)]
        group = str(item.properties.get("strip_id", item.id)) if by_strip else ""
        for image in images:
            stacks.setdefault((group, image.asset_type), []).append(image)
        yield _metadata(item, images, chain.aoi, "")
        yield from _sidecars(chosen, chain, pixels, "")
    for (group, asset_type), images in stacks.items():
        if images[0].raster.gcps:
            raise ProductError(f"composite needs orthorectified images, {asset_type} is not")
        spec = images[0].spec
        stem = {"udm2": "composite_udm2", "udm": "composite_udm"}.get(spec.kind, "composite")
        if spec.kind in {"toa", "bqa"}:
            stem = f"composite_{spec.bands[0] if spec.kind == 'bqa' else asset_type}"
        merged = replace(
            images[0],
            items=tuple(item for image in images for item in image.items),
            file_name=f"{group}_{stem}.tif" if group else f"{stem}.tif",
            raster=warp.mosaic([image.raster for image in images]),
        )
        for image in chain.apply(after, merged):
            yield _image_file(image, "")


def _images(chosen: _Selected, chain: Toolchain, pixels: int) -> Iterator[Image]:
    names, _ = chain.split()
    if not names and "composite" not in chain:
        return
    item = chosen.item
    for asset_type in bundles.assets_for(item.item_type, chosen.bundle):
        spec = assets.lookup(item.item_type, asset_type)
        if spec.media_type == assets.TIFF:
            within = None if chain.aoi is None else overlap(item.shape, chain.aoi)
            raster = scenes.image(item, asset_type, pixels=pixels, within=within)
            yield Image((item,), asset_type, chosen.bundle, spec, item.id + spec.suffix, raster)


def _assets_as_they_are(chosen: _Selected, pixels: int) -> Iterator[DeliveredFile]:
    item = chosen.item
    for asset_type in bundles.assets_for(item.item_type, chosen.bundle):
        made = scenes.render(item, asset_type, pixels=pixels)
        path, notes = f"{item.item_type}/{made.file_name}", _annotations((item,), asset_type, chosen.bundle)
        yield DeliveredFile(path, made.media_type, made.content, made.md5, made.sha256, notes)


def _sidecars(chosen: _Selected, chain: Toolchain, pixels: int, folder: str) -> Iterator[DeliveredFile]:
    item = chosen.item
    for asset_type in bundles.assets_for(item.item_type, chosen.bundle):
        spec = assets.lookup(item.item_type, asset_type)
        if spec.media_type != assets.TIFF:
            made = scenes.render(item, asset_type, pixels=pixels)
            cut = spec.kind == "xml" and "clip" in chain
            file_name = assets.with_suffix(made.file_name, "clip") if cut else made.file_name
            notes = _annotations((item,), asset_type, chosen.bundle)
            yield delivered(folder + file_name, made.media_type, made.content, notes)


def _metadata(item: Item, images: Sequence[Image], aoi: BaseGeometry | None, folder: str) -> DeliveredFile:
    """The item's ``_metadata.json``; after a clip it describes what is left of the item."""
    properties, geometry = dict(item.properties), dict(item.geometry)
    if aoi is not None:
        geometry = to_geojson(overlap(item.shape, aoi))
        mask = next((image.raster.data for image in images if image.spec.kind == "udm2"), None)
        if mask is not None:
            properties |= (left := clouds.percentages(mask))
            properties["cloud_cover"] = left.get("cloud_percent", 0) / 100
    body = {"geometry": geometry, "id": item.id, "properties": properties, "type": "Feature"}
    notes = {"planet/item_id": item.id, "planet/item_type": item.item_type}
    return delivered(f"{folder}{item.id}_metadata.json", JSON, json.dumps(body).encode(), notes)


def _image_file(image: Image, folder: str) -> DeliveredFile:
    content = encode(image.raster, image.driver)
    notes = _annotations(image.items, image.asset_type, image.bundle)
    return delivered(folder + image.file_name, assets.TIFF, content, notes)


def _annotations(items: Sequence[Item], asset_type: str, bundle: str) -> dict[str, str]:
    notes = {"planet/asset_type": asset_type, "planet/bundle_type": bundle}
    if len(items) == 1:
        notes["planet/item_id"] = items[0].id
    return {**notes, "planet/item_type": items[0].item_type}


def _unique(files: Sequence[DeliveredFile]) -> list[DeliveredFile]:
    """Keep one file per path: two products of one item share their metadata and masks."""
    return list({file.path: file for file in reversed(files)}.values())[::-1]
