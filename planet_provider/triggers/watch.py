"""One poller for all waits of an account in a triggerer.

Triggers join a *poller* of their kind and are told what it sees. There is one for each kind, account and
setting in an event loop, from the first waiter's coming to the last one's going.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Hashable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, TypeVar
from weakref import WeakKeyDictionary

from planet_provider.client.config import PlanetConfig
from planet_provider.client.session import AsyncPlanetSession
from planet_provider.exceptions import PlanetError
from planet_provider.hooks.planet import PlanetHook

log = logging.getLogger(__name__)

V = TypeVar("V")
PollerT = TypeVar("PollerT", bound="Poller[Any]")

#: Seconds for which a connection that was read serves those who come next. Reading one takes Airflow some
#: 50 ms, one after the other: for a thousand waits that start together, most of a minute.
_CONNECTION_SECONDS = 30.0

#: Waiters that are woken before the event loop gets round to others. Each may write a log line, which takes
#: some tenths of a millisecond.
CHUNK = 20

#: Longest wait between two looks while Planet answers with errors: in multiples of the interval, and in seconds.
_MAX_BACKOFF = 8
_MAX_BACKOFF_SECONDS = 120.0

#: A look is not worth the session's whole patience: the next one comes anyway.
_LOOK_ATTEMPTS = 2
_LOOK_RETRY_SECONDS = 30.0

#: Seconds between two looks, at least, that waiters whose time is up may call for.
_LAST_LOOK_GAP = 0.5

#: Share of the interval after which the next look comes. Below 1, so that a change is told within the
#: interval; drawn anew each time, so that triggerers don't look in step.
_SPREAD = (0.8, 0.95)


class Waiter(Generic[V]):
    """A trigger's place at a poller.

    :param key: What it waits for.
    :param poke_interval: Seconds between two looks, at most.
    """

    def __init__(self, key: Hashable, poke_interval: float) -> None:
        self.key = key
        self.poke_interval = poke_interval
        self.joined = asyncio.get_running_loop().time()
        #: Whether the look that :meth:`Poller.last_look` asked for is over.
        self.looked = False
        self._value: V | None = None
        self._error: BaseException | None = None
        self._called = False
        self._future: asyncio.Future[None] | None = None

    def tell(self, value: V) -> None:
        """Say what was seen. A value that nobody fetched is replaced."""
        self._value = value
        self.call()

    def fail(self, error: BaseException) -> None:
        """Say that the wait can't go on."""
        self._error = error
        self.call()

    def call(self) -> None:
        """Wake the trigger."""
        self._called = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def news(self, until: float | None) -> V | None:
        """Wait until there is something new.

        :param until: Time of the event loop after which to go on without; ``None`` for never.
        :return: What was seen last, if it is new.
        :raises BaseException: What ended the wait.
        """
        if not self._called:
            loop = asyncio.get_running_loop()
            self._future = loop.create_future()
            timer = None if until is None else loop.call_at(until, self.call)
            try:
                await self._future
            finally:
                self._future = None
                if timer is not None:
                    timer.cancel()
        self._called = False
        if self._error is not None:
            raise self._error.with_traceback(None)
        value, self._value = self._value, None
        return value


