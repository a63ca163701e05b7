"""What the triggers of one event loop share: the connections they read, and their pollers."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from planet_provider.client.config import PlanetConfig
from planet_provider.exceptions import ConfigurationError, InvalidInputError, TransportError
from planet_provider.hooks.planet import PlanetHook
from planet_provider.redact import redact_text
from planet_provider.triggers.waiter import Waiter
from planet_provider.triggers.watch import Poller

log = logging.getLogger(__name__)

PollerT = TypeVar("PollerT", bound="Poller[Any]")

#: Seconds for which a connection that was read serves those who come next. Reading one takes Airflow some
#: 50 ms, one after the other: for a thousand waits that start together, most of a minute.
CONNECTION_SECONDS = 30.0

#: The same for one that couldn't be read. Shorter, because somebody may be about to fix it.
ERROR_SECONDS = 5.0


@dataclass(frozen=True)
class _Read:
    """What came of reading a connection.

    :param at: Time of the event loop when that was over.
    """

    at: float
    outcome: PlanetConfig | Exception

    def serves(self, came: float, now: float) -> bool:
        """Return whether it is recent enough.

        :param came: When somebody began to wait for it: a caller that waited meanwhile takes the result.
        """
        lasts = ERROR_SECONDS if isinstance(self.outcome, Exception) else CONNECTION_SECONDS
        return came <= self.at or now < self.at + lasts


class Connections:
    """Airflow connections, each read once for all who come at the same time."""

    def __init__(self) -> None:
        self._reads: dict[str, _Read] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def config(self, conn_id: str, until: float = float("inf")) -> PlanetConfig:
        """Read a connection, or return what was read a moment ago; try again after errors that may pass.

        :param until: Time of the event loop after which to give up.
        :raises AirflowNotFoundException: There is no such connection.
        :raises ConfigurationError: It is wrong.
        :raises TransportError: It couldn't be read until then.
        """
        loop = asyncio.get_running_loop()
        for attempt in itertools.count(1):
            try:
                return await self._read_once(conn_id)
            except (AirflowNotFoundException, ConfigurationError, InvalidInputError):
                raise
            except Exception as error:
                why = redact_text(f"{type(error).__name__}: {error}")
                pause = ERROR_SECONDS * random.uniform(1.0, 1.5)
                if loop.time() + pause > until:
                    raise TransportError(
                        f"The connection {conn_id} couldn't be read: {why}. Check that the triggerer reaches "
                        "Airflow's database and secrets backend.",
                        sent=False,
                    ) from None
                if attempt == 1:
                    log.warning("The connection %s can't be read now; it is tried again: %s", conn_id, why)
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def _read_once(self, conn_id: str) -> PlanetConfig:
        loop = asyncio.get_running_loop()
        came = loop.time()
        # A lock lets one after the other go on, where a future would wake thousands in one turn of the loop.
        async with self._locks.setdefault(conn_id, asyncio.Lock()):
            read = self._reads.get(conn_id)
            if read is None or not read.serves(came, loop.time()):
                outcome = await _read(conn_id)
                read = self._reads[conn_id] = _Read(loop.time(), outcome)
        if isinstance(read.outcome, Exception):
            raise read.outcome.with_traceback(None)
        return read.outcome


async def _read(conn_id: str) -> PlanetConfig | Exception:
    try:
        return await PlanetHook(conn_id).async_config()
    except Exception as error:
        return error


@dataclass
class _Triggerer:
    """What the triggers of one event loop share.

    :param users: Triggers that wait.
    """

    users: int = 0
    pollers: list[Poller[Any]] = field(default_factory=list)
    connections: Connections = field(default_factory=Connections)

    def poller(self, kind: type[PollerT], config: PlanetConfig) -> PollerT:
        """Return the poller of a kind for a configuration: the same credential, host and settings."""
        for poller in self.pollers:
            if type(poller) is kind and poller.key_config == config and not poller.over:
                return poller
        fresh = kind(config)
        self.pollers.append(fresh)
        return fresh


#: By event loop, because a task of one loop can't wake what waits in another: ``dag.test()`` has one a trigger.
_triggerers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Triggerer] = WeakKeyDictionary()


@contextmanager
def _triggerer() -> Iterator[_Triggerer]:
    loop = asyncio.get_running_loop()
    here = _triggerers.setdefault(loop, _Triggerer())
    here.users += 1
    try:
        yield here
    finally:
        here.users -= 1
        if not here.users:
            _triggerers.pop(loop, None)


@asynccontextmanager
async def watching(
    kind: type[PollerT], conn_id: str, key: Hashable, poke_interval: float, until: float = float("inf")
) -> AsyncIterator[tuple[PollerT, Waiter[Any]]]:
    """Join the poller of a kind, and leave it.

    :param kind: What looks.
    :param conn_id: Airflow connection of type ``planet``.
    :param key: What to look at.
    :param poke_interval: Seconds between two looks, at most.
    :param until: Time of the event loop until which to wait for a connection that can't be read.
    """
    with _triggerer() as here:
        poller = here.poller(kind, await here.connections.config(conn_id, until))
        waiter = poller.join(key, poke_interval)
        try:
            yield poller, waiter
        finally:
            if poller.leave(waiter):
                here.pollers.remove(poller)
                await poller.stop()
