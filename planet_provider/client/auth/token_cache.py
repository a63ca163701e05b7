"""One token for a process: fetched once for all who wait, threads and event loops alike.

A token is fetched in a thread of its own. So an event loop never blocks, and a caller that is cancelled while it
waits, or whose loop is closed, takes nothing away from the others.
"""

from __future__ import annotations

import asyncio
import copy
import math
import os
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn

from planet_provider.coordination.interrupt import wait_for
from planet_provider.exceptions import PlanetError
from planet_provider.known_secrets import remember

#: Share of a token's life after which another is fetched. Source: the official SDK.
REFRESH_SHARE = 0.75

#: Seconds between two attempts to refresh a token that still holds.
REFRESH_PAUSE_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token, with its times by ``time.monotonic()``, so that a wall clock that is set changes nothing.

    :param value: The token. Not shown.
    :param started: When it was asked for.
    :param life: Seconds that it holds from then on.
    :param claims: What it says of its holder, without any secret.
    """

    value: str = field(repr=False)
    started: float
    life: float = math.inf
    claims: Mapping[str, str] = field(default_factory=dict)

    def holds(self, now: float) -> bool:
        """Whether it is not over yet."""
        return now < self.started + self.life

    def is_due(self, now: float) -> bool:
        """Whether it is time to fetch the next."""
        return now >= self.started + self.life * REFRESH_SHARE


class SharedToken:
    """A token that many use.

    Past 3/4 of its life the next is fetched in the background, while this one still serves: a token endpoint
    that is away for a while disturbs nobody.

    :param fetch: Fetches a token; blocks.
    """

    def __init__(self, fetch: Callable[[], Token]) -> None:
        self._fetch = fetch
        self._token: Token | None = None
        self._pause_until = -math.inf
        self.after_fork()

    def after_fork(self) -> None:
        """Forget the threads of the parent process; keep its token."""
        self._lock = threading.RLock()  # a signal handler may ask for it too
        self._underway: Future[Token] | None = None

    def get(self, refused: str | None = None) -> Token:
        """Return the token, and wait for it where there is none, unless an interrupt ends that.

        :param refused: A token that the API answered 401 to: it is not returned, unless fetched again.
        :raises PlanetError: It can't be had.
        """
        found = self._look(refused)
        if isinstance(found, Token):
            return found
        wait_for(found)
        return _outcome(found)

    async def aget(self, refused: str | None = None) -> Token:
        """Do what :meth:`get` does, without blocking the event loop."""
        found = self._look(refused)
        if isinstance(found, Token):
            return found
        await _ended(found)
        return _outcome(found)

    def _look(self, refused: str | None) -> Token | Future[Token]:
        with self._lock:  # never held while waiting
            token, now = self._token, time.monotonic()
            if token is None or token.value == refused or not token.holds(now):
                return self._underway or self._start()
            if token.is_due(now) and now >= self._pause_until and self._underway is None:
                self._start()
            return token

    def _start(self) -> Future[Token]:
        underway: Future[Token] = Future()
        thread = threading.Thread(target=self._run, args=(underway,), name="planet-token", daemon=True)
        thread.start()
        self._underway = underway
        return underway

    def _run(self, underway: Future[Token]) -> None:
        try:
            token = self._fetch()
        except BaseException as error:  # whatever it is, those who wait must hear of it
            with self._lock:
                self._underway = None
                self._pause_until = time.monotonic() + REFRESH_PAUSE_SECONDS
            underway.set_exception(error)
        else:
            remember((token.value,))
            with self._lock:
                self._underway, self._token = None, token
            underway.set_result(token)


def _outcome(underway: Future[Token]) -> Token:
    error = underway.exception()
    if error is not None:
        _raise(error)
    return underway.result()


def _raise(error: BaseException) -> NoReturn:
    # Each who waits raises one of its own: its traceback must not grow with the others', nor lead to where
    # the secret was at hand.
    raise copy.copy(error) if isinstance(error, PlanetError) else error


async def _ended(underway: Future[Token]) -> None:
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def wake() -> None:
        if not ended.done():
            ended.set_result(None)

    def call(_: Future[Token]) -> None:
        with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            loop.call_soon_threadsafe(wake)

    underway.add_done_callback(call)
    await ended


_tokens: dict[Hashable, SharedToken] = {}
_tokens_lock = threading.RLock()


def shared_token(key: Hashable, fetch: Callable[[], Token]) -> SharedToken:
    """Return the process's token for a key.

    :param key: Whose token it is: all that a token depends on, secrets only as their hashes.
    :param fetch: Used where there is none for this key yet.
    """
    with _tokens_lock:
        return _tokens.setdefault(key, SharedToken(fetch))


def forget_tokens() -> None:
    """Drop all tokens of this process; sessions that are open keep theirs."""
    with _tokens_lock:
        _tokens.clear()


def _after_fork() -> None:
    global _tokens_lock  # noqa: PLW0603 - the parent's may be held by a thread that is not here
    _tokens_lock = threading.RLock()
    for token in _tokens.values():
        token.after_fork()


os.register_at_fork(after_in_child=_after_fork)
