"""How a thread that waits can be stopped, whatever it waits for: bytes, a slot, a token, its next try."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

#: Seconds after which a thread that waits for something looks whether it is to stop.
LOOK_SECONDS = 0.25


class Interrupt(Protocol):
    """What may stop a thread that waits."""

    def check(self) -> None:
        """Return if the thread goes on, else raise."""
        ...

    def pause(self, seconds: float) -> None:
        """Wait, or raise as soon as the thread is to stop."""
        ...


_interrupt: ContextVar[Interrupt | None] = ContextVar("planet_interrupt", default=None)
_deadline: ContextVar[float] = ContextVar("planet_deadline", default=math.inf)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let reads of sockets in the block, in this thread, take no longer than this in all."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def seconds_left() -> float:
    """Return the seconds that reads in this thread may take; infinite outside of :func:`within`."""
    deadline = _deadline.get()
    return deadline if deadline == math.inf else deadline - time.monotonic()


@contextmanager
def interrupted_by(interrupt: Interrupt) -> Iterator[None]:
    """Have everything that waits in the block, in this thread, be stopped by an interrupt."""
    token = _interrupt.set(interrupt)
    try:
        yield
    finally:
        _interrupt.reset(token)


def check() -> None:
    """Return if this thread goes on, else raise what its interrupt raises."""
    interrupt = _interrupt.get()
    if interrupt is not None:
        interrupt.check()


def pause(seconds: float) -> None:
    """Sleep, unless an interrupt ends it."""
    interrupt = _interrupt.get()
    if interrupt is None:
        time.sleep(seconds)
    else:
        interrupt.pause(seconds)


def wait_for(future: Future[Any], seconds: float | None = None) -> bool:
    """Wait until a future is done, unless an interrupt ends it.

    :param seconds: Longest wait; by default however long it takes.
    :return: Whether it is done.
    """
    if _interrupt.get() is None:
        wait([future], None if seconds is None else max(0.0, seconds))
        return future.done()
    deadline = math.inf if seconds is None else time.monotonic() + seconds
    while not future.done() and (left := deadline - time.monotonic()) > 0.0:
        wait([future], min(left, LOOK_SECONDS))
        check()
    return future.done()
