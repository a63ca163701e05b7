"""Looking at all the assets of an account that triggers wait for: one request an item, whatever its assets."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from planet_provider.client import data
from planet_provider.client.config import PlanetConfig
from planet_provider.client.session import AsyncPlanetSession
from planet_provider.exceptions import AuthenticationError, ConfigurationError, PlanetError
from planet_provider.triggers.watch import Poller, Waiter

#: An item's assets by asset type, without links.
Assets = dict[str, dict[str, Any]]
Item = tuple[str, str]

#: Share of a wait's age that an asset's activation may be noticed late, and the longest interval that this
#: leads to, in multiples of what was asked for.
LATE_SHARE = 0.1
MAX_STRETCH = 8.0

#: Share of the rate of Planet's data requests that waiting may take: searches and downloads need it too.
RATE_SHARE = 0.5

#: Requests in flight.
_AT_ONCE = 4

_SHOWN = ("status", "_permissions", "md5_digest")


@dataclass
class _Known:
    """What is known of an item.

    :param due: Time of the event loop at which to look next.
    :param since: When somebody began to wait for it.
    :param assets: As last seen.
    :param failures: How often looking failed in a row.
    :param looked: When it was looked at last.
    """

    due: float
    since: float
    looked: float = float("-inf")
    assets: Assets | None = field(default=None, repr=False)
    failures: int = 0


class AssetPoller(Poller[Assets]):
    """Look at items' assets; tells them without their links."""

    subject: ClassVar[str] = "assets"

    def __init__(self, config: PlanetConfig) -> None:
        super().__init__(config)
        self._known: dict[Hashable, _Known] = {}
        self._gap = 1.0 / (RATE_SHARE * self.config.rate_limits["data.other"])
        self._free_at = float("-inf")

    def due(self) -> float:
        """Return when to look next: the rate is kept by all looks together."""
        return max(min((known.due for known in self._known.values()), default=float("inf")), self._free_at)

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
        if known.assets is not None:
            waiter.tell(known.assets)

    def left(self, key: Hashable) -> None:
        """Forget an item."""
        del self._known[key]

    def looked_at(self, key: Hashable) -> float:
        """Return when an item was looked at last."""
        return self._known[key].looked

    async def look(self, session: AsyncPlanetSession) -> None:
        """Look at the items that are due: first where somebody's time is up, then the most overdue."""
        now = self.loop.time()
        rushed = set(self.rushed)
        due = [(key not in rushed, known.due, key) for key, known in self._known.items()]
        keys: list[Any] = [key for calm, at, key in heapq.nsmallest(_AT_ONCE, due) if at <= now or not calm]
        self._free_at = now + self._gap * len(keys)
        # All end before any error is raised, so that nothing goes on in a session that is closed.
        troubles = await asyncio.gather(*(self._ask(session, key) for key in keys), return_exceptions=True)
        errors = [trouble for trouble in troubles if trouble is not None]
        for error in errors:
            if not (isinstance(error, PlanetError) and error.retryable) or len(errors) == len(keys):
                raise error

    async def _ask(self, session: AsyncPlanetSession, key: Item) -> PlanetError | None:
        """Get an item's assets. What is wrong with it concerns nobody else.

        :return: Why they couldn't be asked for, if that may pass.
        :raises PlanetError: The credential is refused.
        """
        known = self._known.get(key)
        if known is None:  # nobody waits for it any more
            return None
        known.looked = self.loop.time()
        trouble: PlanetError | None = None
        try:
            self._tell(key, await session.send(data.assets(*key)))
        except (AuthenticationError, ConfigurationError):
            raise
        except PlanetError as error:
            if error.retryable:
                trouble = error
            else:
                for waiter in self.waiters.get(key, ()):
                    waiter.fail(error)
        known.failures = 0 if trouble is None else known.failures + 1
        known.due = self.loop.time() + self._interval(key, known)
        return trouble

    def _tell(self, key: Item, answer: dict[str, dict[str, Any]]) -> None:
        assets = {
            asset_type: {name: asset[name] for name in _SHOWN if name in asset}
            for asset_type, asset in answer.items()
        }
        known = self._known.get(key)
        if known is not None and known.assets != assets:
            known.assets = assets
            for waiter in self.waiters[key]:
                waiter.tell(assets)

    def _interval(self, key: Item, known: _Known) -> float:
        """Return the seconds to the next look: longer with the wait's age, and with failures; never in step."""
        asked = min((waiter.poke_interval for waiter in self.waiters.get(key, ())), default=0.0)
        longest = MAX_STRETCH * asked
        age = self.loop.time() - known.since
        calm = min(max(asked, LATE_SHARE * age), longest)
        return min(calm * 2.0**known.failures, longest) * random.uniform(0.8, 1.0)
