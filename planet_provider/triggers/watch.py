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
from collections.abc import AsyncIterator, Hashable, Iterable
from dataclasses import replace
from typing import ClassVar, Generic, TypeVar

from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.responses import not_understood
from planet_provider.client.http.session import AsyncPlanetSession
from planet_provider.exceptions import (
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    PlanetError,
)
from planet_provider.triggers.in_flight import InFlightRequests
from planet_provider.triggers.rate_share import RateShare
from planet_provider.triggers.session import open_session
from planet_provider.triggers.waiter import Waiter

log = logging.getLogger(__name__)

V = TypeVar("V")

#: Waiters that are woken before the event loop gets round to others. Each may write a log line, which takes
#: some tenths of a millisecond.
CHUNK = 20

#: Seconds that a request for one thing may take, beside what it stands in line for the rate limit.
SINGLE_SECONDS = 20.0

#: Longest wait between two looks while Planet answers with errors: in multiples of the interval, and in seconds.
_MAX_BACKOFF = 8
_MAX_BACKOFF_SECONDS = 120.0

#: One look needs no long retries: the next look comes anyway.
_LOOK_ATTEMPTS = 2
_LOOK_RETRY_SECONDS = 30.0

#: Seconds between two looks, at least, that waiters whose time is up may call for; and while Planet can't be
#: asked, which leaves each of them one.
_LAST_LOOK_GAP = 0.5
LAST_LOOK_GAP_IN_TROUBLE = 10.0

#: Share of the interval after which the next look comes. Below 1, so that a change is told within the
#: interval; drawn each time, so that triggerers don't look in step.
_SPREAD = (0.8, 0.95)


