"""Place an order once, whatever was placed before and whatever becomes of the answer.

Planet has no idempotency key, and an order charges quota when it is placed. So the request's digest goes into
the order's name, and orders of that name are listed before one is placed, and after every answer that is not
clear. The list lags behind, so a journal (:mod:`planet_provider.coordination.journal`) tells the next try and the
twins of this one what was about to happen, and a lock lets only one of them go ahead.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from planet_provider.builders.delivery import check_archive_name
from planet_provider.builders.order_request import validate
from planet_provider.client.api import orders
from planet_provider.client.http.session import PlanetSession
from planet_provider.coordination.journal import Record
from planet_provider.coordination.locks import HeldLock, open_locks
from planet_provider.exceptions import (
    APIError,
    OrderUncertainError,
    PlanetError,
    TransportError,
    UnexpectedResponseError,
)
from planet_provider.ordering import LIST_CONSISTENCY_SECONDS
from planet_provider.ordering.digest import order_name, request_digest, same_products
from planet_provider.ordering.lookup import (
    by_age,
    get_order,
    in_full,
    is_live,
    is_lost,
    listed_orders,
    renamed_order,
    row_id,
    watch_list,
)
from planet_provider.ordering.notes import Note, Notes
from planet_provider.ordering.task_journal import TaskStore
from planet_provider.ordering.waiting import reported

log = logging.getLogger(__name__)


#: Seconds to wait for another task that is placing the same order: it may be patient itself.
LOCK_TIMEOUT_SECONDS = 900.0

#: How often an order is sent, where the list shows each time that it was not accepted.
MAX_PLACEMENTS = 3

#: Statuses by which Planet, or what stands before it, surely refuses an order. Any other but success leaves it
#: open: a redirect may come after the order was accepted, a gateway may have given up waiting (408, 499, 5xx).
_REFUSALS = frozenset({*range(400, 408), *range(409, 416), 417, 421, 422, 424, 426, 428, 429, 431, 451})

#: Seconds by which clocks may differ, where orders are looked for by the time of their creation.
_CLOCK_SECONDS = 300.0


@dataclass(frozen=True)
class PlacedOrder:
    """An order that is surely there, once.

    :param order: As Planet described it.
    :param digest: The request's digest.
    :param reused: Whether it was there before.
    """

    order: dict[str, Any]
    digest: str
    reused: bool

    @property
    def order_id(self) -> str:
        """Planet order UUID."""
        return str(self.order["id"])


def place_order(
    session: PlanetSession,
    request: Mapping[str, Any],
    *,
    salt: str = "",
    reuse_max_age: timedelta | None = None,
    asked_at: datetime | None = None,
    list_consistency_timeout: float = LIST_CONSISTENCY_SECONDS,
    task_store: TaskStore | None = None,
    retried: bool = False,
    before_placing: Callable[[Mapping[str, Any]], None] | None = None,
    run: str | None = None,
) -> PlacedOrder:
    """Find the order for a request, or place it.

    :param session: Session with Planet.
    :param request: Order request, as :mod:`planet_provider.builders.order_request` builds it.
    :param salt: What else must agree for an earlier order to be reused, e.g. the DAG run.
    :param reuse_max_age: How old an order may be to be reused; by default any age. Planet keeps them 90 days.
        What the run has placed itself may have any age.
    :param asked_at: When the order was first asked for, e.g. when the DAG run began, with a time zone; by default
        now. An order's age is that of then. What lies in the future by Planet's clock is taken for now.
    :param list_consistency_timeout: Seconds that Planet's list may lag behind; > 0.
    :param task_store: What the task remembers over its tries.
    :param retried: Whether an earlier try of this task may have placed the order. Without a task store it may
        have done so on another machine, so it is looked for at length.
    :param before_placing: Called with the request before an order is placed; may refuse by raising.
    :param run: Names the run that asks, e.g. DAG and DAG run.
    :raises OrderUncertainError: It could not be found out whether the order was placed.
    :raises UnexpectedResponseError: The order was placed, but Planet stored it under another name; or the order
        that is noted for this request is for other products.
    :raises LockTimeoutError: Another task has been placing the same order for too long.
    :raises CoordinationStoreError: That it is about to be placed can't be noted, so it was not placed.
    :raises APIError: Planet refused the order.
    """
    validate(request, max_items=session.config.max_order_items, max_vertices=session.config.max_vertices)
    digest = request_digest(request, salt=salt)
    name = order_name(request["name"], digest)
    check_archive_name(name, request)
    config = session.config
    # The whole name, because the digest leaves out the part that the user chose, and Planet's list does not.
    key = f"{config.account}-{digest}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    placing = _Placing(
        session=session,
        request={**request, "name": name},
        notes=Notes(config, key, task_store=task_store, run=None if reuse_max_age is None else run),
        asked_at=asked_at or datetime.now(timezone.utc),
        max_age=reuse_max_age,
        list_consistency_timeout=list_consistency_timeout,
        before_placing=before_placing,
    )
    # No fallback: a lock that holds for this machine alone does not keep other machines from buying the same.
    locks = open_locks(config.coordination_store, "fail")
    with ExitStack() as stack:
        with reported(f"Another task is placing the order {name!r}", LOCK_TIMEOUT_SECONDS):
            lock = stack.enter_context(locks.hold(f"planet-order-{key}", LOCK_TIMEOUT_SECONDS))
        found = placing.find(suspicious=retried and task_store is None)
        if found is not None:
            log.info("Order %s (%s) is there already: %s. It is not placed again.",
                     found["id"], found["state"], found.get("name"))  # fmt: skip
            return PlacedOrder(found, digest, reused=True)
        return PlacedOrder(placing.place(lock), digest, reused=False)


class _Doubt(NamedTuple):
    """Why an order that the list does not show may have been placed, and how long to look for it."""

    seconds: float
    reason: str


@dataclass
class _Placing:
    session: PlanetSession
    request: Mapping[str, Any]
    notes: Notes
    asked_at: datetime
    max_age: timedelta | None
    list_consistency_timeout: float
    before_placing: Callable[[Mapping[str, Any]], None] | None
    #: Ids of orders that were looked at and can't be reused: none of them is the one that is placed now.
    passed_over: set[str] = field(default_factory=set)

    def find(self, *, suspicious: bool) -> dict[str, Any] | None:
        """Look for the order before placing it; at length where one may have been placed a moment ago."""
        notes = self.notes.read()
        # What has noted the run's order, or that it was about to place it, was asked for before that.
        self.asked_at = min([self.asked_at, *(note.record.moment for note in notes if note.own)])
        doubts = list(self._doubts(notes, suspicious=suspicious))
        own = {note.record.order_id for note in notes if note.own}
        for order_id in dict.fromkeys(note.record.order_id for note in notes):
            if order_id is None:
                continue
            order = get_order(self.session, order_id)
            if order is None:
                doubts.append(_Doubt(self.list_consistency_timeout, self._not_found(order_id)))
            elif self._is_noted(order, own=order_id in own):
                return self._note(order, own=bool(own))
            else:
                self.passed_over.add(order_id)
        found = self._find_listed()
        if found is None and doubts:
            found = self._watch(max(doubts), None)
            if found is None:
                self._check_names(min([self.asked_at, *(note.record.moment for note in notes)]), None)
            elif not self._usable([found]):
                found = None
        return None if found is None else self._note(found, own=bool(own))

    def place(self, lock: HeldLock) -> dict[str, Any]:
        """Place the order, and find out what became of it."""
        if self.before_placing is not None:
            self.before_placing(self.request)
        began = self.session.server_time or datetime.now(timezone.utc)
        cause: PlanetError | None = None

        def before_attempt() -> None:
            lock.check()
            self.notes.write(Record(time.time()))

        for _ in range(MAX_PLACEMENTS):
            try:
                order = self.session.send(orders.create(self.request), before_attempt=before_attempt)
            except PlanetError as error:
                if not _is_unclear(error):
                    self._withdraw(lock, error)
                    raise
                log.warning("The answer to placing %r was not clear: %s", self.request["name"], error)
                cause = error
            else:
                self._check_name(self._note(order))
                return order
            # From the moment of the answer, or its lack: until then Planet may have been at work.
            found = self._watch(
                _Doubt(self.list_consistency_timeout, "the answer to placing it was not clear"), cause
            )
            if found is not None:
                log.info("Found it: order %s (%s).", found["id"], found["state"])
                return self._note(found)
            self._check_names(began, cause)
            log.warning(
                "The list was watched for %g s and doesn't show the order: it was not accepted.",
                self.list_consistency_timeout,
            )
        reason = f"it was sent {MAX_PLACEMENTS} times, and never showed in the list"
        raise self._uncertain(reason) from cause

    def _doubts(self, notes: Iterable[Note], *, suspicious: bool) -> Iterator[_Doubt]:
        if suspicious:
            yield _Doubt(self.list_consistency_timeout, "an earlier try of this task may have placed it")
        for note in notes:
            if note.record.order_id is None:
                seconds = self._still_under_way(note.record) + self.list_consistency_timeout
                yield _Doubt(seconds, "it was about to be placed before, and what came of that is not known")
        # What was sent before the store forgot it may be under way, and then be listed late.
        remembers = self.notes.remembers_seconds()
        forgotten = self.session.config.timeout + self.list_consistency_timeout - remembers
        if forgotten > 0:
            reason = (
                f"coordination_store was started, or lost what it knew, {remembers:.0f} s ago: what was being "
                "placed then is not known there"
            )
            yield _Doubt(forgotten, reason)

    def _is_noted(self, order: dict[str, Any], *, own: bool) -> bool:
        """Return whether an order can be reused that was noted by its id, whatever it is called."""
        if is_lost(order):
            return False
        if not same_products(self.request, order):
            raise UnexpectedResponseError(
                f"Order {order['id']} was noted for the request {self.request['name']!r}, but Planet describes "
                "it with other products. It is not placed again, because that might buy it twice. Look at that "
                "order; if it is not the one, give this one another name."
            )
        if order.get("name") != self.request["name"]:
            log.warning(
                "Order %s, noted by its id, is named %r instead of %r.",
                order["id"], order.get("name"), self.request["name"],
            )  # fmt: skip
        return own or bool(by_age([order], self._oldest()))

    def _not_found(self, order_id: str) -> str:
        fact = f"{order_id}, placed before, is not found at {self.session.config.base_url}"
        log.warning("Order %s. Were the connection's host or account changed?", fact)
        return f"order {fact}"

    def _find_listed(self) -> dict[str, Any] | None:
        listed = listed_orders(self.session, self.request)
        candidates = [order for order in listed if row_id(order) not in self.passed_over]
        self.passed_over.update(row_id(order) for order in listed)
        for row in self._usable(candidates):
            order = in_full(self.session, row)
            if is_live(order, self.request):
                return order
        return None

    def _usable(self, candidates: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        return by_age((order for order in candidates if is_live(order, self.request)), self._oldest())

    def _oldest(self) -> datetime | None:
        """Return from when an order may be, at the earliest. A run can't have begun after Planet's now."""
        if self.max_age is None:
            return None
        now = self.session.server_time  # to the second: it may be later by a part of one
        asked_at = self.asked_at if now is None else min(self.asked_at, now + timedelta(seconds=1))
        try:
            return asked_at - self.max_age
        except OverflowError:  # any age
            return None

    def _still_under_way(self, record: Record) -> float:
        """Return for how many seconds a request, whose sender was killed, may still be under way."""
        # Never more than a whole time-out, and never less than nothing: clocks differ, and are set.
        return min(
            max(0.0, record.at + self.session.config.timeout - time.time()), self.session.config.timeout
        )

    def _watch(self, doubt: _Doubt, cause: PlanetError | None) -> dict[str, Any] | None:
        try:
            row = watch_list(self.session, self.request, doubt.seconds, self.passed_over, reason=doubt.reason)
            return None if row is None else in_full(self.session, row)
        except PlanetError as error:
            reason = f"for {doubt.seconds:g} s the list of orders could not tell: {error}"
            raise self._uncertain(reason) from (cause or error)

    def _check_name(self, order: Mapping[str, Any]) -> None:
        """Refuse to go on with names under which no order would be found again."""
        if order.get("name") != self.request["name"]:
            raise UnexpectedResponseError(
                f"Order {order['id']} was placed as {self.request['name']!r}, but Planet calls it "
                f"{order.get('name')!r}. Orders are found again by their names, so such an order may be bought "
                "twice. This one is noted by its id: running this task again goes on with it. Give orders a name "
                "that stays as it is: shorter, in plain letters, without double blanks."
            )

    def _check_names(self, since: datetime, cause: PlanetError | None) -> None:
        """Make sure that the order is not there under a name that was changed on the way.

        :raises OrderUncertainError: It may be, or that can't be found out.
        """
        try:
            since -= timedelta(seconds=_CLOCK_SECONDS + self.session.config.timeout)
            found = renamed_order(self.session, self.request, since, self.passed_over)
        except PlanetError as error:
            raise self._uncertain(f"the list of orders could not tell: {error}") from (cause or error)
        if found is not None:
            reason = (
                f"order {found['id']} for the same products, created at {found.get('created_on')}, is named "
                f"{found.get('name')!r}, which may be the same name, changed on its way. If it is another "
                "order, give this one another name"
            )
            raise self._uncertain(reason) from cause

    def _note(self, order: dict[str, Any], *, own: bool = True) -> dict[str, Any]:
        self.notes.conclude(Record(time.time(), str(order["id"])), own=own)
        return order

    def _withdraw(self, lock: HeldLock, error: PlanetError) -> None:
        """Note that there is no order, where that is sure; the next try then looks for none."""
        if isinstance(
            error, (APIError, TransportError)
        ):  # else nothing was sent; who has the lock now may have
            self.notes.conclude(None, lock.check)

    def _uncertain(self, reason: str) -> OrderUncertainError:
        when = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return OrderUncertainError(
            f"Whether the order {self.request['name']!r} was placed, by {when}, is not known: "
            f"{reason.rstrip('.')}. It is not placed again, because that might buy it twice. Look for that name "
            "among your orders; running this task again looks for it first, and reuses the order if it is there."
        )


def _is_unclear(error: PlanetError) -> bool:
    if isinstance(error, TransportError):
        return error.sent
    if isinstance(error, APIError):
        return error.status not in _REFUSALS
    return isinstance(error, UnexpectedResponseError)
