"""What makes Planet refuse an order when it is placed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from planet_provider.sandbox import basemaps, bundles, products
from planet_provider.sandbox.catalogue import Catalogue, Item
from planet_provider.sandbox.clip_areas import check_clip_areas
from planet_provider.sandbox.delivery_options import delivery_problems
from planet_provider.sandbox.errors import ApiError
from planet_provider.sandbox.errors import fields as field_error

Messages = dict[str, list[str]]

_ORDER_TYPES = ("full", "partial")
_SOURCE_TYPES = ("scenes", "basemaps")

#: Item types of which an order that is zipped holds few. Source: Planet's Orders API overview.
_FEW_IN_ARCHIVES = ("SkySatCollect", "TanagerScene", "PelicanScene")
_MAX_IN_ARCHIVES = 50


@dataclass
class _Report:
    messages: Messages = field(default_factory=dict)

    def add(self, name: str, *texts: str) -> None:
        if texts:
            self.messages.setdefault(name, []).extend(texts)

    def error(self) -> ApiError:
        return field_error(400, self.messages, "Unable to accept order")


def check_order(
    request: Mapping[str, Any], catalogue: Catalogue, *, max_items: int, max_vertices: int
) -> dict[str, str]:
    """Check the body of a request that places an order.

    :param max_items: Items an order may hold.
    :param max_vertices: Vertices a clip's area may have.
    :return: Items a partial order will lack, for they have none of the bundles asked for; with
        a message each.
    :raises ApiError: 400, with a message for every field at fault.
    """
    report = _Report()
    if not isinstance(request.get("name"), str) or not request["name"].strip():
        report.add("Name", "name is required")
    for name, values in (("order_type", _ORDER_TYPES), ("source_type", _SOURCE_TYPES)):
        if request.get(name, values[0]) not in values:
            report.add(name, f"{request[name]!r} is not one of {', '.join(values)}")
    report.add("Delivery", *delivery_problems(request.get("delivery") or {}))
    _check_notifications(report, request.get("notifications") or {})
    lacking: dict[str, str] = {}
    if request.get("source_type") == "basemaps":
        for name, texts in basemaps.problems(request, catalogue.now.date()).items():
            report.add(name, *texts)
    else:
        lacking = _check_products(report, request, catalogue, max_items)
    if report.messages:
        raise report.error()
    check_clip_areas(request, max_vertices=max_vertices)
    return lacking


def _check_products(
    report: _Report, request: Mapping[str, Any], catalogue: Catalogue, max_items: int
) -> dict[str, str]:
    ordered = request.get("products")
    if not isinstance(ordered, list) or not ordered:
        report.add("Products", "products must be a non-empty array")
        return {}
    shapes = [text for product in ordered for text in _shape_problems(product)]
    if shapes:
        report.add("Products", *shapes)
        return {}
    _check_tools(report, request)
    count = sum(len(product["item_ids"]) for product in ordered)
    if count > max_items:
        report.add("Products", f"An order may hold {max_items} items, not {count}")
        return {}
    _check_archive(report, request, ordered)
    lacking: dict[str, str] = {}
    for product in ordered:
        lacking |= _check_product(report, product, catalogue)
    partial = request.get("order_type") == "partial" and len(lacking) < count
    if lacking and not partial:
        report.add("Products", *lacking.values())
    return lacking


def _check_archive(report: _Report, request: Mapping[str, Any], ordered: list[dict[str, Any]]) -> None:
    delivery = request.get("delivery")
    if not isinstance(delivery, dict) or "archive_type" not in delivery:
        return
    for item_type in _FEW_IN_ARCHIVES:
        count = sum(len(product["item_ids"]) for product in ordered if product["item_type"] == item_type)
        if count > _MAX_IN_ARCHIVES:
            report.add(
                "Delivery", f"A zipped order may hold {_MAX_IN_ARCHIVES} items of {item_type}, not {count}"
            )


def _check_tools(report: _Report, request: Mapping[str, Any]) -> None:
    if not isinstance(request.get("tools") or [], list):
        report.add("Tools", "tools must be an array")
        return
    try:
        products.check(request)
    except products.ProductError as error:
        report.add("Tools", error.message, *error.hints)


def _shape_problems(product: Any) -> list[str]:
    if not isinstance(product, dict):
        return [f"a product must be an object, not {product!r}"]
    problems = [
        f"{name} is required and must be a string"
        for name in ("item_type", "product_bundle")
        if not isinstance(product.get(name), str) or not product[name]
    ]
    ids = product.get("item_ids")
    if not isinstance(ids, list) or not ids or not all(isinstance(item_id, str) for item_id in ids):
        problems.append("item_ids must be a non-empty array of item ids")
    return problems


def _check_product(report: _Report, product: Mapping[str, Any], catalogue: Catalogue) -> dict[str, str]:
    item_type, wanted = product["item_type"], product["product_bundle"]
    if item_type not in catalogue.item_types:
        report.add("Products", f"Item type {item_type!r} is not supported")
        return {}
    known = bundles.spec()["bundles"]
    for bundle in wanted.split(","):
        if bundle.strip() not in known:
            report.add("Products", f"Product bundle {bundle!r} does not exist")
            return {}
        if item_type not in known[bundle.strip()]["assets"]:
            report.add("Products", f"Product bundle {bundle!r} is not available for item type {item_type!r}")
            return {}
    found: dict[str, Item] = {}
    for item_id in product["item_ids"]:
        item = catalogue.get(item_type, item_id)
        if item is None:
            report.add("Details", f"Item {item_type}/{item_id} does not exist")
        else:
            found[item_id] = item
    for item_id, item in found.items():
        denied = _denied(item, wanted)
        if denied:
            report.add("Details", f"no access to assets: {item_type}/{item_id}/[{' '.join(denied)}]")
    return {
        item_id: f"Item {item_type}/{item_id} has no assets of bundle {wanted!r}"
        for item_id, item in found.items()
        if not any(bundles.supports(item, bundle.strip()) for bundle in wanted.split(","))
    }


def _denied(item: Item, wanted: str) -> list[str]:
    """Return the assets the account lacks permission for, where no bundle goes without them."""
    if bundles.choose(item, wanted) is not None:
        return []
    for bundle in wanted.split(","):
        if bundles.supports(item, bundle.strip()):
            assets = bundles.assets_for(item.item_type, bundle.strip())
            return [asset for asset in assets if not item.may_download(asset)]
    return []


def _check_notifications(report: _Report, notifications: Any) -> None:
    if not isinstance(notifications, dict) or set(notifications) - {"email", "webhook"}:
        report.add("Notifications", "notifications must be an object of email and webhook")
        return
    if not isinstance(notifications.get("email", False), bool):
        report.add("Notifications", "email must be true or false")
    webhook = notifications.get("webhook")
    if webhook is not None and not (
        isinstance(webhook, dict) and re.match(r"https?://", str(webhook.get("url", "")))
    ):
        report.add("Notifications", "webhook.url must be an http(s) URL")
