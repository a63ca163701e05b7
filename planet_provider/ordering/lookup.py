"""Looking for an order that may have been placed before."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, cast

import pendulum

from planet_provider.client import orders
from planet_provider.client.session import PlanetSession
from planet_provider.client.states import order_state
from planet_provider.exceptions import NotFoundError, PlanetError, UnexpectedResponseError
from planet_provider.ordering.digest import same_products

log = logging.getLogger(__name__)

#: Seconds between two looks at the list: the first wait, doubled up to the longest.
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 10.0


def get_order(session: PlanetSession, order_id: str) -> dict[str, Any] | None:
    """Get an order as it is now, which the list may not know yet.

    :return: The order; ``None`` if Planet doesn't know it.
    """
    try:
        return session.send(orders.get(order_id))
    except NotFoundError:
        log.warning("Order %s, placed before, is not found.", order_id)
        return None


def listed_orders(session: PlanetSession, request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the orders of a request's name, whatever their state and content.

    :param request: Order request with the name it is placed under.
    """
    pages = session.pages(orders.list_orders(name=request["name"]))
    return [order for page in pages for order in page if order.get("name") == request["name"]]


def is_live(order: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    """Return whether an order is the one for a request, and not lost."""
    if order.get("name") != request["name"]:
        return False
    if order_state(order["state"]).is_lost:
        log.info("Order %s of that name has %s: it is not reused.", order["id"], order["state"])
        return False
    if not same_products(request, order):
        log.warning(
            "Order %s has the name %r, but other products: it is not reused.", order["id"], order["name"]
        )
        return False
    return True


def by_age(candidates: Iterable[dict[str, Any]], since: datetime | None = None) -> list[dict[str, Any]]:
    """Sort orders, the oldest first, so that everybody who looks finds the same.

    :param since: Orders from before are too old, and left out.
    """
    oldest_first = sorted(candidates, key=_created)
    if since is None:
        return oldest_first
    for order in oldest_first:
        if _created(order) < since:
            log.info(
                "Order %s is from %s, older than reuse_max_age: it is not reused.",
                order["id"],
                order["created_on"],
            )
    return [order for order in oldest_first if _created(order) >= since]


def watch_list(
    session: PlanetSession, request: Mapping[str, Any], until: float, ignored: Collection[str] = ()
) -> dict[str, Any] | None:
    """Look at the list again and again, because it lags behind.

    :param until: ``time.monotonic()`` at which the last look is taken.
    :param ignored: Ids of orders that were there before.
    :return: The order; ``None`` where the list answered to the end and never showed it.
    :raises PlanetError: The last look failed, so nothing is known; or an order of that name has appeared whose
        products are others.
    """
    wait = _FIRST_WAIT
    while True:
        last = time.monotonic() >= until
        try:
            found = _newly_listed(session, request, ignored)
            if found is not None or last:
                return found
        except PlanetError as error:
            if last or not error.retryable:
                raise
            log.warning("Looking for the order again, because Planet can't be asked now: %s", error)
        time.sleep(max(0.0, min(wait, until - time.monotonic())))
        wait = min(2 * wait, _LONGEST_WAIT)


def _newly_listed(
    session: PlanetSession, request: Mapping[str, Any], ignored: Collection[str]
) -> dict[str, Any] | None:
    new = [order for order in listed_orders(session, request) if order["id"] not in ignored]
    live = by_age(order for order in new if is_live(order, request))
    if live:
        return live[0]
    for order in new:
        # Planet was taken to give the products back as they were asked for. Where it doesn't, this is it.
        if not order_state(order["state"]).is_lost:
            raise UnexpectedResponseError(
                f"order {order['id']} of that name has appeared, but with products other than asked for"
            )
    return None


def _created(order: Mapping[str, Any]) -> datetime:
    try:
        return cast("datetime", pendulum.parse(order["created_on"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UnexpectedResponseError(
            f"Order {order['id']}: created_on={order.get('created_on')!r} is no date-time; "
            "a newer version of this provider may understand it."
        ) from error
