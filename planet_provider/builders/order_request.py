"""An order's request: building it from its parts, and checking one that a user wrote by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from planet_provider.builders import (
    checks,
    order_options,
    spec,
)
from planet_provider.builders import (
    delivery as order_delivery,
)
from planet_provider.builders import geometry as geometries
from planet_provider.builders import (
    tools as order_tools,
)
from planet_provider.exceptions import InvalidInputError

#: ``full`` orders fail if anything is missing; ``partial`` ones deliver what there is.
ORDER_TYPES = ("full", "partial")

#: What is ordered; Planet's default is ``scenes``.
SOURCE_TYPES = ("scenes", "basemaps")

CREDENTIAL_FIELDS = order_delivery.CREDENTIAL_FIELDS

_PRODUCT_FIELDS = ("item_ids", "item_type", "product_bundle")
_OPTIONAL_FIELDS = (
    "source_type",
    "order_type",
    "subscription_id",
    "tools",
    "delivery",
    "hosting",
    "notifications",
    "metadata",
)
#: What stands further within a request.
_INNER_FIELDS = (*_PRODUCT_FIELDS, *order_tools.NAMES, *order_delivery.CREDENTIAL_FIELDS)


def product(
    item_ids: Sequence[str],
    item_type: str,
    product_bundle: str,
    fallback_bundles: Sequence[str] | str | None = None,
    *,
    max_items: int = checks.MAX_ORDER_ITEMS,
) -> dict[str, Any]:
    """Build one entry of an order's products.

    :param item_ids: Items to order; repeated ones are ordered once.
    :param item_type: e.g. ``PSScene``; its capitals count.
    :param product_bundle: e.g. ``analytic_udm2``.
    :param fallback_bundles: Bundles to try in turn for items without it; a list, or joined by commas.
    :param max_items: Items it may have.
    """
    checked = checks.item_ids(item_ids, max_items=max_items)
    return _product(checked, item_type, product_bundle, fallback_bundles)


def build(
    name: str,
    *,
    products: Sequence[Mapping[str, Any]] | None = None,
    items: Mapping[str, Any] | Sequence[str] | None = None,
    item_type: str | None = None,
    product_bundle: str | None = None,
    fallback_bundles: Sequence[str] | str | None = None,
    tools: Sequence[Mapping[str, Any]] | None = None,
    delivery: Mapping[str, Any] | None = None,
    notifications: Mapping[str, Any] | None = None,
    order_type: str | None = None,
    stac: Mapping[str, Any] | bool | None = None,
    hosting: Mapping[str, Any] | str | None = None,
    subscription_id: int | None = None,
    source_type: str | None = None,
    max_items: int = checks.MAX_ORDER_ITEMS,
    max_vertices: int | None = None,
) -> dict[str, Any]:
    """Build an order's request, and check it as :func:`validate` does.

    What is ordered is either ``products`` or ``items`` with a ``product_bundle``.

    :param name: Name of the order.
    :param products: What :func:`product` returns, or Planet's own form of it.
    :param items: ``{"item_type": ..., "item_ids": [...]}`` as a search returns it, or item ids alone.
    :param item_type: Needed with item ids alone.
    :param product_bundle: Needed with ``items``.
    :param fallback_bundles: As for :func:`product`.
    :param tools: What :mod:`planet_provider.builders.tools` builds, or Planet's own form of it, in the
        order of their application. A clip's ``aoi`` may have any form that its builder takes.
    :param delivery: What :func:`planet_provider.builders.delivery.delivery` returns. It, and every other
        list or object here, may be JSON text.
    :param notifications: What :func:`planet_provider.builders.order_options.notifications` returns.
    :param order_type: One of :data:`ORDER_TYPES`, in any capitalisation.
    :param stac: True for STAC metadata, or the whole of ``metadata``.
    :param hosting: ``sentinel_hub`` for a new collection there, or what
        :func:`planet_provider.builders.order_options.sentinel_hub` returns.
    :param subscription_id: Subscription whose quota is charged; > 0.
    :param source_type: One of :data:`SOURCE_TYPES`; Planet takes ``scenes`` if there is none.
    :param max_items: Items that the order may have.
    :param max_vertices: Vertices that a clip's area may have; by default as many as it has, for its builder
        has counted them.
    :return: Body of the request, a copy of all that was given.
    :raises InvalidInputError: Names the field, its value and the remedy.
    """
    products, items, fallback_bundles, tools, delivery, notifications, stac, hosting = (
        checks.from_text(value, field)
        for field, value in {
            "products": products,
            "items": items,
            "fallback_bundles": fallback_bundles,
            "tools": tools,
            "delivery": delivery,
            "notifications": notifications,
            "stac": stac,
            "hosting": hosting,
        }.items()
    )
    if products is None:
        wanted = [_product_of_items(items, item_type, product_bundle, fallback_bundles, max_items)]
    else:
        _refuse_beside_products(
            items=items, item_type=item_type, product_bundle=product_bundle, fallback_bundles=fallback_bundles
        )
        wanted = checks.sequence(products, "products", lambda entry, path: dict(checks.mapping(entry, path)))
    given = checks.given(
        name=name,
        products=wanted,
        source_type=source_type,
        subscription_id=subscription_id,
        delivery=_unless_empty(delivery),
        notifications=_unless_empty(notifications),
        order_type=_order_type(order_type),
        tools=_normalized_tools(_unless_empty(tools), max_vertices, basemaps=source_type == "basemaps"),
        metadata=_metadata(_unless_empty(stac)),
        hosting=_hosting(hosting),
    )
    request: dict[str, Any] = checks.plain(given)
    validate(request, max_items=max_items, max_vertices=max_vertices)
    return request


def validate(
    request: Mapping[str, Any],
    *,
    max_items: int = checks.MAX_ORDER_ITEMS,
    max_vertices: int | None = geometries.MAX_VERTICES,
) -> None:
    """Check an order's request that is sent as it is.

    A misspelt or misplaced field is refused: Planet may pass over it, and charge for an order without it. Item
    types, product bundles, tools, clouds and fields that Planet may have added since are only warned of.

    :param request: Body of the request.
    :param max_items: Items that the order may have.
    :param max_vertices: Vertices that a clip's area may have; ``None`` where they were counted before.
    :raises InvalidInputError: Names the field (``products[0].item_ids``), its value and the remedy.
    """
    given = checks.fields(
        request, "request", required=("name", "products"), optional=_OPTIONAL_FIELDS, elsewhere=_INNER_FIELDS
    )
    checks.order_name(given["name"])
    if "source_type" in given:
        checks.choice(given["source_type"], SOURCE_TYPES, "source_type")
    basemaps = given.get("source_type") == "basemaps"
    if basemaps:
        checks.sequence(given["products"], "products", partial(_check_basemap, max_vertices=max_vertices))
    else:
        ids = checks.sequence(given["products"], "products", _checked_item_ids)
        checks.bounded([item_id for each in ids for item_id in each], "products", max_items)
    if "tools" in given:
        check_tool = partial(order_tools.check, max_vertices=max_vertices, basemaps=basemaps)
        checks.sequence(given["tools"], "tools", check_tool)
        without_area = basemaps and {"clip": {}} in given["tools"]
        if without_area and not all("geometry" in product for product in given["products"]):
            raise InvalidInputError(
                "tools.clip", {}, "needs an aoi: not all of the order's quads are ordered by a geometry."
            )
    for field, check in _CHECKS.items():
        if field in given:
            check(given[field], field)


def _product(ids: list[str], item_type: object, bundle: object, fallbacks: object) -> dict[str, Any]:
    if isinstance(fallbacks, str):
        fallbacks = [name.strip() for name in fallbacks.split(",")]
    several = (
        checks.sequence(fallbacks, "fallback_bundles", checks.product_bundle)
        if _unless_empty(fallbacks) is not None
        else []
    )
    return {
        "item_ids": ids,
        "item_type": checks.item_type(item_type),
        "product_bundle": ",".join([checks.product_bundle(bundle), *several]),
    }


def _product_of_items(
    items: object, item_type: object, bundle: object, fallbacks: object, max_items: int
) -> dict[str, Any]:
    if items is None:
        raise InvalidInputError("products", None, "is missing; pass products, or items and a product_bundle.")
    if not isinstance(items, Mapping):
        return _product(checks.item_ids(items, "items", max_items=max_items), item_type, bundle, fallbacks)
    batch = checks.fields(items, "items", required=("item_type", "item_ids"), optional=tuple(items))
    if item_type not in (None, batch["item_type"]):
        raise InvalidInputError(
            "item_type", item_type, f"differs from that of the items, {batch['item_type']}."
        )
    ids = checks.item_ids(batch["item_ids"], "items.item_ids", max_items=max_items)
    return _product(ids, checks.item_type(batch["item_type"], "items.item_type"), bundle, fallbacks)


def _refuse_beside_products(**given: object) -> None:
    for field, value in checks.given(**given).items():
        raise InvalidInputError(
            field, value, "goes with items; the products say it themselves, so leave it out."
        )


def _unless_empty(value: object) -> Any:
    """Return None for an empty list or object: nothing is wanted. Empty text isn't that, and is refused."""
    return None if value in ([], (), {}) else value


