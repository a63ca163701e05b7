"""Whether an idle thread may help: by what a connection brings while it is read, not by what else takes time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from planet_provider.transfer.download import pool as crew_module
from planet_provider.transfer.download.pool import (
    FAST,
    SLOW,
    DownloadPool,
    Ranges,
)
from planet_provider.transfer.progress import TransferProgress
from ratelimit_support import Clock

#: Longer than speed is measured over.
SPAN = 0.2


class HelpedError(Exception):
    pass


class IdleError(Exception):
    pass


class Shared:
    """A file that always wants help, and ends the thread that gives it."""

    def wants_help(self) -> int:
        return 1 << 30

    def help(self) -> None:
        raise HelpedError


class Impatient(TransferProgress):
    """Ends the thread that finds nothing to do."""

    def pause(self, seconds: float) -> None:
        raise IdleError


def helps(pool: DownloadPool) -> bool:
    """Return whether an idle thread finds a file to help with now."""
    try:
        pool.help()
    except HelpedError:
        return True
    except IdleError:
        return False
    raise AssertionError("the thread ended by itself")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(crew_module.time, "monotonic", clock)
    return clock


def joins(clock: Clock, seconds: Callable[[DownloadPool, TransferProgress], None]) -> bool:
    """Return whether a thread may join after some time in which one connection is read."""
    watch = Impatient()
    pool = DownloadPool(watch, 4, 1, Ranges())
    with pool.reading(), pool.sharing(Shared()):
        clock.advance(0.01)
        seconds(pool, watch)
        return helps(pool)


def test_a_connection_that_brings_little_gets_help(clock: Clock) -> None:
    def slow(pool: DownloadPool, watch: TransferProgress) -> None:
        clock.advance(SPAN)
        watch.moved(int(SLOW * SPAN / 2))

    assert joins(clock, slow)


def test_a_fast_one_gets_none(clock: Clock) -> None:
    def fast(pool: DownloadPool, watch: TransferProgress) -> None:
        clock.advance(SPAN)
        watch.moved(int(2 * FAST * SPAN))

    assert not joins(clock, fast)


def test_a_fast_one_that_waits_for_the_store_gets_none(clock: Clock) -> None:
    def held_up(pool: DownloadPool, watch: TransferProgress) -> None:
        clock.advance(SPAN / 2)
        watch.moved(int(FAST * SPAN))
        with pool.writing():
            clock.advance(1.5 * SPAN)

    assert not joins(clock, held_up)


def test_nor_does_one_whose_store_takes_nothing_at_the_moment(clock: Clock) -> None:
    def stuck(pool: DownloadPool, watch: TransferProgress) -> None:
        with pool.writing():
            for _ in range(10):
                clock.advance(SPAN)
                assert not helps(pool)

    assert not joins(clock, stuck)


def test_a_slow_one_gets_help_though_it_also_writes(clock: Clock) -> None:
    def slow(pool: DownloadPool, watch: TransferProgress) -> None:
        clock.advance(SPAN / 2)
        watch.moved(int(SLOW * SPAN / 4))
        with pool.writing():
            clock.advance(SPAN / 2)

    assert joins(clock, slow)


def test_no_more_join_than_there_are_connections(clock: Clock) -> None:
    pool = DownloadPool(Impatient(), 1, 1, Ranges())
    with pool.reading(), pool.sharing(Shared()):
        clock.advance(SPAN)
        assert not helps(pool)
