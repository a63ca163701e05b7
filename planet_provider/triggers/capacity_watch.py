"""Counting an account's active orders for all who wait to place one, and calling about as many as fit."""

from __future__ import annotations

from typing import Any, ClassVar

from planet_provider.client.api import orders
from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.session import AsyncPlanetSession
from planet_provider.triggers.waiter import Waiter
from planet_provider.triggers.watch import Poller

#: Seconds after which one is called anyway: a place that became free before the first look, or was taken by
#: others at once, doesn't show in the counts.
ANYWAY_SECONDS = 600.0

#: Seconds that those called have to place their order, before their places are given to others.
_PROMISE_SECONDS = 60.0

#: Seconds in which triggers that start together are gathered for their first look.
_GATHER_SECONDS = 0.5


class CapacityPoller(Poller[int]):
    """Count active orders; tells the count to those whose turn it is, first come, first served.

    Planet doesn't tell how many it takes, so the most that were seen are the measure. It may be too low. So
    where all who were called found a place, twice as many are called next.
    """

    subject: ClassVar[str] = "places for orders"
    rate_class: ClassVar[str] = "orders.stats"

    def __init__(self, config: PlanetConfig) -> None:
        super().__init__(config)
        self._most = 1
        self._active: int | None = None
        self._promised = 0
        self._called = 0
        self._called_at = self.loop.time()
        self._refused = False
        self._waiting: dict[Waiter[int], None] = {}

    def joined(self, waiter: Waiter[int]) -> None:
        """Who comes was refused just now."""
        self._waiting[waiter] = None
        self._refused = True
        self.next = min(self.next, self.loop.time() + min(_GATHER_SECONDS, waiter.poke_interval))

    def leave(self, waiter: Waiter[int]) -> bool:
        """Strike a trigger off the list."""
        self._waiting.pop(waiter, None)
        return super().leave(waiter)

    async def look(self, session: AsyncPlanetSession) -> None:
        """Count, and call as many as fit."""
        begun = self.loop.time()
        active = active_orders(await session.send(orders.stats()))
        turns = self._turns(active)
        if turns:
            self._promised += turns
            self._called, self._called_at, self._refused = turns, self.loop.time(), False
        async for waiter in self.each(list(self._waiting)[:turns]):
            self._waiting.pop(waiter, None)
            waiter.tell(active)
        self.next = begun + self.pause()
        self.answered()

    def _turns(self, active: int) -> int:
        """Return how many may try now."""
        waited = self.loop.time() - self._called_at
        placed = max(0, active - self._active) if self._active is not None else 0
        self._active, self._most = active, max(self._most, active)
        self._promised = 0 if waited >= _PROMISE_SECONDS else max(0, self._promised - placed)
        free = self._most - active - self._promised
        if free <= 0 and self._called and not self._promised and not self._refused:
            free = 2 * self._called
        if free <= 0 and waited >= ANYWAY_SECONDS:
            free = 1
        return min(max(0, free), len(self._waiting))


def active_orders(stats: dict[str, Any]) -> int:
    """Count queued and running orders of whom the limit is counted by.

    :param stats: As :func:`planet_provider.client.api.orders.stats` answers.
    """
    counts = stats.get("organization") or stats.get("user") or {}
    return int(counts.get("queued_orders") or 0) + int(counts.get("running_orders") or 0)
