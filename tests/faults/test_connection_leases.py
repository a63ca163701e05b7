"""What holds a request up is met before it takes a slot, and whatever befalls it, it gives back what it held."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest

from client_support import config_of, order_request
from gate import gate_to
from planet_provider.client.api import orders
from planet_provider.client.auth.credentials import OAuthClient
from planet_provider.client.auth.token_cache import forget_tokens
from planet_provider.client.config import PlanetConfig
from planet_provider.client.http import transport
from planet_provider.client.http.session import AsyncPlanetSession, PlanetSession
from planet_provider.coordination.interrupt import interrupted_by
from planet_provider.coordination.limiter import RateLimiter
from planet_provider.coordination.memory_store import MemoryStore
from planet_provider.coordination.queue import queue_of
from planet_provider.coordination.store import Reservation
from planet_provider.exceptions import PlanetError, RateLimitError, RateLimitQueueError
from planet_provider.sandbox import Fault, Sandbox
from planet_provider.sandbox.auth import TOKEN_PATH

pytestmark = pytest.mark.planet_sandbox(
    rate_limits=False, scene_pixels=64, queued_seconds=0, running_seconds=0
)

CLASS = "orders.stats"
DOWNLOAD = "orders.download"
#: Seconds that nothing here takes; a test that needs them has failed.
LONG = 120.0


class CountingStore(MemoryStore):
    """Counts the slots that were taken, and notes what was slowed down."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0
        self.held: list[str] = []

    def reserve(self, key: str, interval: float, max_wait: float) -> Reservation:
        self.taken += 1
        return super().reserve(key, interval, max_wait)

    def hold(self, key: str, seconds: float | None, age: float) -> None:
        self.held.append(key)
        super().hold(key, seconds, age)


def limiter(config: PlanetConfig, store: MemoryStore) -> RateLimiter:
    return RateLimiter(store, config.identity, config.rate_limits, config.max_queue_seconds)


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def under_way(session: PlanetSession | AsyncPlanetSession) -> int:
    return len(session._connections.inside)


class Crowd:
    """Requests of one session that are sent at once, in threads or in an event loop of another thread."""

    def __init__(self, kind: str, config: PlanetConfig, store: MemoryStore) -> None:
        self._kind = kind
        self._config = config
        self._limits = limiter(config, store)
        self._pool = ThreadPoolExecutor(32)
        self._line = queue_of(store, self._limits.key(CLASS))

    def send(self, count: int) -> Future[Any]:
        run = self._in_threads if self._kind == "sync" else lambda count: asyncio.run(self._in_a_loop(count))
        return self._pool.submit(run, count)

    def waiting(self) -> int:
        return len(self._line.tickets)

    def _in_threads(self, count: int) -> list[Any]:
        with PlanetSession(self._config, limiter=self._limits) as session, ThreadPoolExecutor(count) as pool:
            return list(pool.map(lambda _: session.send(orders.stats()), range(count)))

    async def _in_a_loop(self, count: int) -> list[Any]:
        async with AsyncPlanetSession(self._config, limiter=self._limits) as session:
            return await asyncio.gather(*(session.send(orders.stats()) for _ in range(count)))


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


def test_who_waits_for_a_connection_holds_no_slot(
    planet_sandbox: Sandbox, store: CountingStore, kind: str
) -> None:
    with gate_to(planet_sandbox.url) as gate:
        crowd = Crowd(kind, config_of(planet_sandbox, base_url=gate.url, max_connections=2), store)
        sent = crowd.send(8)
        wait_until(lambda: gate.arrived == 2 and crowd.waiting() == 6)
        assert store.taken == 2
        gate.open()
        assert len(sent.result(LONG)) == 8
        assert not gate.gave_up
    assert store.taken == 8
    assert not crowd.waiting()


def test_sessions_of_an_account_have_so_many_under_way_together(
    planet_sandbox: Sandbox, store: CountingStore
) -> None:
    with gate_to(planet_sandbox.url) as gate:
        config = config_of(planet_sandbox, base_url=gate.url, max_connections=3)
        crowds = [Crowd(kind, config, store) for kind in ("sync", "async")]
        sent = [crowd.send(5) for crowd in crowds]
        wait_until(lambda: gate.arrived == 3 and crowds[0].waiting() == 7)
        assert store.taken == 3
        gate.open()
        assert [len(each.result(LONG)) for each in sent] == [5, 5]


