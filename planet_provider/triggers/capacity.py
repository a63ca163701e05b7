"""Waiting, in the triggerer, until Planet takes more orders."""

from __future__ import annotations

import time
from typing import Any

from planet_provider.client import orders
from planet_provider.client.session import AsyncPlanetSession
from planet_provider.triggers.base import PlanetTrigger
from planet_provider.triggers.events import done_event

#: Seconds after which the order is tried again anyway: a place that became free before the first look, or was
#: taken by others at once, doesn't show in the counts.
_ANYWAY_SECONDS = 600.0


class PlanetOrderCapacityTrigger(PlanetTrigger):
    """Wait until fewer of the organisation's orders are queued or running than there were.

    Planet doesn't tell how many it takes, so the most that were seen are the measure.

    :param planet_conn_id: Airflow connection of type ``planet``.
    :param poke_interval: Seconds between two looks; > 0.
    :param deadline: UTC, as seconds since the epoch, after which the wait has timed out.
    :param not_before: UTC, as seconds since the epoch, when the rate limit's queue will be short enough; then
        the wait is for that alone.
    """

    def __init__(
        self, *, planet_conn_id: str, poke_interval: float, deadline: float, not_before: float | None = None
    ) -> None:
        super().__init__(planet_conn_id=planet_conn_id, poke_interval=poke_interval, deadline=deadline)
        self.not_before = not_before
        self._most: int | None = None
        self._since = time.monotonic()

    def facts(self) -> dict[str, Any]:
        """Return nothing: the wait is for the account, not for one order."""
        return {}

    def settings(self) -> dict[str, Any]:
        """Return what else it takes to make this trigger again."""
        return super().settings() | {"not_before": self.not_before}

    async def look(self, session: AsyncPlanetSession) -> dict[str, Any] | None:
        """Count the active orders, or look at the clock."""
        if self.not_before is not None:
            due = time.time() >= self.not_before
            return done_event(capacity={"deadline": self.deadline}) if due else None
        active = active_orders(await session.send(orders.stats()))
        if self._most is None:
            self.log.info(
                "Planet takes no more orders now: %d are queued or running. Waiting for a place.", active
            )
        self._most = max(1, active, self._most or 0)
        if active >= self._most and time.monotonic() - self._since < _ANYWAY_SECONDS:
            return None
        return done_event(capacity={"active_orders": active, "deadline": self.deadline})


def active_orders(stats: dict[str, Any]) -> int:
    """Count queued and running orders of whom the limit is counted by.

    :param stats: As :func:`planet_provider.client.orders.stats` answers.
    """
    counts = stats.get("organization") or stats.get("user") or {}
    return int(counts.get("queued_orders") or 0) + int(counts.get("running_orders") or 0)
