"""A trigger's place at a poller."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Waiter(Generic[V]):
    """A trigger's place at a poller.

    :param key: What it waits for.
    :param poke_interval: Seconds between two looks, at most.
    """

    def __init__(self, key: Hashable, poke_interval: float) -> None:
        self.key = key
        self.poke_interval = poke_interval
        self.joined = asyncio.get_running_loop().time()
        #: Whether the look that :meth:`~planet_provider.triggers.watch.Poller.last_look` asked for is over.
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

    async def next_update(self, until: float | None) -> V | None:
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
