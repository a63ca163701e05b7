"""What makes two order requests the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from planet_provider.builders.delivery import without_credentials

#: Hexadecimal digits of the digest in an order's name: 48 bits, so that among the 10,000 orders that an
#: organisation may have active two of the same name and another content meet once in five million times.
DIGEST_LENGTH = 12

#: What doesn't change what is delivered: the name carries the digest, notifications only announce.
_LEFT_OUT = frozenset({"name", "notifications"})


def request_digest(request: Mapping[str, Any], *, salt: str = "") -> str:
    """Digest an order request.

    Key order, the order of a product's items or quads and the spelling of numbers don't matter; nor do name,
    notifications and the credentials of a delivery.

    :param request: Order request.
    :param salt: What else must agree, e.g. the DAG run.
    :return: 12 hexadecimal digits.
    """
    content = {key: value for key, value in request.items() if key not in _LEFT_OUT}
    if content.get("delivery"):
        content["delivery"] = without_credentials(content["delivery"])
    canonical = _canonical(content, "")
    text = json.dumps([canonical, salt], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


def order_name(name: str, digest: str) -> str:
    """Return the name an order is placed under: ``<name> [<digest>]``."""
    return f"{name} [{digest}]"


def same_products(request: Mapping[str, Any], order: Mapping[str, Any]) -> bool:
    """Return whether an order is for the products of a request.

    The digest in its name says so too; this guards against somebody else's order of that name. Planet gives
    back the products as they were asked for, or of several bundles the one that was taken. Products of another
    form than Planet documents are others.
    """
    wanted = _products(request)
    try:
        there = _products(order)
    except (AttributeError, TypeError):
        return False
    return len(wanted) == len(there) and all(
        one.contents == other.contents and other.bundles <= one.bundles
        for one, other in zip(wanted, there, strict=True)
    )


class _Product(NamedTuple):
    contents: tuple[str, list[str]]
    bundles: frozenset[str]


def _products(order: Mapping[str, Any]) -> list[_Product]:
    """Item type or mosaic, items or quads, and bundles of each product, in an order of their own."""
    found = [
        _Product(
            (
                str(one.get("item_type", one.get("mosaic_name"))),
                sorted(set(one.get("item_ids") or one.get("quad_ids") or ())),
            ),
            frozenset(str(one.get("product_bundle")).lower().split(",")),
        )
        for one in order.get("products") or ()
    ]
    return sorted(found, key=lambda product: (product.contents, sorted(product.bundles)))


def _canonical(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _canonical(inner, name) for name, inner in value.items() if inner is not None}
    if isinstance(value, (list, tuple)):
        entries = [_canonical(entry, "") for entry in value]
        return sorted(entries) if key in {"item_ids", "quad_ids"} else entries
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # 1, 1.0 and 1e0 are the same number, and not the text "1"; so are 0 and -0.0.
        return {"number": format(Decimal(str(value or 0)).normalize(), "f")}
    return value
