"""Looking at all the orders of an account that triggers wait for, with a few requests a minute.

Each look lists what has changed since the last one. Orders that no list has shown, because they are new here
or nothing has changed for long, are looked for together: in the lists of the active and of the ended ones,
and singly where they are few.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine, Hashable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar, cast

import pendulum

from planet_provider.client import orders
from planet_provider.client.call import Call
from planet_provider.client.config import PlanetConfig
from planet_provider.client.session import AsyncPlanetSession
from planet_provider.client.states import OrderState
from planet_provider.exceptions import (
    AuthenticationError,
    ConfigurationError,
    PlanetError,
    TransportError,
    UnexpectedResponseError,
)
from planet_provider.ordering.outcome import summary
from planet_provider.triggers.watch import CHUNK, Poller, Waiter

log = logging.getLogger(__name__)

Summary = dict[str, Any]
_Page = list[dict[str, Any]]
_T = TypeVar("_T")

#: Seconds that each list reaches back before the latest change that was seen. Planet doesn't document how far
#: its servers' clocks, or a list's replicas, are apart: servers that keep time by NTP differ by well under a
#: second, a replica may be some seconds behind. What comes later still is found by :data:`UNSEEN_SECONDS`.
OVERLAP_SECONDS = 15.0

#: Seconds after which an order that no answer has shown is looked for.
UNSEEN_SECONDS = 900.0

#: Orders to look for that are asked for singly: a list would not take fewer requests.
FEW = 3

#: Requests for single orders in a minute, at most; as many at once. Planet documents 3 a second for one API key:
#: this is about a twentieth of it.
SINGLE_LOOKS_PER_MINUTE = 10

#: Seconds that one order may hold up the looks at the others.
_SINGLE_SECONDS = 10.0

#: Pages of the list of ended orders: at 250 a page as many as may be active in an organisation (10,000).
_MAX_PAGES = 40

#: Seconds in which triggers that start together are gathered for their first look.
_GATHER_SECONDS = 0.5

_ACTIVE = tuple(state for state in OrderState if not state.is_final)
_ENDED = tuple(state for state in OrderState if state.is_final)
_LATEST_FIRST = "last_modified DESC"


@dataclass
class _Known:
    """What is known of an order.

    :param order: As last seen.
    :param modified: When it had changed then.
    :param seen_at: Time of the event loop at which an answer showed it last.
    :param ask_at: Time before which it is not asked for singly again.
    :param failures: How often asking for it singly failed in a row.
    """

    order: Summary | None = None
    modified: datetime | None = None
    seen_at: float = float("-inf")
    ask_at: float = float("-inf")
    failures: int = 0


class Budget:
    """So many a minute, and as many at once.

    :param per_minute: How many.
    :param now: Time of the event loop.
    """

    def __init__(self, per_minute: float, now: float) -> None:
        self._per_minute = self._left = per_minute
        self._at = now

    def take(self, now: float) -> bool:
        """Take one, if there is one left."""
        self._left = min(self._per_minute, self._left + (now - self._at) * self._per_minute / 60)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class OrderPoller(Poller[Summary]):
    """Look at orders; tells their summaries.

    It never asks its own clock what time it is at Planet's: "since the last look" is counted from the latest
    change that an answer showed.
    """

    subject: ClassVar[str] = "orders"

    def __init__(self, config: PlanetConfig) -> None:
        super().__init__(config)
        self._known: dict[str, _Known] = {}
        self._budget = Budget(SINGLE_LOOKS_PER_MINUTE, self.loop.time())
        self._started: float | None = None
        self._latest: datetime | None = None
        self._next = float("inf")
        self._answers = 0

    def due(self) -> float:
        """Return when to look next."""
        return self._next

    def joined(self, waiter: Waiter[Summary]) -> None:
        """Let the first look come soon; afterwards, newcomers are part of the next."""
        known = self._known.setdefault(str(waiter.key), _Known())
        soon = min(_GATHER_SECONDS, waiter.poke_interval)
        self._next = min(
            self._next, self.loop.time() + (soon if self._started is None else waiter.poke_interval)
        )
        if known.order is not None:
            waiter.tell(known.order)

    def left(self, key: Hashable) -> None:
        """Forget an order."""
        del self._known[str(key)]

    async def look(self, session: AsyncPlanetSession) -> None:
        """List what has changed, then look for what no list has shown."""
        begun = self.loop.time()
        self._answers = 0
        if self._started is not None:
            await self._changes(session)
        trouble = await self._catch_up(session)
        if trouble is not None and not self._answers:
            raise trouble
        if self._started is None:
            self._started = begun
            self._schedule(begun)

    def _schedule(self, begun: float) -> None:
        self._next = begun + self.pause()

    async def _changes(self, session: AsyncPlanetSession) -> None:
        begun = self.loop.time()
        if self._latest is None:
            call = orders.changes(sort_by=_LATEST_FIRST)
        else:
            since = self._latest - timedelta(seconds=OVERLAP_SECONDS)
            call = orders.changes(last_modified=(since, None))
        latest: datetime | None = None
        async with aclosing(_pages(session, call)) as pages:
            async for page in pages:
                await self._show(page)
                moments = [at for at in map(_modified, page) if at is not None]
                latest = max([*moments, *([latest] if latest else [])], default=None)
                if (
                    self._latest is None
                    and latest
                    and self._reaches_back(min(moments, default=latest), latest)
                ):
                    break
        if latest is not None:
            # What changed while the pages were read may have been missed, although something later was seen.
            safe = latest - timedelta(seconds=self.loop.time() - begun)
            self._latest = safe if self._latest is None else max(self._latest, safe)
        self._schedule(begun)

    def _reaches_back(self, earliest: datetime, latest: datetime) -> bool:
        """Return whether a list, latest first, has reached the time before the first look."""
        elapsed = self.loop.time() - (self._started or 0.0)
        return earliest < latest - timedelta(seconds=elapsed + OVERLAP_SECONDS)

    async def _catch_up(self, session: AsyncPlanetSession) -> PlanetError | None:
        """Look for orders that no answer has shown.

        :return: Why one couldn't be asked for, if so.
        """
        now = self.loop.time()
        missing = {key for key, known in self._known.items() if known.ask_at <= now and self._is_unseen(key)}
        if len(missing) > FEW:
            await self._list(session, missing, orders.changes(state=_ACTIVE))
        if len(missing) > FEW:
            ended = orders.changes(state=_ENDED, sort_by=_LATEST_FIRST)
            await self._list(session, missing, ended, _MAX_PAGES)
        trouble = None
        for order_id in sorted(filter(self._is_unseen, missing), key=self._asked_first):
            if self._is_unseen(order_id) and self._budget.take(self.loop.time()):
                trouble = await self._ask(session, order_id) or trouble
                await self._keep_up(session)
        return trouble

    def _is_unseen(self, order_id: str) -> bool:
        known = self._known.get(order_id)  # nobody may wait for it any more
        return known is not None and known.seen_at < self.loop.time() - UNSEEN_SECONDS

    def _asked_first(self, order_id: str) -> tuple[float, float]:
        return self._known[order_id].ask_at, self.waiters[order_id][0].joined

    async def _list(
        self,
        session: AsyncPlanetSession,
        missing: set[str],
        call: Call[_Page],
        most: float = float("inf"),
    ) -> None:
        """Look for orders in a list, as long as that takes fewer requests than asking for them singly."""
        read = 0
        async with aclosing(_pages(session, call)) as pages:
            async for page in pages:
                await self._show(page)
                missing.difference_update([one for one in missing if not self._is_unseen(one)])
                read += 1
                if read >= min(len(missing), most):
                    return
                await self._keep_up(session)

    async def _keep_up(self, session: AsyncPlanetSession) -> None:
        """Look for changes in time, however long something else takes."""
        if self._started is not None and self.loop.time() >= self._next:
            await self._changes(session)

    async def _ask(self, session: AsyncPlanetSession, order_id: str) -> PlanetError | None:
        """Get a single order. What is wrong with it concerns nobody else.

        :return: Why it couldn't be asked for, if that may pass.
        :raises PlanetError: The credential is refused.
        """
        trouble: PlanetError
        try:
            order = await _within(_SINGLE_SECONDS, session.send(orders.get(order_id)))
            self._answers += 1
            self._tell(order_id, order)
            if not self._is_unseen(order_id):
                return None
            trouble = UnexpectedResponseError(f"Order {order_id}: the answer can't be understood.")
        except (AuthenticationError, ConfigurationError):
            raise
        except PlanetError as error:
            if not error.retryable:
                self._answers += 1
                self._fail(order_id, error)
                return None
            trouble = error
        except asyncio.TimeoutError:
            trouble = TransportError(f"Order {order_id}: no answer within {_SINGLE_SECONDS:g} s.")
        if (known := self._known.get(order_id)) is not None:
            known.failures += 1
            backoff = self.interval() * 2.0 ** min(known.failures, 6)
            known.ask_at = self.loop.time() + min(backoff, UNSEEN_SECONDS)
            log.debug("Order %s couldn't be asked for: %s", order_id, trouble)
        return trouble

    async def _show(self, page: _Page) -> None:
        self._answers += 1
        watched = [row for row in page if row["id"] in self.waiters]
        for start in range(0, len(watched), CHUNK):
            for row in watched[start : start + CHUNK]:
                self._tell(row["id"], row)
            await asyncio.sleep(0)

    def _tell(self, order_id: str, row: dict[str, Any]) -> None:
        known = self._known.get(order_id)
        if known is None:
            return
        modified = _modified(row)
        if known.modified is not None and modified is not None and modified < known.modified:
            known.seen_at = self.loop.time()
            return  # a list that is behind
        try:
            order = summary(row)
        except PlanetError as error:
            self._fail(order_id, error)
            return
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.warning("What a list says about order %s is not understood: %r", order_id, error)
            known.seen_at = float("-inf")  # so that it is asked for singly
            return
        known.seen_at, known.modified, known.failures = self.loop.time(), modified, 0
        if order != known.order:
            known.order = order
            for waiter in self.waiters[order_id]:
                waiter.tell(order)

    def _fail(self, order_id: str, error: PlanetError) -> None:
        if (known := self._known.get(order_id)) is not None:
            known.seen_at = self.loop.time()
        for waiter in self.waiters.get(order_id, ()):
            waiter.fail(error)


def _pages(session: AsyncPlanetSession, call: Call[_Page]) -> AsyncGenerator[_Page, None]:
    return cast("AsyncGenerator[_Page, None]", session.pages(call))


async def _within(seconds: float, work: Coroutine[Any, Any, _T]) -> _T:
    """Wait so long for a result; before Python 3.12, :func:`asyncio.wait_for` may swallow a cancellation.

    :raises asyncio.TimeoutError: It took longer.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task], timeout=seconds)
        if task.done():
            return task.result()
        raise asyncio.TimeoutError
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])


def _modified(row: dict[str, Any]) -> datetime | None:
    """Read when an order has changed; ``None`` where that can't be read."""
    try:
        at: object = pendulum.parse(row["last_modified"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return at if isinstance(at, datetime) else None
