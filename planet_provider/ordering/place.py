"""Place an order once, whatever was placed before and whatever becomes of the answer.

Planet has no idempotency key, and an order charges quota when it is placed. So the request's digest goes into
the order's name, and orders of that name are listed before one is placed, and after every answer that is not
clear. The list lags behind, so a ledger (:mod:`planet_provider.ordering.ledger`) tells the next try and the
twins of this one what was about to happen, and a lock lets only one of them go ahead.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from planet_provider.client import orders
from planet_provider.client.locks import HeldLock, open_locks
from planet_provider.client.order_request import validate
from planet_provider.client.session import PlanetSession
from planet_provider.exceptions import (
    APIError,
    OrderUncertainError,
    PlanetError,
    ServerError,
    TransportError,
    UnexpectedResponseError,
)
from planet_provider.ordering.digest import order_name, request_digest
from planet_provider.ordering.journal import Journal, JournalLedger
from planet_provider.ordering.ledger import Ledger, Record, open_ledger
from planet_provider.ordering.lookup import by_age, get_order, is_live, listed_orders, watch_list

log = logging.getLogger(__name__)

#: Seconds that Planet's list may lag behind, at most. Planet documents no bound; two minutes are generous for
#: an index, and are spent only after an answer that was not clear.
PATIENCE_SECONDS = 120.0

#: Seconds to wait for another task that is placing the same order: it may be patient itself.
LOCK_TIMEOUT_SECONDS = 900.0

#: How often an order is sent, where the list shows each time that it was not accepted.
MAX_PLACEMENTS = 3

#: What leaves it open whether the order was placed.
_UNCLEAR = (TransportError, ServerError, UnexpectedResponseError)

#: So does a gateway that gave up waiting, for Planet or for the rest of the request.
_UNCLEAR_STATUSES = frozenset({408, 499})


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
    patience: float = PATIENCE_SECONDS,
    journal: Journal | None = None,
    retried: bool = False,
    before_placing: Callable[[Mapping[str, Any]], None] | None = None,
) -> PlacedOrder:
    """Find the order for a request, or place it.

    :param session: Session with Planet.
    :param request: Order request, as :mod:`planet_provider.client.order_request` builds it.
    :param salt: What else must agree for an earlier order to be reused, e.g. the DAG run.
    :param reuse_max_age: How old an order may be to be reused; by default any age. Planet keeps them 90 days.
    :param asked_at: When the order was first asked for, e.g. when the DAG run began; by default now. Its age
        is that of then: what one try has placed does not grow too old for the next.
    :param patience: Seconds that Planet's list may lag behind; > 0.
    :param journal: What the task remembers over its tries.
    :param retried: Whether an earlier try of this task may have placed the order. Without a journal it may
        have done so on another machine, so it is looked for at length.
    :param before_placing: Called with the request before an order is placed; may refuse by raising.
    :raises OrderUncertainError: It could not be found out whether the order was placed.
    :raises LockTimeoutError: Another task has been placing the same order for too long.
    :raises RateLimitStoreError: That it is about to be placed can't be noted, so it was not placed.
    :raises APIError: Planet refused the order.
    """
    validate(request, max_items=session.config.max_order_items, max_vertices=session.config.max_vertices)
    digest = request_digest(request, salt=salt)
    name = order_name(request["name"], digest)
    config = session.config
    # The whole name, because the digest leaves out the part that the user chose, and Planet's list does not.
    key = f"{config.account}-{digest}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    ledger = open_ledger(config.rate_limit_store, config.rate_limit_fallback)
    asked_at = asked_at or datetime.now(timezone.utc)
    placing = _Placing(
        session=session,
        request={**request, "name": name},
        ledger=ledger if journal is None else JournalLedger(ledger, journal),
        key=key,
        oldest=None if reuse_max_age is None else asked_at - reuse_max_age,
        patience=patience,
        before_placing=before_placing,
    )
    locks = open_locks(config.rate_limit_store, config.rate_limit_fallback)
    with locks.hold(f"planet-order-{key}", LOCK_TIMEOUT_SECONDS) as lock:
        found = placing.find(suspicious=retried and journal is None)
        if found is not None:
            log.info("Order %s (%s) is there already: %s. It is not placed again.",
                     found["id"], found["state"], found["name"])  # fmt: skip
            return PlacedOrder(found, digest, reused=True)
        return PlacedOrder(placing.place(lock), digest, reused=False)


@dataclass
class _Placing:
    session: PlanetSession
    request: Mapping[str, Any]
    ledger: Ledger
    key: str
    oldest: datetime | None
    patience: float
    before_placing: Callable[[Mapping[str, Any]], None] | None
    #: Ids of orders that were looked at and can't be reused: none of them is the one that is placed now.
    passed_over: set[str] = field(default_factory=set)

    def find(self, *, suspicious: bool) -> dict[str, Any] | None:
        """Look for the order before placing it; at length where one may have been placed a moment ago."""
        doubts = [0.0] if suspicious else []
        for record in self.ledger.read(self.key):
            if record.order_id is None:
                doubts.append(self._still_under_way(record))
                continue
            order = get_order(self.session, record.order_id)
            if order is None:
                doubts.append(0.0)
            elif self._usable([order]):
                return self._note(order)
            else:
                self.passed_over.add(record.order_id)
        found = self._find_listed()
        if found is None and doubts:
            found = self._watch(max(doubts), None)
            found = found if found is not None and self._usable([found]) else None
        return None if found is None else self._note(found)

    def place(self, lock: HeldLock) -> dict[str, Any]:
        """Place the order, and find out what became of it."""
        if self.before_placing is not None:
            self.before_placing(self.request)
        cause: PlanetError | None = None

        def before_attempt() -> None:
            lock.check()
            self.ledger.write(self.key, Record(time.time()))

        for _ in range(MAX_PLACEMENTS):
            try:
                order = self.session.send(orders.create(self.request), before_attempt=before_attempt)
            except PlanetError as error:
                if not _is_unclear(error):
                    self._withdraw(lock, error)
                    raise
                log.warning("The answer to placing %r was not clear; looking for the order. %s",
                            self.request["name"], error)  # fmt: skip
                cause = error
            else:
                return self._note(order)
            # From the moment of the answer, or its lack: until then Planet may have been at work.
            found = self._watch(0.0, cause)
            if found is not None:
                log.info("Found it: order %s (%s).", found["id"], found["state"])
                return self._note(found)
            log.warning(
                "The list was watched for %g s and doesn't show the order: it was not accepted.",
                self.patience,
            )
        reason = f"it was sent {MAX_PLACEMENTS} times, and never showed in the list"
        raise self._uncertain(reason) from cause

    def _find_listed(self) -> dict[str, Any] | None:
        listed = listed_orders(self.session, self.request)
        candidates = [order for order in listed if order["id"] not in self.passed_over]
        self.passed_over.update(str(order["id"]) for order in listed)
        for row in self._usable(candidates):
            order = get_order(self.session, row["id"]) or row
            if is_live(order, self.request):
                return order
        return None

    def _usable(self, candidates: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        return by_age((order for order in candidates if is_live(order, self.request)), self.oldest)

    def _still_under_way(self, record: Record) -> float:
        """Return for how many seconds a request, whose sender was killed, may still be under way."""
        # Never more than a whole time-out, and never less than nothing: clocks differ, and are set.
        return min(
            max(0.0, record.at + self.session.config.timeout - time.time()), self.session.config.timeout
        )

    def _watch(self, delay: float, cause: PlanetError | None) -> dict[str, Any] | None:
        until = time.monotonic() + delay + self.patience
        try:
            row = watch_list(self.session, self.request, until, self.passed_over)
            return None if row is None else get_order(self.session, row["id"]) or row
        except PlanetError as error:
            reason = f"for {delay + self.patience:g} s the list of orders could not tell: {error}"
            raise self._uncertain(reason) from (cause or error)

    def _note(self, order: dict[str, Any]) -> dict[str, Any]:
        try:
            self.ledger.write(self.key, Record(time.time(), str(order["id"])))
        except (
            Exception
        ) as error:  # a journal may raise anything, and the order's id is worth more than a note
            log.warning("That order %s is there can't be noted: %s", order["id"], error)
        return order

    def _withdraw(self, lock: HeldLock, error: PlanetError) -> None:
        """Note that there is no order, where that is sure; the next try then looks for none."""
        if not isinstance(error, (APIError, TransportError)):
            return  # nothing was sent; who holds the lock now may have
        try:
            lock.check()
            self.ledger.write(self.key, None)
        except Exception as failure:  # as above: the refusal is worth more
            log.warning("That no order was placed can't be noted: %s", failure)

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
    return isinstance(error, _UNCLEAR) or getattr(error, "status", None) in _UNCLEAR_STATUSES
