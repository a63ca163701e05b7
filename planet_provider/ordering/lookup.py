"""Looking for an order that may have been placed before."""

from __future__ import annotations

import logging
import time
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import pendulum

from planet_provider.builders import checks
from planet_provider.client.api import orders
from planet_provider.client.http.session import PlanetSession
from planet_provider.client.states import order_state
from planet_provider.exceptions import NotFoundError, PlanetError, UnexpectedResponseError
from planet_provider.ordering.digest import same_products
from planet_provider.ordering.waiting import clock_time, reported

log = logging.getLogger(__name__)

#: Seconds between two looks at the list: the first wait, doubled up to the longest.
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 10.0

#: What a row of a list tells of an order, and lists show alike.
_IN_ROWS = ("id", "name", "state", "products", "created_on", "last_modified", "last_message")

#: Pages of orders of one name: ten thousand orders. A list without end must not hold the lock for ever.
_MOST_PAGES = 40


def get_order(session: PlanetSession, order_id: str) -> dict[str, Any] | None:
    """Get an order as it is now, which the list may not know yet.

    :return: The order; ``None`` if Planet doesn't know it.
    """
    try:
        return session.send(orders.get(order_id))
    except NotFoundError:
        return None


def in_full(session: PlanetSession, row: dict[str, Any]) -> dict[str, Any]:
    """Get an order that a list shows; what the list shows of it where it can't be had, or can't be read."""
    try:
        found = get_order(session, row["id"])
    except UnexpectedResponseError as error:
        log.warning("Order %s is taken as the list shows it: %s", row["id"], error)
        found = None
    return found or {key: row[key] for key in _IN_ROWS if key in row}


def listed_orders(session: PlanetSession, request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the orders of a request's name, whatever their state and content, readable or not.

    :param request: Order request with the name it is placed under.
    """
    pages = session.pages(orders.namesakes(request["name"]), most=_MOST_PAGES)
    return [order for page in pages for order in page if order.get("name") == request["name"]]


def row_id(row: Mapping[str, Any]) -> str:
    """Return by what a row of a list is known again, even if its id can't be read."""
    return str(row.get("id"))


def is_live(order: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    """Return whether an order is the one for a request, and not lost."""
    if order.get("name") != request["name"]:
        return False
    if not _is_readable(order):
        log.warning(
            "An order has the name %r, but can't be read (id %.80s): it is not reused.",
            request["name"],
            row_id(order),
        )
        return False
    if is_lost(order):
        return False
    if not same_products(request, order):
        log.warning(
            "Order %s has the name %r, but other products: it is not reused.", order["id"], order["name"]
        )
        return False
    return True


def is_lost(order: Mapping[str, Any]) -> bool:
    """Return whether an order has ended without anything to download."""
    lost = order_state(order["state"]).is_lost
    if lost:
        log.info("Order %s of that name has %s: it is not reused.", order["id"], order["state"])
    return lost


def by_age(candidates: Iterable[dict[str, Any]], since: datetime | None = None) -> list[dict[str, Any]]:
    """Sort orders, the oldest first, so that everybody who looks finds the same.

    :param since: Orders from before are too old, and left out. One whose age can't be told is not: another one
        might be bought twice.
    """
    dated = [(_created(order), order) for order in candidates]
    for created, order in dated:
        if since is not None and created is not None and created < since:
            log.info(
                "Order %s is from %s, older than reuse_max_age: it is not reused.",
                order["id"],
                order["created_on"],
            )
    young = [
        (created, order) for created, order in dated if since is None or created is None or created >= since
    ]
    return [order for _, order in sorted(young, key=lambda one: (one[0] is None, one[0] or 0))]


def watch_list(
    session: PlanetSession,
    request: Mapping[str, Any],
    seconds: float,
    ignored: Collection[str] = (),
    *,
    reason: str,
) -> dict[str, Any] | None:
    """Look at the list again and again, because it lags behind, and say so in the log.

    :param seconds: For how long; the last look is taken then.
    :param ignored: Ids of orders that were there before.
    :param reason: Why, for the log.
    :return: The order; ``None`` where the list answered to the end and never showed it.
    :raises PlanetError: The last look failed, so nothing is known; or an order of that name has appeared that
        can't be read, or whose products are others.
    """
    log.info(
        "Looking for the order %r in Planet's list until %s (%.0f s), because %s. It is not placed before that.",
        request["name"],
        clock_time(seconds),
        seconds,
        reason,
    )
    with reported(f"Planet's list does not show the order {request['name']!r} yet", seconds):
        return _watch(session, request, time.monotonic() + seconds, ignored)


def _watch(
    session: PlanetSession, request: Mapping[str, Any], until: float, ignored: Collection[str]
) -> dict[str, Any] | None:
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
    new = [order for order in listed_orders(session, request) if row_id(order) not in ignored]
    live = by_age(order for order in new if is_live(order, request))
    if live:
        return live[0]
    for order in new:
        # Planet was taken to give the products back as they were asked for. Where it doesn't, this is it.
        if not _is_readable(order):
            raise UnexpectedResponseError(
                f"an order of that name has appeared that can't be read (id {row_id(order):.80})"
            )
        if not order_state(order["state"]).is_lost:
            raise UnexpectedResponseError(
                f"order {order['id']} of that name has appeared, but with products other than asked for"
            )
    return None


def renamed_order(
    session: PlanetSession, request: Mapping[str, Any], since: datetime, ignored: Collection[str] = ()
) -> dict[str, Any] | None:
    """Look for an order for a request that is stored under a name which was changed on the way.

    :param request: Order request with the name it is placed under.
    :param since: When it was created, at the earliest.
    :param ignored: Ids of orders that it is not.
    """
    for page in session.pages(orders.created_since(since), most=_MOST_PAGES):
        for order in page:
            if (
                order.get("name") != request["name"]
                and row_id(order) not in ignored
                and _is_readable(order)
                and _resembles(order.get("name"), request["name"])
                and same_products(request, order)
                and not order_state(order["state"]).is_lost
            ):
                return order
    return None


def _resembles(stored: object, sent: str) -> bool:
    """Return whether a name may be another one that was cut, recoded, put in capitals, or completed."""
    short, whole = _letters(str(stored or "")), _letters(sent)
    digest = _letters(sent.rpartition("[")[2])
    return digest in short or whole.startswith(short)


def _letters(name: str) -> str:
    return "".join(sign for sign in unicodedata.normalize("NFKC", name).casefold() if sign.isalnum())


def _is_readable(order: Mapping[str, Any]) -> bool:
    try:
        checks.order_id(orders.check_identity(order)["id"])
    except (KeyError, TypeError, ValueError):
        return False
    return True


def _created(order: Mapping[str, Any]) -> datetime | None:
    try:
        created: object = pendulum.parse(order["created_on"])
    except (KeyError, TypeError, ValueError, OverflowError):
        created = None
    if isinstance(created, datetime):
        return created
    log.warning(
        "Order %s: created_on=%.80r is no date-time: its age is not known.",
        order["id"],
        order.get("created_on"),
    )
    return None