def _order_type(value: object) -> str | None:
    return None if value is None else checks.choice(value, ORDER_TYPES, "order_type", fold_case=True)


def _metadata(stac: object) -> Mapping[str, Any] | None:
    if stac is None:
        return None
    if isinstance(stac, Mapping):
        order_options.check_metadata(stac, "stac")
        return stac
    return order_options.stac_metadata() if checks.flag_or_text(stac, "stac") else None


def _normalized_tools(
    tools: object, max_vertices: int | None, *, basemaps: bool
) -> list[order_tools.Tool] | None:
    if tools is None:
        return None
    read = partial(order_tools.normalized, max_vertices=max_vertices, basemaps=basemaps)
    return checks.sequence(tools, "tools", read)


def _hosting(hosting: Any) -> Mapping[str, Any] | None:
    if isinstance(hosting, str):
        checks.choice(hosting, (order_options.SENTINEL_HUB,), "hosting")
        return order_options.sentinel_hub()
    return _unless_empty(hosting)  # type: ignore[no-any-return]


def _checked_item_ids(entry: object, path: str) -> list[str]:
    given = checks.fields(entry, path, required=_PRODUCT_FIELDS, elsewhere=("items", *_OPTIONAL_FIELDS))
    ids = checks.sequence(given["item_ids"], f"{path}.item_ids", checks.item_id)
    if len(set(ids)) < len(ids):
        repeated = [item_id for item_id, count in Counter(ids).items() if count > 1]
        raise InvalidInputError(f"{path}.item_ids", repeated, "are there more than once; keep one of each.")
    item_type = checks.item_type(given["item_type"], f"{path}.item_type")
    spec.check_item_type(item_type, f"{path}.item_type")
    bundles = checks.text(given["product_bundle"], f"{path}.product_bundle")
    for bundle in bundles.split(","):
        checks.product_bundle(bundle, f"{path}.product_bundle")
        spec.check_product_bundle(bundle, item_type, f"{path}.product_bundle")
    return ids


def _check_basemap(entry: object, path: str, max_vertices: int | None) -> None:
    given = checks.fields(
        entry, path, required=("mosaic_name",), optional=("quad_ids", "geometry"), elsewhere=_PRODUCT_FIELDS
    )
    checks.text(given["mosaic_name"], f"{path}.mosaic_name")
    if ("quad_ids" in given) == ("geometry" in given):
        raise InvalidInputError(path, sorted(given), "needs either quad_ids or a geometry.")
    if "quad_ids" in given:
        checks.sequence(given["quad_ids"], f"{path}.quad_ids", checks.text)
    else:
        geometries.check_area(given["geometry"], f"{path}.geometry", max_vertices=max_vertices)


def _check_order_type(value: object, field: str) -> None:
    checks.choice(value, ORDER_TYPES, field)


_CHECKS: dict[str, Callable[[object, str], object]] = {
    "order_type": _check_order_type,
    "subscription_id": checks.whole_number,
    "delivery": order_delivery.check_delivery,
    "notifications": order_options.check_notifications,
    "hosting": order_options.check_hosting,
    "metadata": order_options.check_metadata,
}
