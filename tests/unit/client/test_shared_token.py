"""One token for many: by a fetch that the tests hold back, and a clock that they set."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from planet_provider.client.auth import token_cache as module
from planet_provider.client.auth.token_cache import (
    REFRESH_PAUSE_SECONDS,
    SharedToken,
    Token,
    forget_tokens,
    shared_token,
)
from planet_provider.exceptions import AuthenticationError, TokenUnavailableError


class Fetch:
    """A fetch that waits for ``go``, and counts."""

    def __init__(self, life: float = 1000.0) -> None:
        self.life = life
        self.count = 0
        self.began = threading.Event()
        self.go = threading.Event()
        self.go.set()
        self.error: BaseException | None = None

    def __call__(self) -> Token:
        started = module.time.monotonic()
        self.count += 1
        count = self.count
        self.began.set()
        assert self.go.wait(120)
        if self.error is not None:
            raise self.error
        return Token(value=f"token-{count}", started=started, life=self.life)


@pytest.fixture
def fetch() -> Iterator[Fetch]:
    fetch = Fetch()
    yield fetch
    fetch.go.set()


class Clock:
    def __init__(self) -> None:
        self.now = 5000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def until(condition: object) -> None:
    deadline = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_threads_wait_for_one_fetch(fetch: Fetch) -> None:
    fetch.go.clear()
    shared = SharedToken(fetch)
    with ThreadPoolExecutor(100) as pool:
        waiting = [pool.submit(shared.get) for _ in range(100)]
        assert fetch.began.wait(60)
        fetch.go.set()
        values = {future.result().value for future in waiting}
    assert (values, fetch.count) == ({"token-1"}, 1)


async def test_tasks_wait_for_one_fetch_and_the_loop_goes_on(fetch: Fetch) -> None:
    fetch.go.clear()
    shared = SharedToken(fetch)
    waiting = [asyncio.create_task(shared.aget()) for _ in range(100)]
    ticks = 0
    for _ in range(50):
        await asyncio.sleep(0.002)
        ticks += 1
    assert not any(task.done() for task in waiting)
    fetch.go.set()
    assert {token.value for token in await asyncio.gather(*waiting)} == {"token-1"}
    assert (fetch.count, ticks) == (1, 50)


async def test_threads_and_tasks_wait_for_the_same(fetch: Fetch) -> None:
    fetch.go.clear()
    shared = SharedToken(fetch)
    task = asyncio.create_task(shared.aget())
    thread = asyncio.create_task(asyncio.to_thread(shared.get))
    await asyncio.to_thread(fetch.began.wait, 60)
    fetch.go.set()
    assert [token.value for token in await asyncio.gather(task, thread)] == ["token-1", "token-1"]


async def test_who_is_cancelled_takes_nothing_away(fetch: Fetch) -> None:
    fetch.go.clear()
    shared = SharedToken(fetch)
    first, second = asyncio.create_task(shared.aget()), asyncio.create_task(shared.aget())
    await asyncio.to_thread(fetch.began.wait, 60)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    fetch.go.set()
    assert (await second).value == "token-1"
    assert fetch.count == 1


@pytest.mark.filterwarnings("error")
def test_a_loop_that_is_closed_meanwhile(fetch: Fetch) -> None:
    fetch.go.clear()
    shared = SharedToken(fetch)

    async def give_up() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(shared.aget(), 0.05)

    asyncio.run(give_up())
    fetch.go.set()
    assert shared.get().value == "token-1"
    gc.collect()


class TestTime:
    def test_the_next_is_fetched_at_three_quarters_while_this_one_serves(
        self, fetch: Fetch, clock: Clock
    ) -> None:
        shared = SharedToken(fetch)
        assert shared.get().value == "token-1"
        clock.now += 749
        assert shared.get().value == "token-1"
        assert fetch.count == 1
        fetch.began.clear()
        fetch.go.clear()
        clock.now += 1
        assert shared.get().value == "token-1", "nobody waits for the next"
        assert fetch.began.wait(60)
        assert shared.get().value == "token-1"
        fetch.go.set()
        until(lambda: shared.get().value == "token-2")
        assert fetch.count == 2

    def test_one_that_is_over_is_waited_for(self, fetch: Fetch, clock: Clock) -> None:
        shared = SharedToken(fetch)
        shared.get()
        clock.now += 1000
        assert shared.get().value == "token-2"

    def test_life_counts_from_before_the_request(self, fetch: Fetch, clock: Clock) -> None:
        fetch.go.clear()
        shared = SharedToken(fetch)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(shared.get)
            assert fetch.began.wait(60)
            clock.now += 600
            fetch.go.set()
            token = waiting.result()
        assert token.holds(5999)
        assert not token.holds(6000)

    def test_an_endpoint_that_is_away_disturbs_nobody_before_the_end(
        self, fetch: Fetch, clock: Clock
    ) -> None:
        shared = SharedToken(fetch)
        shared.get()
        fetch.error = TokenUnavailableError("away")
        clock.now += 800
        for _ in range(50):
            assert shared.get().value == "token-1"
        until(lambda: shared._underway is None)
        assert fetch.count == 2, "it is not asked again at once"
        clock.now += REFRESH_PAUSE_SECONDS
        assert shared.get().value == "token-1"
        until(lambda: fetch.count == 3 and shared._underway is None)
        clock.now += 200
        with pytest.raises(TokenUnavailableError, match="away"):
            shared.get()
        fetch.error = None
        assert shared.get().value == "token-5"

    def test_without_an_end(self, fetch: Fetch, clock: Clock) -> None:
        fetch.life = float("inf")
        shared = SharedToken(fetch)
        shared.get()
        clock.now += 1e9
        assert shared.get().value == "token-1"


class TestRefused:
    def test_another_is_fetched_once(self, fetch: Fetch) -> None:
        shared = SharedToken(fetch)
        first = shared.get().value
        with ThreadPoolExecutor(50) as pool:
            values = {token.value for token in pool.map(shared.get, [first] * 50)}
        assert values == {"token-2"}
        assert fetch.count == 2

    def test_who_comes_late_gets_what_is_there(self, fetch: Fetch) -> None:
        shared = SharedToken(fetch)
        first = shared.get().value
        shared.get(first)
        assert shared.get(first).value == "token-2"
        assert fetch.count == 2


class TestErrors:
    def test_all_who_wait_hear_of_it_each_with_one_of_its_own(
        self, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fetch.go.clear()
        fetch.error = AuthenticationError("no", status=401, request="POST /token")
        shared, come = SharedToken(fetch), threading.Semaphore(0)

        def wait_for(underway: Future[Token]) -> bool:
            come.release()
            return real(underway)

        real = module.wait_for
        monkeypatch.setattr(module, "wait_for", wait_for)
        with ThreadPoolExecutor(10) as pool:
            waiting = [pool.submit(shared.get) for _ in range(10)]
            for _ in waiting:  # a caller after the error would fetch again
                assert come.acquire(timeout=60)
            fetch.go.set()
            errors = [future.exception() for future in waiting]
        assert fetch.count == 1
        assert {str(error) for error in errors} == {"no"}
        assert len({id(error) for error in errors}) == 10
        for error in errors:
            assert isinstance(error, AuthenticationError)
            assert (error.status, error.__cause__, error.__context__) == (401, None, None)
            assert "in __call__" not in "".join(traceback.format_exception(error)), "where the secret was"

    async def test_tasks_too(self, fetch: Fetch) -> None:
        fetch.error = TokenUnavailableError("away", retry_after=3.0)
        shared = SharedToken(fetch)
        with pytest.raises(TokenUnavailableError) as caught:
            await shared.aget()
        assert caught.value.retry_after == 3.0

    def test_it_is_not_remembered(self, fetch: Fetch) -> None:
        fetch.error = ValueError("a mistake in the fetch")
        shared = SharedToken(fetch)
        with pytest.raises(ValueError, match="a mistake"):
            shared.get()
        fetch.error = None
        assert shared.get().value == "token-2"

    def test_a_thread_that_can_t_start(self, fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        shared = SharedToken(fetch)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError):
                shared.get()
        assert shared.get().value == "token-1"


def test_one_for_each_key(fetch: Fetch) -> None:
    forget_tokens()
    first = shared_token(("a", "hash"), fetch)
    assert shared_token(("a", "hash"), fetch) is first
    assert shared_token(("a", "another hash"), fetch) is not first
    forget_tokens()
    assert shared_token(("a", "hash"), fetch) is not first
    forget_tokens()


def test_a_token_is_not_shown() -> None:
    assert "hush" not in repr(Token(value="hush", started=0.0))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("held", ["nothing", "a fetch", "the locks"])
def test_a_child_of_a_fork_waits_for_nothing_of_its_parent(fetch: Fetch, held: str) -> None:
    forget_tokens()
    shared = shared_token("key", fetch)
    expected = "token-1"
    with ThreadPoolExecutor(1) as pool:
        if held == "a fetch":
            fetch.go.clear()
            pool.submit(shared.get)
            assert fetch.began.wait(60)
            expected = "token-2"
        elif held == "the locks":
            shared._lock.acquire()
            module._tokens_lock.acquire()
        context = multiprocessing.get_context("fork")
        answers = context.Queue()

        def child() -> None:
            fetch.go.set()
            answers.put(shared_token("key", fetch).get().value)

        process = context.Process(target=child)
        process.start()
        if held == "the locks":
            shared._lock.release()
            module._tokens_lock.release()
        assert answers.get(timeout=120) == expected
        process.join(120)
        fetch.go.set()
    assert process.exitcode == 0
    assert shared.get().value == "token-1", "the parent's goes on"
    forget_tokens()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_of_a_fork_takes_the_token_along(fetch: Fetch) -> None:
    forget_tokens()
    shared_token("key", fetch).get()
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(
        target=lambda: answers.put((shared_token("key", fetch).get().value, fetch.count))
    )
    process.start()
    assert answers.get(timeout=120) == ("token-1", 1)
    process.join(120)
    forget_tokens()