class Poller(ABC, Generic[V]):
    """Look at things of one kind for all who wait for them.

    :param config: Where to send, which account, how fast.
    """

    #: What it looks at, for the log.
    subject: ClassVar[str]

    #: Class of its most frequent requests, and the share of that class's rate that it may take, with the longest
    #: pause in seconds that follows from it.
    rate_class: ClassVar[str]
    share: ClassVar[float] = 1.0
    longest_pause: ClassVar[float] = float("inf")

    def __init__(self, config: PlanetConfig) -> None:
        self.key_config = config
        self.config = replace(
            config,
            max_attempts=min(config.max_attempts, _LOOK_ATTEMPTS),
            max_retry_seconds=min(config.max_retry_seconds, _LOOK_RETRY_SECONDS),
        )
        self.loop = asyncio.get_running_loop()
        self.waiters: dict[Hashable, dict[Waiter[V], None]] = {}
        self.number = 0
        self.over = False
        self.trouble: str | None = None
        #: What was seen last of each thing.
        self.latest: dict[Hashable, V] = {}
        #: Time of the event loop at which to look next.
        self.next = float("inf")
        #: When the latest look began, and when the latest failure came.
        self.begun = float("-inf")
        self.failed_at = float("-inf")
        self.pace = RateShare(self.share, self.config.rate_limits[self.rate_class], self.longest_pause)
        self._failures = 0
        self._not_before = float("-inf")
        self._last: dict[Waiter[V], float] = {}
        self._last_asked = float("-inf")
        self._steps = 0
        self._wake = asyncio.Event()
        self.flight = InFlightRequests(self._wake.set)
        # In a context of its own: Airflow writes what is logged in a trigger's context into its task's log.
        self._task = contextvars.Context().run(self.loop.create_task, self._run())

    @abstractmethod
    async def look(self, session: AsyncPlanetSession) -> None:
        """Look at what is due, and tell the waiters.

        :raises PlanetError: The credential is refused, which ends all waits, or Planet can't be asked now.
        """

    def due(self) -> float:
        """Return the time of the event loop at which to look next, as far as Planet can be asked."""
        # One look serves all whose time is up by then.
        last = self.begun + _LAST_LOOK_GAP if self._last_asked > self.begun and self._last else float("inf")
        return max(min(self.next, last), self.pace.free_at)

    def joined(self, waiter: Waiter[V]) -> None:
        """Take note of a new waiter."""

    def left(self, key: Hashable) -> None:
        """Forget what nobody waits for any more."""

    def join(self, key: Hashable, poke_interval: float) -> Waiter[V]:
        """Begin to look at something for a trigger."""
        waiter: Waiter[V] = Waiter(key, poke_interval)
        self.waiters.setdefault(key, {})[waiter] = None
        self.number += 1
        self.joined(waiter)
        self._wake.set()
        return waiter

    def leave(self, waiter: Waiter[V]) -> bool:
        """Stop looking for a trigger.

        :return: Whether it was the last one.
        """
        others = self.waiters.get(waiter.key, {})
        if waiter in others:
            del others[waiter]
            self.number -= 1
            if not others:
                del self.waiters[waiter.key]
                self.latest.pop(waiter.key, None)
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
        self._last[waiter] = self._last_asked = self.loop.time()
        self._wake.set()

    @property
    def past_deadline(self) -> set[Hashable]:
        """What those wait for whose time is up: it is due whatever the interval."""
        return {waiter.key for waiter in self._last}

    def looked_at(self, key: Hashable) -> float:
        """Return the time of the event loop at which the last look at something began that is over."""
        return float("-inf") if key in self.flight else self.begun

    def interval(self) -> float:
        """Return the shortest interval that is asked for, in seconds."""
        return min((one.poke_interval for several in self.waiters.values() for one in several), default=60.0)

    def pause(self) -> float:
        """Return the seconds from one look to the next."""
        return self.interval() * random.uniform(*_SPREAD)

    async def yield_to_loop(self) -> None:
        """Let others run, every so many calls."""
        self._steps += 1
        if self._steps % CHUNK == 0:
            await asyncio.sleep(0)

    async def each(self, waiters: Iterable[Waiter[V]]) -> AsyncIterator[Waiter[V]]:
        """Yield waiters to wake, and let them run in between, so that many don't hold up the event loop."""
        for waiter in waiters:
            yield waiter
            await self.yield_to_loop()

    async def tell(self, key: Hashable, value: V) -> None:
        """Tell all who wait for something what was seen."""
        self.latest[key] = value
        async for waiter in self.each(list(self.waiters.get(key, ()))):
            # Meanwhile something newer may have been seen.
            waiter.tell(self.latest.get(key, value))

    async def fail(self, key: Hashable, error: PlanetError) -> None:
        """Tell all who wait for something that their wait can't go on."""
        self.latest.pop(key, None)
        async for waiter in self.each(list(self.waiters.get(key, ()))):
            waiter.fail(error)

    def trouble_with(self, key: Hashable) -> str | None:
        """Return why something can't be looked at now, if so."""
        return self.trouble

    async def _run(self) -> None:
        try:
            async with await open_session(self.config) as session:
                try:
                    while not self.over:
                        await self._until_due()
                        await self._attempt(session)
                finally:
                    await self.flight.close()
        except Exception as error:
            # Whatever it is, nobody must wait for ever. Who comes now gets a new poller.
            self.over = True
            everybody = [one for several in self.waiters.values() for one in several]
            async for waiter in self.each(everybody):
                waiter.fail(error)

    async def _until_due(self) -> None:
        while True:
            self._wake.clear()
            due = self._due()
            if self.flight.has_landed or due <= self.loop.time():
                return
            timer = self.loop.call_at(due, self._wake.set) if due != float("inf") else None
            try:
                await self._wake.wait()
            finally:
                if timer is not None:
                    timer.cancel()

    def _due(self) -> float:
        held = self._not_before
        if self._last:
            held = min(held, self.failed_at + LAST_LOOK_GAP_IN_TROUBLE)
        return max(self.due(), held)

    async def _attempt(self, session: AsyncPlanetSession) -> None:
        self.flight.collect()
        now = self.loop.time()
        if self._due() <= now:
            self.begun = now
            try:
                await self.look(session)
            except (AuthenticationError, ConfigurationError, PermissionDeniedError):
                raise
            except PlanetError as error:
                # Whatever else it is: a proxy's 404 or 400 is no word about anybody's order.
                self.failed(error)
            except Exception as error:
                # An answer that nobody thought of must not end all waits of the account.
                self.failed(not_understood(f"Looking at {self.subject}", error))
        done = [one for one, asked in self._last.items() if self.looked_at(one.key) >= asked]
        async for waiter in self.each(done):
            self._last.pop(waiter, None)
            waiter.looked = True
            waiter.call()

    def failed(self, error: PlanetError) -> None:
        """Take note that Planet can't be asked now: less and less often, and logged once."""
        self._failures += 1
        interval = self.interval()
        # Bounded, because 2.0 ** 1024 is an error.
        growing = interval * min(2.0 ** min(self._failures, 10), _MAX_BACKOFF)
        backoff = min(growing, max(interval, _MAX_BACKOFF_SECONDS))
        self.failed_at = self.loop.time()
        self._not_before = self.failed_at + backoff * random.uniform(*_SPREAD)
        if self.trouble is None:
            log.warning(
                "Planet can't be asked for %s now; %d wait on, and it is asked less and less often: %s",
                self.subject,
                self.number,
                error,
            )
        self.trouble = str(error)

    def answered(self) -> None:
        """Take note that Planet answers."""
        if self.trouble is not None:
            log.info("Planet answers again for %s, at attempt %d.", self.subject, self._failures + 1)
        self.trouble = None
        self._failures = 0
        self._not_before = float("-inf")
