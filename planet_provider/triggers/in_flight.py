"""Requests for single things that are under way beside each other, so that a slow one holds up no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterator
from typing import Any


class InFlightRequests:
    """Requests under way, one for a key.

    :param landed: Called whenever one is over.
    """

    def __init__(self, landed: Callable[[], None]) -> None:
        self._landed = landed
        self._tasks: dict[Hashable, asyncio.Task[None]] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._tasks

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._tasks)

    @property
    def has_landed(self) -> bool:
        """Whether there is something to collect."""
        return any(task.done() for task in self._tasks.values())

    def start(self, key: Hashable, work: Coroutine[Any, Any, None]) -> None:
        """Begin a request."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._landed())

    def collect(self) -> None:
        """Forget requests that are over.

        :raises BaseException: What the first of them raised.
        """
        over = {key: task for key, task in self._tasks.items() if task.done()}
        for key in over:
            del self._tasks[key]
        errors = [task.exception() for task in over.values() if not task.cancelled()]
        for error in errors:
            if error is not None:
                raise error

    async def close(self) -> None:
        """Cancel all, and wait for their ends."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.exception()  # nobody will ask for it
