"""A poller's session: opened off the event loop; a request's time stands still while it stands in line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeVar

from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.session import AsyncPlanetSession
from planet_provider.coordination.limiter import RateLimiter
from planet_provider.coordination.open import open_store
from planet_provider.exceptions import TransportError, UnexpectedResponseError

_T = TypeVar("_T")

#: Seconds that a page of a list may take, beside waiting for the rate limit; and the pages of a list, at
#: most: with 20 rows on each, the 20,000 orders of an organisation that is twice as busy as Planet allows.
PAGE_SECONDS = 60.0
MOST_PAGES = 1000

#: Seconds between two looks at the clock of a request that stands in line, at least.
_STEP_SECONDS = 0.1


class _Stopwatch:
    """Counts the seconds of a request, but for those in which it stands in line."""

    def __init__(self) -> None:
        self._since: float | None = time.monotonic()
        self._before = 0.0

    def seconds(self) -> float:
        """Return how long it has taken."""
        return self._before + (time.monotonic() - self._since if self._since is not None else 0.0)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Don't count the seconds of a block."""
        self._before, self._since = self.seconds(), None
        try:
            yield
        finally:
            self._since = time.monotonic()


_stopwatch: ContextVar[_Stopwatch | None] = ContextVar("planet_stopwatch", default=None)


class _Limiter(RateLimiter):
    """A rate limiter whose line stops the clocks of :func:`within`."""

    async def aacquire(
        self, rate_class: str, ready: Callable[[float], Awaitable[object]] | None = None
    ) -> None:
        """Wait until a request may be sent."""
        watch = _stopwatch.get()
        if watch is None:
            await super().aacquire(rate_class, ready)
            return
        with watch.stopped():
            await super().aacquire(rate_class, ready)


async def open_session(config: PlanetConfig) -> AsyncPlanetSession:
    """Open a session without holding up the event loop.

    The first one of a process loads certificates, what HTTP needs in an event loop and, for Redis, half a second
    of modules.

    :raises ConfigurationError: The coordination store can't be opened.
    """
    return await asyncio.to_thread(_open, config)


def _open(config: PlanetConfig) -> AsyncPlanetSession:
    from planet_provider.hooks.planet import mask_in_loop

    _load_backend()
    store = open_store(config.coordination_store, config.coordination_fallback)
    limiter = _Limiter(store, config.identity, config.rate_limits, config.max_queue_seconds)
    return AsyncPlanetSession(config, limiter=limiter, on_token=mask_in_loop)


@cache
def _load_backend() -> None:
    """Load what httpx would load on the event loop with its first request."""
    with suppress(ImportError):
        import anyio.lowlevel

        asyncio.run(anyio.lowlevel.checkpoint())


async def bounded_pages(pages: AsyncGenerator[_T, None]) -> AsyncGenerator[_T, None]:
    """Yield a list's pages, each in time, and not without end.

    :param pages: Of a session of :func:`open_session`.
    :raises TransportError: A page takes longer than :data:`PAGE_SECONDS`, however slowly it goes on.
    :raises UnexpectedResponseError: There are more than :data:`MOST_PAGES`.
    """
    async with aclosing(pages):
        for _ in range(MOST_PAGES):
            try:
                page = await within(PAGE_SECONDS, _next(pages))
            except asyncio.TimeoutError:
                raise TransportError(f"A list's page was not complete after {PAGE_SECONDS:g} s.") from None
            if page is None:
                return
            yield page
    raise UnexpectedResponseError(
        f"A list has more than {MOST_PAGES:,} pages: its next links seem to have no end."
    )


async def _next(pages: AsyncGenerator[_T, None]) -> _T | None:
    return await anext(pages, None)


async def within(seconds: float, work: Coroutine[Any, Any, _T]) -> _T:
    """Wait for a request's result for this long, beside what it stands in line for the rate limit.

    Before Python 3.12, :func:`asyncio.wait_for` may swallow a cancellation.

    :param work: Sends with a session of :func:`open_session`.
    :raises asyncio.TimeoutError: It took longer.
    """
    watch = _Stopwatch()
    token = _stopwatch.set(watch)
    try:
        task = asyncio.ensure_future(work)
    finally:
        _stopwatch.reset(token)
    try:
        while not task.done() and (left := seconds - watch.seconds()) > 0:
            await asyncio.wait([task], timeout=max(left, _STEP_SECONDS))
        if task.done():
            return task.result()
        raise asyncio.TimeoutError
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # where nobody asks for it, asyncio would log it
