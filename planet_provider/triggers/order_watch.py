"""Looking at all the orders of an account that triggers wait for, with a few requests a minute.

Each look lists what has changed since the last one. Orders that no list has shown, because they are new here
or nothing has changed for long, are looked for together: in the lists of the active and of the ended ones,
and singly where they are few.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from planet_provider.client.api import orders
from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.responses import not_understood
from planet_provider.client.http.session import AsyncPlanetSession
from planet_provider.client.states import OrderState
from planet_provider.exceptions import (
    AuthenticationError,
    ConfigurationError,
    PlanetError,
    TransportError,
    UnexpectedResponseError,
)
from planet_provider.ordering.outcome import summary
from planet_provider.triggers import watch
from planet_provider.triggers.order_pages import (
    OrderPages,
    Page,
    Watermark,
    modified,
)
from planet_provider.triggers.rate_share import TokenBucket
from planet_provider.triggers.session import within
from planet_provider.triggers.waiter import Waiter
from planet_provider.triggers.watch import Poller

log = logging.getLogger(__name__)

Summary = dict[str, Any]

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

#: Share of the rate of lists that waiting may take, since placing an order needs lists too; and the seconds
#: between two looks that no more is kept free for. They are the default ``poke_interval``: shorter ones give way.
RATE_SHARE = 0.25
_LONGEST_PAUSE = 25.0

#: Orders that are looked for in the list of ended ones: as many as may be active in an organisation.
_MOST_ENDED = 10_000

#: Seconds in which triggers that start together are gathered for their first look.
_GATHER_SECONDS = 0.5

_ACTIVE = tuple(state for state in OrderState if not state.is_final)
_ENDED = tuple(state for state in OrderState if state.is_final)
_LATEST_FIRST = "last_modified DESC"


@dataclass
class _Known:
    """What is known of an order.

    :param modified: When it had changed as it was seen last.
    :param seen_at: Time of the event loop at which an answer showed it last.
    :param ask_at: Time before which it is not asked for singly again.
    :param failures: How often asking for it singly failed in a row.
    :param trouble: Why, the last time.
    """

    modified: datetime | None = None
    seen_at: float = float("-inf")
    ask_at: float = float("-inf")
    failures: int = 0
    trouble: str | None = None


class OrderPoller(Poller[Summary]):
    """Look at orders; tells their summaries.

    "Since the last look" is counted from the latest change that an answer showed: by Planet's clock, not its own.
    """

    subject: ClassVar[str] = "orders"
    rate_class: ClassVar[str] = "orders.list"
    share: ClassVar[float] = RATE_SHARE
    longest_pause: ClassVar[float] = _LONGEST_PAUSE

    def __init__(self, config: PlanetConfig) -> None:
        super().__init__(config)
        self._known: dict[Hashable, _Known] = {}
        self._budget = TokenBucket(SINGLE_LOOKS_PER_MINUTE, self.loop.time())
        self._pages = OrderPages()
        self._watermark = Watermark(self.loop.time)
        self._started: float | None = None

    def joined(self, waiter: Waiter[Summary]) -> None:
        """Let the first look come soon; afterwards, newcomers are part of the next."""
        known = self._known.setdefault(waiter.key, _Known())
        soon = min(_GATHER_SECONDS, waiter.poke_interval)
        self.next = min(
            self.next, self.loop.time() + (soon if self._started is None else waiter.poke_interval)
        )
        if waiter.key in self.latest:
            waiter.tell(self.latest[waiter.key])
        else:
            known.seen_at = float("-inf")

    def left(self, key: Hashable) -> None:
        """Forget an order."""
        del self._known[key]

    def trouble_with(self, key: Hashable) -> str | None:
        """Return why an order can't be looked at now, if so."""
        known = self._known.get(key)
        return self.trouble or (known.trouble if known is not None else None)

    async def look(self, session: AsyncPlanetSession) -> None:
        """List what has changed, then look for what no list has shown."""
        begun = self.loop.time()
        before = self._pages.requests
        try:
            if self._started is not None:
                await self._changes(session)
            await self._catch_up(session)
        except PlanetError as error:
            # Lists that can't be read must not blind the waits. If nothing answers, this doesn't either.
            if error.retryable and self._started is not None:
                self._ask_singly(session, self._missing())
            raise
        finally:
            self.pace.took(self._pages.requests - before, begun)
        if self._pages.requests > before:
            self.answered()
        if self._started is None:
            self._started = begun
            self._schedule(begun)

    def _schedule(self, begun: float) -> None:
        self.next = begun + self.pause()

    async def _changes(self, session: AsyncPlanetSession) -> None:
        begun = self.loop.time()
        since = self._watermark.at
        criteria: dict[str, Any] = (
            {"sort_by": _LATEST_FIRST}
            if since is None
            else {"last_modified": (since - timedelta(seconds=OVERLAP_SECONDS), None)}
        )
        seen: list[datetime] = []
        async with aclosing(self._pages.read(session, **criteria)) as pages:
            async for page in pages:
                await self._show(page, session.server_time)
                moments = [at for at in map(modified, page) if at is not None]
                credible = self._watermark.credible(moments, session.server_time)
                seen = [max([*seen, *credible])] if seen or credible else []
                if since is None and moments and self._reaches_back(min(moments), max(seen or moments)):
                    break
        self._watermark.advance(seen[0] if seen else None, self.loop.time() - begun)
        self._schedule(begun)

    def _reaches_back(self, earliest: datetime, latest: datetime) -> bool:
        """Return whether a list, latest first, has reached the time before the first look."""
        elapsed = self.loop.time() - (self._started or 0.0)
        return earliest < latest - timedelta(seconds=elapsed + OVERLAP_SECONDS)

    async def _catch_up(self, session: AsyncPlanetSession) -> None:
        """Look for orders that no answer has shown. Those that are asked for singly hold up nobody."""
        missing = self._missing()
        if len(missing) > FEW:
            await self._list(session, missing, float("inf"), state=_ACTIVE)
        if len(missing) > FEW:
            await self._list(session, missing, _MOST_ENDED, state=_ENDED, sort_by=_LATEST_FIRST)
        self._ask_singly(session, missing)

    def _missing(self) -> set[Hashable]:
        """Return the orders that no answer has shown for long and that may be asked for."""
        now = self.loop.time()
        return {
            key
            for key, known in self._known.items()
            if known.ask_at <= now and key not in self.flight and self._is_unseen(key)
        }

    def _ask_singly(self, session: AsyncPlanetSession, missing: set[Hashable]) -> None:
        """Begin to ask for orders one by one, as far as the budget goes."""
        for key in sorted(filter(self._is_unseen, missing), key=self._asked_first):
            if not self._budget.take(self.loop.time()):
                break
            self.flight.start(key, self._ask(session, str(key)))

    def _is_unseen(self, key: Hashable) -> bool:
        known = self._known.get(key)  # nobody may wait for it any more
        return known is not None and known.seen_at < self.loop.time() - UNSEEN_SECONDS

    def _asked_first(self, key: Hashable) -> tuple[float, float]:
        return self._known[key].ask_at, next(iter(self.waiters[key])).joined

    async def _list(
        self, session: AsyncPlanetSession, missing: set[Hashable], most: float, **criteria: Any
    ) -> None:
        """Look for orders in a list, as long as that takes fewer requests than asking for them singly.

        :param most: Rows to read.
        """
        read = rows = 0
        async with aclosing(self._pages.read(session, **criteria)) as pages:
            async for page in pages:
                await self._show(page, session.server_time)
                missing.difference_update([one for one in missing if not self._is_unseen(one)])
                read, rows = read + 1, rows + len(page)
                if read >= len(missing) or rows >= most:
                    return
                await self._keep_up(session)

    async def _keep_up(self, session: AsyncPlanetSession) -> None:
        """Look for changes in time, however long something else takes."""
        if self._started is not None and self.loop.time() >= self.next:
            await self._changes(session)

    async def _ask(self, session: AsyncPlanetSession, order_id: str) -> None:
        """Get a single order. What is wrong with it concerns nobody else.

        :raises PlanetError: The credential is refused.
        """
        trouble: PlanetError
        try:
            order = await within(watch.SINGLE_SECONDS, session.send(orders.get(order_id)))
            await self._tell(order_id, order, session.server_time)
            if not self._is_unseen(order_id):
                return
            trouble = UnexpectedResponseError(f"Order {order_id}: the answer can't be understood.")
        except (AuthenticationError, ConfigurationError):
            raise
        except PlanetError as error:
            if not error.retryable:
                await self._fail(order_id, error)
                return
            trouble = error
        except asyncio.TimeoutError:
            trouble = TransportError(f"Order {order_id}: no answer within {watch.SINGLE_SECONDS:g} s.")
        except Exception as error:
            # An answer that nobody thought of must not end all waits of the account.
            trouble = not_understood(f"Order {order_id}", error)
        if (known := self._known.get(order_id)) is not None:
            known.failures += 1
            known.trouble = str(trouble)
            backoff = self.interval() * 2.0 ** min(known.failures, 6)
            known.ask_at = self.loop.time() + min(backoff, UNSEEN_SECONDS)
            log.debug("Order %s couldn't be asked for: %s", order_id, trouble)

    async def _show(self, page: Page, server_time: datetime | None) -> None:
        for row in page:
            order_id = row.get("id") if isinstance(row, dict) else None
            if isinstance(order_id, str) and order_id in self.waiters:
                await self._tell(order_id, row, server_time)
                await self.yield_to_loop()

    async def _tell(self, order_id: str, row: dict[str, Any], server_time: datetime | None) -> None:
        known = self._known.get(order_id)
        if known is None:
            return
        # What is dated in the future would make all that comes later look like a list that is behind.
        changed = modified(row)
        at = changed if changed and self._watermark.credible([changed], server_time) else None
        if known.modified is not None and at is not None and at < known.modified:
            known.seen_at = self.loop.time()
            return  # a list that is behind
        try:
            order = summary(orders.check_shape(row))
        except PlanetError as error:
            await self._fail(order_id, error)
            return
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.warning("What a list says about order %s is not understood: %r", order_id, error)
            known.seen_at = float("-inf")  # so that it is asked for singly
            return
        known.seen_at, known.modified, known.failures, known.trouble = self.loop.time(), at, 0, None
        if order != self.latest.get(order_id):
            await self.tell(order_id, order)

    async def _fail(self, order_id: str, error: PlanetError) -> None:
        if (known := self._known.get(order_id)) is not None:
            known.seen_at, known.modified = self.loop.time(), None
        await self.fail(order_id, error)
