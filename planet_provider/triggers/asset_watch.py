"""Looking at all the assets of an account that triggers wait for: one request an item, whatever its assets."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from planet_provider.client.api import data
from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.responses import not_understood
from planet_provider.client.http.session import AsyncPlanetSession
from planet_provider.exceptions import (
    AuthenticationError,
    ConfigurationError,
    CoordinationStoreError,
    PlanetError,
    RateLimitError,
    RateLimitQueueError,
    TransportError,
)
from planet_provider.triggers import watch
from planet_provider.triggers.session import within
from planet_provider.triggers.waiter import Waiter
from planet_provider.triggers.watch import Poller

#: An item's assets by asset type, without links.
Assets = dict[str, dict[str, Any]]
Item = tuple[str, str]

#: Share of a wait's age that an asset's activation may be noticed late, and the longest interval that this
#: leads to, in multiples of the interval.
LATE_SHARE = 0.1
MAX_STRETCH = 8.0

#: Share of the rate of Planet's data requests that waiting may take: searches and downloads need it too.
RATE_SHARE = 0.5

#: Items asked for at once, and how many of them may be such as couldn't be asked for the last time: the
#: others must not wait for what hangs.
AT_ONCE = 8
_DOUBTFUL_AT_ONCE = AT_ONCE // 2

_SHOWN = ("status", "_permissions", "md5_digest")


@dataclass
class _Known:
    """What is known of an item.

    :param due: Time of the event loop at which to look next.
    :param since: When somebody began to wait for it.
    :param looked: When the last look at it began that is over.
    :param failures: How often looking failed in a row.
    :param trouble: Why, the last time.
    """

    due: float
    since: float
    looked: float = float("-inf")
    failures: int = 0
    trouble: str | None = None


class AssetPoller(Poller[Assets]):
    """Look at items' assets; tells them without their links."""

    subject: ClassVar[str] = "assets"
    rate_class: ClassVar[str] = "data.other"
    share: ClassVar[float] = RATE_SHARE

    def __init__(self, config: PlanetConfig) -> None:
        super().__init__(config)
        self._known: dict[Hashable, _Known] = {}
        self._newly_failing: set[Hashable] = set()

    def due(self) -> float:
        """Return when to look next: the rate is kept by all looks together."""
        past_deadline = self.past_deadline
        soonest = min(
            (float("-inf") if key in past_deadline else at for key, at in self._idle()), default=float("inf")
        )
        return max(soonest, self.pace.free_at)

    def joined(self, waiter: Waiter[Assets]) -> None:
        """Look at a new item soon, and at a known one as soon as the new wait asks for."""
        now = self.loop.time()
        soon = now + random.uniform(0.0, min(1.0, waiter.poke_interval))
        known = self._known.get(waiter.key)
        if known is None:
            self._known[waiter.key] = _Known(due=soon, since=now)
            return
        known.since = now
        known.due = min(known.due, now + waiter.poke_interval)
        if waiter.key in self.latest:
            waiter.tell(self.latest[waiter.key])

    def left(self, key: Hashable) -> None:
        """Forget an item."""
        del self._known[key]
        self._newly_failing.discard(key)

    def looked_at(self, key: Hashable) -> float:
        """Return when the last look at an item began that is over."""
        return self._known[key].looked

    def trouble_with(self, key: Hashable) -> str | None:
        """Return why an item can't be looked at now, if so."""
        known = self._known.get(key)
        return (known.trouble if known is not None else None) or self.trouble

    async def look(self, session: AsyncPlanetSession) -> None:
        """Begin to look at the items that are due; none waits for another's answer.

        First come those whose waiters' time is up, the longest unseen of them first, then the most overdue.
        """
        now, past_deadline = self.loop.time(), self.past_deadline
        ranked = [
            (key not in past_deadline, self._known[key].looked if key in past_deadline else at, key)
            for key, at in self._idle()
        ]
        begun = 0
        for calm, at, key in heapq.nsmallest(AT_ONCE - len(self.flight), ranked):
            if (calm and at > now) or (self._known[key].failures and not self._takes_doubtful()):
                continue
            self.flight.start(key, self._ask(session, key))  # type: ignore[arg-type]
            begun += 1
        self.pace.took(begun, now)

    def _idle(self) -> Iterator[tuple[Hashable, float]]:
        """Yield the items that may be asked for now, as far as the rate goes, and when they are due."""
        if len(self.flight) >= AT_ONCE:
            return
        takes_doubtful = self._takes_doubtful()
        for key, known in self._known.items():
            if key not in self.flight and (takes_doubtful or not known.failures):
                yield key, known.due

    def _takes_doubtful(self) -> bool:
        doubtful = [key for key in self.flight if key in self._known and self._known[key].failures]
        return len(doubtful) < _DOUBTFUL_AT_ONCE

    async def _ask(self, session: AsyncPlanetSession, key: Item) -> None:
        """Get an item's assets. What is wrong with it concerns nobody else.

        :raises PlanetError: The credential is refused.
        """
        known, begun = self._known.get(key), self.loop.time()
        if known is None:  # nobody waits for it any more
            return
        trouble: PlanetError | None = None
        try:
            await self._show(key, await within(watch.SINGLE_SECONDS, session.send(data.assets(*key))))
        except (AuthenticationError, ConfigurationError):
            raise
        except PlanetError as error:
            if error.retryable:
                trouble = error
            else:
                await self.fail(key, error)
        except asyncio.TimeoutError:
            trouble = TransportError(f"No answer for {' '.join(key)} within {watch.SINGLE_SECONDS:g} s.")
        except Exception as error:
            # An answer that nobody thought of must not end all waits of the account.
            trouble = not_understood(f"Assets of {' '.join(key)}", error)
        known.looked = begun
        known.failures = 0 if trouble is None else known.failures + 1
        known.trouble = None if trouble is None else str(trouble)
        known.due = self.loop.time() + self._interval(key, known)
        if trouble is None:
            self._newly_failing.clear()
            self.answered()
        elif (
            begun > self.failed_at and self._known.get(key) is known and self._is_outage(key, known, trouble)
        ):
            self.failed(trouble)

    def _is_outage(self, key: Item, known: _Known, error: PlanetError) -> bool:
        """Return whether an error is no single item's: several items begin to fail, and none is answered for."""
        if known.failures == 1:
            self._newly_failing.add(key)
        return (
            self.trouble is not None
            or isinstance(error, (RateLimitError, RateLimitQueueError, CoordinationStoreError))
            or (isinstance(error, TransportError) and not error.sent)
            or len(self._newly_failing) >= min(2, len(self._known))
        )

    async def _show(self, key: Item, answer: dict[str, dict[str, Any]]) -> None:
        assets = {
            asset_type: {name: asset[name] for name in _SHOWN if name in asset}
            for asset_type, asset in answer.items()
        }
        if key in self._known and self.latest.get(key) != assets:
            await self.tell(key, assets)

    def _interval(self, key: Item, known: _Known) -> float:
        """Return the seconds to the next look: longer with the wait's age, and with failures; never in step."""
        asked = min((waiter.poke_interval for waiter in self.waiters.get(key, ())), default=0.0)
        longest = MAX_STRETCH * asked
        age = self.loop.time() - known.since
        calm = min(max(asked, LATE_SHARE * age), longest)
        # Bounded, because 2.0 ** 1024 is an error.
        return min(calm * 2.0 ** min(known.failures, 10), longest) * random.uniform(0.8, 1.0)
