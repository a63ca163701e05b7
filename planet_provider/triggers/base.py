"""What all triggers share: be told by a poller, say so in the task's log, until it is over or too late."""

from __future__ import annotations

import asyncio
import random
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Hashable
from typing import Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from planet_provider.exceptions import PlanetError
from planet_provider.triggers.events import error_event, timeout_event
from planet_provider.triggers.sharing import watching
from planet_provider.triggers.waiter import Waiter
from planet_provider.triggers.watch import Poller

#: Seconds between two lines in a task's log while nothing changes.
REPORT_SECONDS = 600.0

#: Seconds that the look at the deadline may take: less than that grace.
LAST_LOOK_SECONDS = 30.0

#: Seconds for each wait by which deadlines are spread: thousands that end together would hold up the event loop.
_DEADLINE_SPREAD = 0.0005


class PlanetTrigger(BaseTrigger):
    """Wait for something of Planet's, together with all others who wait for the like.

    Its arguments are stored in plain text: ids only, no credential, no link.

    :param planet_conn_id: Airflow connection of type ``planet``.
    :param poke_interval: Seconds between two looks, at most; > 0.
    :param deadline: UTC, as seconds since the epoch, after which the wait has timed out; ``None`` for never.
    :param unknown: Arguments of a worker that runs a newer version than this triggerer. They are ignored.
    """

    #: What looks for this kind of trigger.
    poller: ClassVar[type[Poller[Any]]]

    def __init__(
        self, *, planet_conn_id: str, poke_interval: float, deadline: float | None = None, **unknown: Any
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.planet_conn_id = planet_conn_id
        self.poke_interval = poke_interval
        self.deadline = deadline
        #: The connection's host, once it is known.
        self.base_url = ""
        self._unknown = sorted(unknown)

    @property
    @abstractmethod
    def key(self) -> Hashable:
        """What the poller is to look at."""

    @abstractmethod
    def seen(self, found: Any) -> dict[str, Any] | None:
        """Judge what the poller saw, and log it where it has changed.

        :return: The event's content where the wait is over, else ``None``.
        """

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return the ids that are waited for."""

    @abstractmethod
    def report(self) -> str:
        """Return a line for the task's log while nothing changes."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and the arguments to make this trigger again."""
        kind = type(self)
        return f"{kind.__module__}.{kind.__qualname__}", self.facts() | self.settings()

    def settings(self) -> dict[str, Any]:
        """Return what else it takes to make this trigger again."""
        return {
            "planet_conn_id": self.planet_conn_id,
            "poke_interval": self.poke_interval,
            "deadline": self.deadline,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: done, timed out, or an error that waiting won't fix."""
        yield TriggerEvent(await self._outcome())  # type: ignore[no-untyped-call]

    async def _outcome(self) -> dict[str, Any]:
        if self._unknown:
            self.log.warning(
                "This triggerer runs an older version of airflow-provider-planet than the worker: it ignores %s.",
                ", ".join(self._unknown),
            )
        try:
            return await self.wait()
        except PlanetError as error:
            return error_event(error)

    async def wait(self) -> dict[str, Any]:
        """Wait, and return the event's content.

        :raises PlanetError: Waiting won't fix it.
        """
        until = self._deadline(asyncio.get_running_loop().time())
        async with watching(self.poller, self.planet_conn_id, self.key, self.poke_interval, until) as joined:
            return await self._wait(*joined)

    async def _wait(self, poller: Poller[Any], waiter: Waiter[Any]) -> dict[str, Any]:
        self.base_url = poller.config.base_url
        loop = asyncio.get_running_loop()
        spread = random.uniform(0.0, _DEADLINE_SPREAD) * (poller.number - 1)
        report_at = _next_report(loop.time())
        last_by = float("inf")
        while True:
            deadline = self._deadline(loop.time() + spread)
            found = await waiter.next_update(
                min(report_at, last_by, deadline if last_by == float("inf") else last_by)
            )
            event = None if found is None else self.seen(found)
            if event is not None:
                return event
            now = loop.time()
            if waiter.looked or now >= last_by:
                last = self.report() + _trouble(poller.trouble_with(self.key))
                return timeout_event(**self.facts(), last=last)
            if now >= deadline and last_by == float("inf"):
                # What is over is seen after the deadline too, as it is where a triggerer was down meanwhile.
                last_by = now + LAST_LOOK_SECONDS
                poller.last_look(waiter)
            if now >= report_at:
                report_at = _next_report(now)
                self.log.info("%s%s", self.report(), _trouble(poller.trouble_with(self.key)))

    def _deadline(self, now: float) -> float:
        return float("inf") if self.deadline is None else now + self.deadline - time.time()


def _next_report(now: float) -> float:
    return now + REPORT_SECONDS * random.uniform(0.9, 1.1)


def _trouble(trouble: str | None) -> str:
    return f" Planet can't be asked now: {trouble}" if trouble is not None else ""