def test_a_class_that_stands_still_leaves_permits_to_others(
    planet_sandbox: Sandbox, store: CountingStore
) -> None:
    config = config_of(planet_sandbox, max_connections=2, max_queue_seconds=4000.0)
    limits = limiter(config, store)
    limits.pause(CLASS, 3000.0, 0.0)
    with PlanetSession(config, limiter=limits) as session:
        queue = queue_of(store, limits.key(CLASS))
        stop = Stopper()

        def wait() -> None:
            with interrupted_by(stop), suppress(StoppedError):
                session.send(orders.stats())

        threads = [threading.Thread(target=wait) for _ in range(6)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(queue.tickets) == 6 and store.taken == 1)
        assert list(session.pages(orders.list_orders())) == [[]]
        stop.stop()
        for thread in threads:
            thread.join(LONG)
        assert not queue.tickets
        assert under_way(session) == 0


class StoppedError(Exception):
    pass


class Stopper:
    """An interrupt; ``seen`` is called at each pause."""

    def __init__(self, seen: Callable[[], None] = lambda: None) -> None:
        self._stopped = threading.Event()
        self._seen = seen

    def stop(self) -> None:
        self._stopped.set()

    def check(self) -> None:
        if self._stopped.is_set():
            raise StoppedError

    def pause(self, seconds: float) -> None:
        self._seen()
        if self._stopped.wait(seconds):
            raise StoppedError


@contextmanager
def narrow(sandbox: Sandbox, **settings: Any) -> Iterator[PlanetSession]:
    """Open a session that has one request under way at most."""
    config = config_of(sandbox, **{"max_connections": 1, **settings})
    with PlanetSession(config, limiter=limiter(config, MemoryStore())) as session:
        yield session
        assert under_way(session) == 0


def elsewhere(do: Callable[[], Any]) -> Future[Any]:
    """Begin something in another thread."""
    result: Future[Any] = Future()

    def run() -> None:
        try:
            result.set_result(do())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result


@pytest.fixture
def link(planet_sandbox: Sandbox) -> str:
    """Where an order's image is."""
    with narrow(planet_sandbox) as session:
        order = session.send(orders.create(order_request(session)))
        results = session.send(orders.get(order["id"]))["_links"]["results"]
    return str(next(result["location"] for result in results if result["name"].endswith("udm2.tif")))


def test_a_body_counts_until_it_is_closed(planet_sandbox: Sandbox, link: str) -> None:
    with narrow(planet_sandbox) as session:
        with session.open(link, rate_class=DOWNLOAD) as response:
            other = elsewhere(lambda: session.send(orders.stats()))
            wait_until(lambda: len(session._connections.waiting) == 1)
            assert not other.done()
            response.close()
            other.result(LONG)
        with session.open(link, rate_class=DOWNLOAD) as response:
            assert b"".join(response.iter_raw())
            elsewhere(lambda: session.send(orders.stats())).result(LONG)


def test_a_body_that_is_read_past_httpx_counts_until_it_is_closed(planet_sandbox: Sandbox, link: str) -> None:
    content = httpx.get(link, follow_redirects=True).content
    with narrow(planet_sandbox) as session, session.open(link, rate_class=DOWNLOAD) as response:
        first = next(response.iter_raw())
        stream = transport.stream_of(response)
        assert stream is not None
        if len(first) < len(content):
            assert transport.read_body(stream, memoryview(bytearray(10)), response)
        assert under_way(session) == 1
        response.close()
        assert under_way(session) == 0


def test_threads_that_close_one_answer_and_open_the_next_do_not_wait_for_each_other(
    planet_sandbox: Sandbox, link: str
) -> None:
    with narrow(planet_sandbox, max_connections=4) as session:
        all_open = threading.Barrier(4)

        def one_in_the_others_block(_: int) -> int:
            with session.open(link, rate_class=DOWNLOAD) as first:
                all_open.wait(LONG)
                first.close()
                with session.open(link, rate_class=DOWNLOAD) as second:
                    return len(second.read())

        with ThreadPoolExecutor(4) as pool:
            sizes = list(pool.map(one_in_the_others_block, range(4)))
    assert sizes == [sizes[0]] * 4


@pytest.mark.parametrize("status", [400, 401, 404, 409, 429, 500, 302])
def test_no_answer_keeps_a_permit(planet_sandbox: Sandbox, link: str, status: int) -> None:
    planet_sandbox.faults.add(Fault(kind="status", status=status, times=None))
    with narrow(planet_sandbox, max_attempts=2) as session:
        with pytest.raises(PlanetError):
            session.send(orders.stats())
        assert under_way(session) == 0
        with pytest.raises(PlanetError), session.open(link, rate_class=DOWNLOAD):
            pass
        assert under_way(session) == 0
        with pytest.raises(PlanetError), session.open(link, rate_class=None):
            pass


@pytest.mark.parametrize("kind", ["drop", "drop_after"])
@pytest.mark.parametrize("origin", ["api", "storage"])
def test_no_lost_answer_keeps_a_permit(planet_sandbox: Sandbox, link: str, kind: Any, origin: Any) -> None:
    planet_sandbox.faults.add(Fault(kind=kind, origin=origin, times=None))
    with (
        narrow(planet_sandbox, max_attempts=2) as session,
        pytest.raises(PlanetError),
        session.open(link, rate_class=DOWNLOAD),
    ):
        pass