class Poller(ABC, Generic[V]):
    """Look at things of one kind for all who wait for them.

    :param config: Where, as whom, how fast.
    """

    #: What it looks at, for the log.
    subject: ClassVar[str]

    def __init__(self, config: PlanetConfig) -> None:
        self.given = config
        self.config = replace(
            config,
            max_attempts=min(config.max_attempts, _LOOK_ATTEMPTS),
            max_retry_seconds=min(config.max_retry_seconds, _LOOK_RETRY_SECONDS),
        )
        self.loop = asyncio.get_running_loop()
        self.waiters: dict[Hashable, list[Waiter[V]]] = {}
        self.over = False
        self.trouble: str | None = None
        self._failures = 0
        self._begun = float("-inf")
        self._not_before = float("-inf")
        self._last: dict[Waiter[V], float] = {}
        self._wake = asyncio.Event()
        # In a context of its own: Airflow writes what is logged in a trigger's context into its task's log.
        self._task = contextvars.Context().run(self.loop.create_task, self._run())

    @abstractmethod
    def due(self) -> float:
        """Return the time of the event loop at which to look next."""

    @abstractmethod
    async def look(self, session: AsyncPlanetSession) -> None:
        """Look at what is due, and tell the waiters.

        :raises PlanetError: Planet can't be asked now, or, where it is not ``retryable``, not at all.
        """

    def joined(self, waiter: Waiter[V]) -> None:
        """Take note of a new waiter."""

    def left(self, key: Hashable) -> None:
        """Forget what nobody waits for any more."""

    def join(self, key: Hashable, poke_interval: float) -> Waiter[V]:
        """Begin to look at something for a trigger."""
        waiter: Waiter[V] = Waiter(key, poke_interval)
        self.waiters.setdefault(key, []).append(waiter)
        self.joined(waiter)
        self._wake.set()
        return waiter

    def leave(self, waiter: Waiter[V]) -> bool:
        """Stop looking for a trigger.

        :return: Whether it was the last one.
        """
        others = self.waiters.get(waiter.key, [])
        if waiter in others:
            others.remove(waiter)
            if not others:
                del self.waiters[waiter.key]
                self.left(waiter.key)
        self._last.pop(waiter, None)
        return not self.waiters

    async def stop(self) -> None:
        """Close the session and end the task."""
        self.over = True
        self._task.cancel()
        await asyncio.wait([self._task])

    def last_look(self, waiter: Waiter[V]) -> None:
        """Look once more, soon, and then wake a waiter whose time is up."""
        self._last[waiter] = self.loop.time()
        self._wake.set()

    def interval(self) -> float:
        """Return the shortest interval that is asked for, in seconds."""
        return min((one.poke_interval for several in self.waiters.values() for one in several), default=60.0)

    def pause(self) -> float:
        """Return the seconds from one look to the next."""
        return self.interval() * random.uniform(*_SPREAD)

    async def each(self, waiters: Iterable[Waiter[V]]) -> AsyncIterator[Waiter[V]]:
        """Yield waiters to wake, and let them run in between, so that many don't hold up the event loop."""
        for number, waiter in enumerate(waiters, 1):
            yield waiter
            if number % CHUNK == 0:
                await asyncio.sleep(0)

    async def _run(self) -> None:
        try:
            async with AsyncPlanetSession(self.config) as session:
                while not self.over:
                    await self._until_due()
                    await self._attempt(session)
        except Exception as error:
            # Whatever it is, nobody must wait for ever. Who comes now gets a new poller.
            self.over = True
            everybody = [one for several in self.waiters.values() for one in several]
            async for waiter in self.each(everybody):
                waiter.fail(error)

    async def _until_due(self) -> None:
        while True:
            self._wake.clear()
            due = max(self.due(), self._not_before)
            if self._last:
                due = min(due, self._begun + _LAST_LOOK_GAP)
            if due <= self.loop.time():
                return
            timer = self.loop.call_at(due, self._wake.set) if due != float("inf") else None
            try:
                await self._wake.wait()
            finally:
                if timer is not None:
                    timer.cancel()

    async def _attempt(self, session: AsyncPlanetSession) -> None:
        self._begun = self.loop.time()
        try:
            await self.look(session)
        except PlanetError as error:
            if not error.retryable:
                raise
            self._failed(error)
        else:
            self._answered()
        done = [one for one, asked in self._last.items() if self.looked_at(one.key) >= asked]
        async for waiter in self.each(done):
            self._last.pop(waiter, None)
            waiter.looked = True
            waiter.call()

    def looked_at(self, key: Hashable) -> float:
        """Return the time of the event loop at which something was looked at last, successfully or not."""
        return self._begun

    @property
    def rushed(self) -> list[Hashable]:
        """What those wait for whose time is up: it is due whatever the interval."""
        return [waiter.key for waiter in self._last]

    def _failed(self, error: PlanetError) -> None:
        self._failures += 1
        interval = self.interval()
        backoff = min(interval * min(2.0**self._failures, _MAX_BACKOFF), max(interval, _MAX_BACKOFF_SECONDS))
        self._not_before = self.loop.time() + backoff * random.uniform(*_SPREAD)
        if self.trouble is None:
            log.warning(
                "Planet can't be asked for %s now; %d wait on, and it is asked less and less often: %s",
                self.subject,
                sum(map(len, self.waiters.values())),
                error,
            )
        self.trouble = str(error)

    def _answered(self) -> None:
        if self.trouble is not None:
            log.info("Planet answers again for %s, at attempt %d.", self.subject, self._failures + 1)
        self.trouble = None
        self._failures = 0


@dataclass
class _Triggerer:
    """What the triggers of one event loop share.

    :param users: Triggers that wait.
    """

    users: int = 0
    pollers: list[Poller[Any]] = field(default_factory=list)
    configs: dict[str, tuple[float, PlanetConfig]] = field(default_factory=dict)
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def config(self, conn_id: str) -> PlanetConfig:
        """Read a connection, once for all who come at the same time."""
        loop = asyncio.get_running_loop()
        # A lock lets one after the other go on, where a future would wake thousands in one turn of the loop.
        async with self.locks.setdefault(conn_id, asyncio.Lock()):
            until, config = self.configs.get(conn_id, (0.0, None))
            if config is None or loop.time() >= until:
                config = await PlanetHook(conn_id).async_config()
                self.configs[conn_id] = loop.time() + _CONNECTION_SECONDS, config
            return config

    def poller(self, kind: type[PollerT], config: PlanetConfig) -> PollerT:
        """Return the poller of a kind for a configuration: the same credential, host and settings."""
        for poller in self.pollers:
            if type(poller) is kind and poller.given == config and not poller.over:
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
    kind: type[PollerT], conn_id: str, key: Hashable, poke_interval: float
) -> AsyncIterator[tuple[PollerT, Waiter[Any]]]:
    """Join the poller of a kind, and leave it.

    :param kind: What looks.
    :param conn_id: Airflow connection of type ``planet``.
    :param key: What to look at.
    :param poke_interval: Seconds between two looks, at most.
    """
    with _triggerer() as here:
        poller = here.poller(kind, await here.config(conn_id))
        waiter = poller.join(key, poke_interval)
        try:
            yield poller, waiter
        finally:
            if poller.leave(waiter):
                here.pollers.remove(poller)
                await poller.stop()
