"""The Orders API's endpoints, as functions that return a :class:`~planet_provider.client.call.Call`."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from planet_provider.builders import checks
from planet_provider.builders.time_interval import Span, span
from planet_provider.client.call import Call
from planet_provider.client.parse import (
    JSONObject,
    check_fields,
    json_object,
    next_link,
    objects,
)
from planet_provider.client.states import OrderState
from planet_provider.exceptions import InvalidInputError
from planet_provider.known_secrets import remember, secrets_of

log = logging.getLogger(__name__)

_ORDERS = "/compute/ops/orders/v2"
_BULK_CANCEL = "/compute/ops/bulk/orders/v2/cancel"
_STATS = "/compute/ops/stats/orders/v2"

STATES = tuple(state.value for state in OrderState)

#: Orders on a page of a list. Planet documents only that it is an integer, and takes what it can.
PAGE_SIZE = 250

#: Fields that Planet documents for sorting: name, created_on, state, last_modified.
_SORT_BY = re.compile(r"\w+( (ASC|DESC))?(, ?\w+( (ASC|DESC))?)*", re.IGNORECASE | re.ASCII)


def create(request: Mapping[str, Any]) -> Call[JSONObject]:
    """Place an order. It charges quota, and is therefore never repeated after an unclear answer.

    :param request: Order request, as :mod:`planet_provider.builders.order_request` builds it.
    """
    return Call(
        method="POST",
        path=_ORDERS,
        rate_class="orders.create",
        parse=_placed,
        json=dict(checks.mapping(request, "request")),
        repeatable=False,
        secrets=tuple(secrets_of(request)),
    )


def get(order_id: str) -> Call[JSONObject]:
    """Get an order. Each answer holds freshly signed links.

    :param order_id: Planet order UUID.
    """
    return Call(
        method="GET",
        path=f"{_ORDERS}/{checks.order_id(order_id)}",
        rate_class="orders.get",
        parse=check_shape,
    )


def list_orders(
    *,
    state: OrderState | str | Iterable[OrderState | str] | None = None,
    name: str | None = None,
    name_contains: str | None = None,
    created_on: Span | None = None,
    last_modified: Span | None = None,
    hosting: bool | None = None,
    destination_ref: str | None = None,
    user_id: str | int | None = None,
    sort_by: str | None = None,
    source_type: str = "all",
    page_size: int = PAGE_SIZE,
) -> Call[list[JSONObject]]:
    """List orders, newest first, a page at a time. The rows hold no links to results.

    :param state: One state or several; by default all.
    :param name: The whole name.
    :param name_contains: A part of the name.
    :param created_on: A point in time or a span, as :func:`planet_provider.builders.time_interval.span` takes it:
        a datetime, a pair ``(start, end)``, a pendulum interval, or text such as ``2024-01-01T00:00:00Z/..``.
    :param last_modified: Likewise.
    :param hosting: Only orders with or without hosting.
    :param destination_ref: Only orders to this destination.
    :param user_id: Only this user's; ``all`` for the whole organisation's where one may see them.
    :param sort_by: Fields with directions, e.g. ``name,created_on DESC``; Planet documents ``name``,
        ``created_on``, ``state`` and ``last_modified``.
    :param source_type: ``scenes``, ``basemaps`` or ``all``.
    :param page_size: Rows a page, at most.
    :raises InvalidInputError: A filter is malformed, or a time has no offset.
    """
    optional = {
        "name": _text(name, "name"),
        "name__contains": _text(name_contains, "name_contains"),
        "created_on": None if created_on is None else span(created_on, "created_on"),
        "last_modified": None if last_modified is None else span(last_modified, "last_modified"),
        "hosting": None if hosting is None else str(checks.flag(hosting, "hosting")).lower(),
        "destination_ref": _text(destination_ref, "destination_ref"),
        "user_id": _user_id(user_id),
        "sort_by": _sort_by(sort_by),
    }
    source = checks.text(source_type, "source_type")
    params = [("source_type", source), ("page_size", str(checks.whole_number(page_size, "page_size")))]
    params += [("state", checks.choice(one, STATES, "state")) for one in _states(state)]
    params += [(key, value) for key, value in optional.items() if value is not None]
    return Call(
        method="GET",
        path=_ORDERS,
        rate_class="orders.list",
        parse=_orders,
        params=tuple(params),
        next_page=_next_page,
    )


def changes(
    *,
    state: Iterable[OrderState] = (),
    last_modified: Span | None = None,
    sort_by: str | None = None,
    page_size: int = PAGE_SIZE,
) -> Call[list[JSONObject]]:
    """List orders as :func:`list_orders` does, with the rows that can't be read.

    For watching many: a single odd row must not hide the others.
    """
    listed = list_orders(state=state, last_modified=last_modified, sort_by=sort_by, page_size=page_size)
    return replace(listed, parse=_any_orders)


def namesakes(name: str) -> Call[list[JSONObject]]:
    """List orders as :func:`list_orders` does, with the rows that can't be read: any may be the one looked for.

    :param name: The whole name.
    """
    return replace(list_orders(name=name), parse=_any_orders)


def created_since(since: datetime) -> Call[list[JSONObject]]:
    """List the orders that were created since a point in time, with the rows that can't be read.

    :param since: With a time zone.
    """
    return replace(list_orders(created_on=(since, None)), parse=_any_orders)


def cancel(order_id: str) -> Call[JSONObject]:
    """Cancel a queued order.

    :param order_id: Planet order UUID.
    """
    return Call(
        method="PUT",
        path=f"{_ORDERS}/{checks.order_id(order_id)}",
        rate_class="orders.cancel",
        parse=json_object,
    )


def bulk_cancel(order_ids: Iterable[str]) -> Call[JSONObject]:
    """Cancel several queued orders.

    :param order_ids: Planet order UUIDs; never empty, because Planet takes an empty body for "all of them".
    """
    ids = checks.order_ids(order_ids)
    if not ids:
        raise InvalidInputError(
            "order_ids", ids, "must name at least one order; Planet would cancel every queued order instead."
        )
    return Call(
        method="POST",
        path=_BULK_CANCEL,
        rate_class="orders.bulk_cancel",
        parse=json_object,
        json={"order_ids": ids},
    )


def stats() -> Call[JSONObject]:
    """Count queued and running orders, for the organisation and the user."""
    return Call(method="GET", path=_STATS, rate_class="orders.stats", parse=_counts)


def _states(value: object) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise InvalidInputError("state", value, f"must be one or several of {', '.join(STATES)}.")
    return list(value)


def _text(value: str | None, field: str) -> str | None:
    return None if value is None else checks.text(value, field)


def _user_id(value: str | int | None) -> str | None:
    if value is None or value == "all":
        return value
    # Other scripts have decimal digits too.
    if isinstance(value, bool) or not (str(value).isascii() and str(value).isdecimal()):
        raise InvalidInputError("user_id", value, "must be a user's number, or 'all'.")
    return str(value)


def _sort_by(value: str | None) -> str | None:
    if value is not None and not (isinstance(value, str) and _SORT_BY.fullmatch(value)):
        raise InvalidInputError(
            "sort_by",
            value,
            "must be fields with an optional ASC or DESC each, such as 'name,created_on DESC'.",
        )
    return value


def check_identity(order: Any) -> JSONObject:
    """Check that one can tell which order this is: its id, state and products.

    :param order: As Planet described it.
    :return: The order.
    :raises TypeError: It has no id or no state, or something is of the wrong kind.
    """
    found = json_object(order)
    if not _is_identified(found):
        raise TypeError("an order's id and state must be strings")
    for product in objects(found.get("products")):
        _check_product(product)
    return found


def check_shape(order: Any) -> JSONObject:
    """Check that an order is described in a way that can be read, with its results and hints.

    :param order: As Planet described it.
    :return: The order.
    :raises TypeError: It has no id or no state, or something is of the wrong kind.
    """
    found = check_identity(order)
    check_fields(found, name=str, created_on=str, last_modified=str, last_message=str, error_hints=list)
    check_fields(found, _links=dict, delivery=dict, notifications=dict)
    objects(found.get("tools"))
    objects((found.get("_links") or {}).get("results"))
    remember(secrets_of(found))
    return found


def _is_identified(order: JSONObject) -> bool:
    return isinstance(order.get("id"), str) and isinstance(order.get("state"), str)


def _check_product(product: JSONObject) -> None:
    check_fields(product, item_type=str, item_ids=list, quad_ids=list, product_bundle=str)
    item_ids, quad_ids = product.get("item_ids") or (), product.get("quad_ids") or ()
    if not all(isinstance(text, str) for text in (*item_ids, *quad_ids)):
        raise TypeError("an order's item_ids and quad_ids must be strings")
    if item_ids and product.get("item_type") is None:
        raise TypeError("a product with item_ids must have an item_type")


def _placed(body: Any) -> JSONObject:
    order = check_shape(body)
    try:
        checks.order_id(order["id"])
    except InvalidInputError as error:
        raise TypeError("an order's id must be a UUID") from error
    return order


def _orders(body: Any) -> list[JSONObject]:
    """Return the rows of a list that can be read: one that can't must not hide the others."""
    rows = _rows(body)
    found = [row for row in rows if isinstance(row, dict) and _is_identified(row)]
    if len(found) < len(rows):
        log.warning(
            "%d of %d listed orders can't be read, and are left out.", len(rows) - len(found), len(rows)
        )
    return found


def _any_orders(body: Any) -> list[JSONObject]:
    return [row for row in _rows(body) if isinstance(row, dict)]


def _rows(body: Any) -> list[Any]:
    rows = json_object(body)["orders"]
    if not isinstance(rows, list):
        raise TypeError(f"expected a list of orders, got {type(rows).__name__}")
    return rows


def _counts(body: Any) -> JSONObject:
    found = check_fields(json_object(body), organization=dict, user=dict)
    for whose in ("organization", "user"):
        check_fields(found.get(whose) or {}, queued_orders=int, running_orders=int)
    return found


def _next_page(body: Any) -> str | None:
    return next_link(body, "next")