def test_nobody_holds_a_permit_between_two_attempts(planet_sandbox: Sandbox, link: str) -> None:
    planet_sandbox.faults.add(Fault(kind="status", status=503, times=4))
    seen: list[int] = []
    with (
        narrow(planet_sandbox) as session,
        interrupted_by(Stopper(lambda: seen.append(under_way(session)))),
        session.open(link, rate_class=DOWNLOAD),
    ):
        pass
    assert seen == [0] * 4


def test_ctrl_c_keeps_no_permit(planet_sandbox: Sandbox, link: str) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with narrow(planet_sandbox) as session:
        with pytest.raises(KeyboardInterrupt):
            session.send(orders.stats(), before_attempt=interrupt)
        assert under_way(session) == 0
        with pytest.raises(KeyboardInterrupt), session.open(link, rate_class=DOWNLOAD):
            interrupt()


def test_a_permit_is_not_waited_for_longer_than_a_slot(planet_sandbox: Sandbox, link: str) -> None:
    with (
        narrow(planet_sandbox, max_queue_seconds=0.2) as session,
        session.open(link, rate_class=DOWNLOAD),
    ):
        for rate_class in (DOWNLOAD, None):
            waiting = elsewhere(session.open(link, rate_class=rate_class).__enter__)
            with pytest.raises(RateLimitQueueError, match="max_connections is 1"):
                waiting.result(LONG)


def test_a_429_of_the_storage_slows_nobody_else_down(planet_sandbox: Sandbox, link: str) -> None:
    planet_sandbox.faults.add(
        Fault(kind="status", origin="storage", status=429, headers={"Retry-After": "0"}, times=1)
    )
    store = CountingStore()
    config = config_of(planet_sandbox)
    limits = limiter(config, store)
    with PlanetSession(config, limiter=limits) as session, session.open(link, rate_class=DOWNLOAD):
        pass
    assert store.held == []
    planet_sandbox.faults.add(Fault(kind="status", origin="api", status=429, times=1))
    with (
        PlanetSession(config_of(planet_sandbox, max_attempts=1), limiter=limits) as session,
        pytest.raises(RateLimitError),
        session.open(link, rate_class=DOWNLOAD),
    ):
        pass
    assert store.held == [limits.key(DOWNLOAD)]


@pytest.fixture
def oauth() -> Iterator[Callable[..., PlanetConfig]]:
    def config(sandbox: Sandbox, token_origin: str, **settings: Any) -> PlanetConfig:
        client = OAuthClient(
            client_id=sandbox.config.oauth_client_id,
            client_secret=sandbox.config.oauth_client_secret,
            token_url=f"{token_origin}{TOKEN_PATH}",
        )
        return config_of(sandbox, **{"api_key": "", "oauth": client, **settings})

    forget_tokens()
    yield config
    forget_tokens()


def test_who_waits_for_a_token_holds_no_slot(
    planet_sandbox: Sandbox, store: CountingStore, kind: str, oauth: Callable[..., PlanetConfig]
) -> None:
    with gate_to(planet_sandbox.url) as gate:
        crowd = Crowd(kind, oauth(planet_sandbox, gate.url), store)
        sent = crowd.send(6)
        wait_until(lambda: gate.arrived == 1)
        # All of them could have got their slots long ago.
        with suppress(TimeoutError):
            sent.exception(1.0)
        assert store.taken == 0
        gate.open()
        assert len(sent.result(LONG)) == 6
        assert not gate.gave_up
    assert store.taken == 6


def test_a_request_that_is_sent_again_with_another_token_takes_another_slot(
    planet_sandbox: Sandbox, store: CountingStore, kind: str, oauth: Callable[..., PlanetConfig]
) -> None:
    crowd = Crowd(kind, oauth(planet_sandbox, planet_sandbox.url), store)
    crowd.send(1).result(LONG)
    planet_sandbox.revoke_tokens()
    crowd.send(4).result(LONG)
    asked = [request.status for request in planet_sandbox.requests if request.path != TOKEN_PATH]
    assert asked.count(401) >= 1
    assert store.taken == len(asked)
    assert asked.count(200) == 5


def test_a_thread_that_waits_for_a_token_can_be_stopped(
    planet_sandbox: Sandbox, oauth: Callable[..., PlanetConfig]
) -> None:
    stop = Stopper()
    stop.stop()
    with gate_to(planet_sandbox.url) as gate:
        config = oauth(planet_sandbox, gate.url, max_connections=1)
        with PlanetSession(config, limiter=limiter(config, MemoryStore())) as session:
            with interrupted_by(stop), pytest.raises(StoppedError):
                session.send(orders.stats())
            assert not gate.gave_up
            assert under_way(session) == 0
