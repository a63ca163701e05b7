"""Lists of orders for looking at many: pages that don't hold up the event loop, and since when to list."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from datetime import datetime, timedelta, timezone
from typing import Any, cast

import pendulum

from planet_provider.client.api import orders
from planet_provider.client.http.session import AsyncPlanetSession
from planet_provider.triggers.session import bounded_pages

Page = list[dict[str, Any]]

#: Bytes of JSON that a page should have. Decoding blocks the event loop: a megabyte of coordinates for some 50 ms,
#: of items' ids for 15 ms, and no other thread can take it over as long as the decoder holds Python's lock.
PAGE_BYTES = 500_000

#: Orders on the first page, while nothing is known of their size: one of 500 items with an area of 1,500 vertices,
#: which is as large as Planet takes them, has some 75 kB. And how much longer the next page may be.
FIRST_ROWS = 10
_GROWTH = 5

#: Orders on a page, at most.
MOST_ROWS = orders.PAGE_SIZE

#: Share of the size that a larger page is remembered with after each further one.
_REMEMBERED = 0.9

#: Orders of a page whose size is estimated.
_SAMPLES = 25

#: Entries up to which all of a list are looked at.
_SHORT_LIST = 8

#: Seconds that a change may seem to lie in the future: clocks differ, and may be set.
FUTURE_SECONDS = 3600.0


class OrderPages:
    """Read lists of orders in pages whose size fits what orders are like in this account."""

    def __init__(self) -> None:
        #: Pages that were read.
        self.requests = 0
        self.rows = min(FIRST_ROWS, MOST_ROWS)
        self._row_bytes = 0.0

    async def read(self, session: AsyncPlanetSession, **criteria: Any) -> AsyncGenerator[Page, None]:
        """Yield the pages of a list. Where their size is wrong it is begun again, so rows may come twice.

        :param criteria: As :func:`planet_provider.client.api.orders.changes` takes them.
        """
        while True:
            asked, first = self.rows, True
            call = orders.changes(page_size=asked, **criteria)
            pages = bounded_pages(cast("AsyncGenerator[Page, None]", session.pages(call)))
            async with aclosing(pages):
                async for page in pages:
                    self.requests += 1
                    self._learn(page)
                    yield page
                    too_short = first and self.rows >= 2 * asked and len(page) >= asked
                    too_long = 2 * self.rows <= asked and len(page) >= self.rows
                    if too_short or too_long:
                        break
                    first = False
                else:
                    return

    def _learn(self, page: Page) -> None:
        if not page:
            return
        sample = page[:: -(-len(page) // _SAMPLES)]
        mean = sum(map(rough_size, sample)) / len(sample)
        self._row_bytes = max(mean, _REMEMBERED * self._row_bytes)
        fitting = int(PAGE_BYTES / self._row_bytes)
        self.rows = max(1, min(fitting, _GROWTH * self.rows, MOST_ROWS))


def rough_size(value: Any) -> int:
    """Estimate how many bytes of JSON a value has, from a few entries of its long lists."""
    if isinstance(value, dict):
        return 2 + sum(len(key) + 4 + rough_size(entry) for key, entry in value.items())
    if isinstance(value, list):
        if len(value) <= _SHORT_LIST:
            return 2 + sum(rough_size(entry) + 1 for entry in value)
        step = len(value) // 3
        return len(value) * (1 + max(rough_size(entry) for entry in value[::step]))
    return len(value) + 2 if isinstance(value, str) else len(repr(value))


class Watermark:
    """The latest change that lists have shown, by the server's clock: since when to list the next time.

    A row that is dated in the future must not hide what changes until then.

    :param now: Monotonic seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.at: datetime | None = None
        self._now = now
        self._set_at = now()

    def credible(self, moments: Iterable[datetime], server_time: datetime | None = None) -> list[datetime]:
        """Return those that don't lie in the future.

        :param moments: Times of change.
        :param server_time: The server's clock, which decides. If it isn't known, a time may lie somewhat ahead of
            the changes so far and of this host's clock.
        """
        if server_time is not None:
            # It comes without the part of a second.
            return [at for at in moments if at < server_time + timedelta(seconds=1)]
        bound = datetime.fromtimestamp(time.time(), timezone.utc)
        if self.at is not None:
            bound = max(bound, self.at + timedelta(seconds=self._now() - self._set_at))
        bound += timedelta(seconds=FUTURE_SECONDS)
        return [at for at in moments if at <= bound]

    def advance(self, latest: datetime | None, seconds: float) -> None:
        """Note what a list has shown.

        :param latest: Its latest credible change, if there is one.
        :param seconds: What reading it took: what changed meanwhile may have been missed, although something
            later was seen.
        """
        if latest is None:
            return
        safe = latest - timedelta(seconds=seconds)
        if self.at is None or safe > self.at:
            self.at, self._set_at = safe, self._now()


def modified(row: dict[str, Any]) -> datetime | None:
    """Read when an order has changed; ``None`` where that can't be read."""
    try:
        at: object = pendulum.parse(row["last_modified"])
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        return None
    if not isinstance(at, datetime):
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)
