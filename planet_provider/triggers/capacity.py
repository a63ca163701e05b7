"""Waiting, in the triggerer, until Planet takes more orders."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from planet_provider.triggers.base import PlanetTrigger
from planet_provider.triggers.capacity_watch import CapacityPoller
from planet_provider.triggers.events import done_event, timeout_event


class PlanetOrderCapacityTrigger(PlanetTrigger):
    """Wait until fewer of the organisation's orders are queued or running than there were.

    Planet doesn't tell how many it takes, so the most that were seen are the measure. Of all that wait in a
    triggerer about as many go on as places became free, first come, first served.

    :param planet_conn_id: Airflow connection of type ``planet``.
    :param poke_interval: Seconds between two looks; > 0.
    :param deadline: UTC, as seconds since the epoch, after which the wait has timed out.
    :param not_before: UTC, as seconds since the epoch, when the rate limit's queue will be short enough; then
        the wait is for that alone.
    """

    poller = CapacityPoller

    def __init__(
        self,
        *,
        planet_conn_id: str,
        poke_interval: float,
        deadline: float,
        not_before: float | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__(
            planet_conn_id=planet_conn_id, poke_interval=poke_interval, deadline=deadline, **unknown
        )
        self.not_before = not_before

    def facts(self) -> dict[str, Any]:
        """Return nothing: the wait is for the account, not for one order."""
        return {}

    def settings(self) -> dict[str, Any]:
        """Return what else it takes to make this trigger again."""
        return super().settings() | {"not_before": self.not_before}

    @property
    def key(self) -> None:
        """Nothing: all wait for the account."""

    async def wait(self) -> dict[str, Any]:
        """Wait for a place, or only for the time."""
        if self.not_before is None:
            return await super().wait()
        until = self.not_before if self.deadline is None else min(self.not_before, self.deadline)
        # Spread, so that many who wait for the same time don't go on in one turn of the event loop.
        spread = random.uniform(0.0, min(1.0, self.poke_interval))
        await asyncio.sleep(until - time.time() + spread)
        return timeout_event() if until < self.not_before else self._called()

    def seen(self, found: int) -> dict[str, Any]:
        """Take the turn."""
        self.log.info("Of the account's orders %d are queued or running now: trying again.", found)
        return self._called(active_orders=found)

    def report(self) -> str:
        """Say what is waited for."""
        return "Planet takes no more orders now. Waiting for a place."

    def _called(self, **facts: Any) -> dict[str, Any]:
        return done_event(capacity={**facts, "deadline": self.deadline})
