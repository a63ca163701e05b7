"""The loop that all triggers share: look, wait, look again, until it is over or too late."""

from __future__ import annotations

import asyncio
import random
import time
from abc import abstractmethod
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import conf
from airflow.triggers.base import BaseTrigger, TriggerEvent

from planet_provider.client.session import AsyncPlanetSession
from planet_provider.exceptions import PlanetError
from planet_provider.hooks.planet import PlanetHook
from planet_provider.triggers.events import error_event, timeout_event

#: Longest wait between two looks while Planet answers with errors, in multiples of ``poke_interval``.
_MAX_BACKOFF = 8

#: Seconds that Airflow's own limit on a deferral lies behind the trigger's, which says more.
_DEFERRAL_GRACE_SECONDS = 60.0


def is_deferrable(deferrable: bool | None) -> bool:
    """Return what a task was told, or else Airflow's setting ``[operators] default_deferrable``."""
    if deferrable is None:
        return bool(conf.getboolean("operators", "default_deferrable", fallback=False))
    return deferrable


def deferral_timeout(deadline: float) -> timedelta:
    """Return Airflow's own limit for a deferral.

    :param deadline: The trigger's, UTC, as seconds since the epoch.
    """
    return timedelta(seconds=max(0.0, deadline - time.time()) + _DEFERRAL_GRACE_SECONDS)


class PlanetTrigger(BaseTrigger):
    """Look at something of Planet's until the wait is over.

    Its arguments are stored in plain text: ids only, no credential, no link.

    :param planet_conn_id: Airflow connection of type ``planet``.
    :param poke_interval: Seconds between two looks; > 0.
    :param deadline: UTC, as seconds since the epoch, after which the wait has timed out; ``None`` for never.
    """

    def __init__(self, *, planet_conn_id: str, poke_interval: float, deadline: float | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.planet_conn_id = planet_conn_id
        self.poke_interval = poke_interval
        self.deadline = deadline

    @abstractmethod
    async def look(self, session: AsyncPlanetSession) -> dict[str, Any] | None:
        """Look once.

        :return: The event's content where the wait is over, else ``None``.
        """

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return the ids of what is waited for."""

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
        """Yield one event: done, timed out, or an error that waiting won't mend."""
        yield TriggerEvent(await self._outcome())  # type: ignore[no-untyped-call]

    async def _outcome(self) -> dict[str, Any]:
        try:
            async with await PlanetHook(self.planet_conn_id).async_session() as session:
                return await self._wait(session)
        except PlanetError as error:
            return error_event(error)

    async def _wait(self, session: AsyncPlanetSession) -> dict[str, Any]:
        failures = 0
        while True:
            try:
                event = await self.look(session)
                failures = 0
            except PlanetError as error:
                if not error.retryable:
                    raise
                failures += 1
                self.log.warning("Looking again later, because Planet can't be asked now: %s", error)
                event = None
            if event is not None:
                return event
            if self.deadline is not None and time.time() >= self.deadline:
                return timeout_event(**self.facts())
            await asyncio.sleep(self._pause(failures))

    def _pause(self, failures: int) -> float:
        # Spread, so that triggers which were started together don't look together for ever.
        pause: float = self.poke_interval * min(2**failures, _MAX_BACKOFF) * random.uniform(0.9, 1.1)
        return pause if self.deadline is None else max(0.0, min(pause, self.deadline - time.time()))
