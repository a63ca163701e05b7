"""What callers see of a rate limit, and what they see when its store goes away."""

from __future__ import annotations

import asyncio
import logging
import socket
import stat
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from planet_provider.client.config import PlanetConfig
from planet_provider.coordination.fallback import RETRY_SECONDS, FallbackStore
from planet_provider.coordination.file_store import FileStore
from planet_provider.coordination.limiter import LOOK_AGAIN_SECONDS, RateLimiter
from planet_provider.coordination.memory_store import MemoryStore
from planet_provider.coordination.open import local_directory, open_store, store_directory
from planet_provider.coordination.redis_url import check_redis_url, redis_label
from planet_provider.coordination.store import RateStore, Reservation
from planet_provider.exceptions import ConfigurationError, CoordinationStoreError, RateLimitQueueError
from ratelimit_support import CREDENTIAL, RATE_CLASS, Clock, take


def limiter(store: object, rate: float = 2.0, max_queue: float = 600.0) -> RateLimiter:
    return RateLimiter(store, CREDENTIAL, {RATE_CLASS: rate, "orders.get": rate}, max_queue)  # type: ignore[arg-type]


def test_a_waiter_looks_again_and_goes_when_its_slot_is_reached() -> None:
    clock = Clock()
    limits = limiter(MemoryStore(clock))
    assert list(limits.waits(RATE_CLASS)) == []
    waits = limits.waits(RATE_CLASS)
    assert next(waits) == pytest.approx(0.5)
    clock.advance(0.5)
    assert list(waits) == []


def test_a_pause_holds_back_who_waits_already_and_keeps_the_order() -> None:
    clock = Clock()
    limits = limiter(MemoryStore(clock))
    list(limits.waits(RATE_CLASS))
    first, second = limits.waits(RATE_CLASS), limits.waits(RATE_CLASS)
    next(first), next(second)
    limits.pause(RATE_CLASS, 5.0, 0.0)
    latecomer = limits.waits(RATE_CLASS)
    third = next(latecomer)
    clock.advance(0.5)
    waits = [next(first), next(second), third - 0.5]
    assert waits[0] > 5.0
    assert waits == sorted(waits)
    clock.advance(waits[0])
    assert list(first) == []
    assert next(second) == pytest.approx(waits[1] - waits[0])


def test_long_waits_are_cut_up_to_look_again() -> None:
    clock = Clock()
    limits = limiter(MemoryStore(clock), rate=0.01)
    list(limits.waits(RATE_CLASS))
    waits = limits.waits(RATE_CLASS)
    total = 0.0
    for seconds in waits:
        assert seconds <= LOOK_AGAIN_SECONDS
        total += seconds
        clock.advance(seconds)
    assert total == pytest.approx(100.0)


def test_the_queue_is_bounded_and_refuses_at_once() -> None:
    clock = Clock()
    limits = limiter(MemoryStore(clock), max_queue=2.0)
    waiting = [limits.waits(RATE_CLASS) for _ in range(5)]
    for each in waiting:
        next(each, None)
    with pytest.raises(RateLimitQueueError, match="max_queue_seconds is 2") as caught:
        next(limits.waits(RATE_CLASS))
    assert caught.value.rate_class == RATE_CLASS
    assert caught.value.wait_seconds == pytest.approx(2.5)
    clock.advance(0.5)
    assert next(limits.waits(RATE_CLASS)) == pytest.approx(2.0)


def test_a_long_pause_also_refuses_who_waits_already() -> None:
    clock = Clock()
    limits = limiter(MemoryStore(clock), max_queue=60.0)
    list(limits.waits(RATE_CLASS))
    waits = limits.waits(RATE_CLASS)
    next(waits)
    limits.pause(RATE_CLASS, 3000.0, 0.0)
    with pytest.raises(RateLimitQueueError):
        next(waits)


def test_polling_does_not_hold_back_placing_orders() -> None:
    limits = limiter(MemoryStore(Clock()))
    for _ in range(20):
        next(limits.waits("orders.get"), None)
    assert list(limits.waits(RATE_CLASS)) == []


def test_accounts_do_not_share_and_the_credential_is_not_kept(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    for credential in (CREDENTIAL, "PLAK-another"):
        limits = RateLimiter(store, credential, {RATE_CLASS: 0.1}, 60.0)
        assert list(limits.waits(RATE_CLASS)) == []
        assert credential not in repr(vars(limits))
    assert len(list(tmp_path.iterdir())) == 2
    assert not any("PLAK" in path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_tasks_and_threads_share_one_line(kind: str, tmp_path: Path) -> None:
    store = MemoryStore() if kind == "memory" else FileStore(tmp_path)
    limits = limiter(store, rate=50.0)
    times: list[float] = []
    started = time.monotonic()

    async def task() -> None:
        async for seconds in limits.awaits(RATE_CLASS):
            await asyncio.sleep(seconds)
        times.append(time.monotonic())

    thread = threading.Thread(target=lambda: times.extend(take(limits) for _ in range(10)))
    thread.start()
    await asyncio.gather(*(task() for _ in range(10)))
    await asyncio.to_thread(thread.join)
    assert len(times) == 20
    assert max(times) - started >= 19 / 50 - 0.05


async def test_errors_reach_async_callers() -> None:
    limits = limiter(Broken())
    with pytest.raises(CoordinationStoreError):
        async for _ in limits.awaits(RATE_CLASS):
            pass
    with pytest.raises(CoordinationStoreError):
        await limits.apause(RATE_CLASS, None, 0.0)


def spacing(store: RateStore) -> float:
    """Return how far apart the first two slots are where they would be ten seconds apart at full rate."""
    first, second = (store.reserve("key", 10.0, 600.0) for _ in range(2))
    assert first.wait_seconds == 0.0
    return second.slot - first.slot


class Broken:
    """A store that can be switched off and on."""

    may_block = True

    def __init__(self, clock: Clock | None = None) -> None:
        self.inner = MemoryStore(clock or Clock())
        self.works = clock is not None
        self.asked = 0

    def _check(self) -> None:
        self.asked += 1
        if not self.works:
            raise CoordinationStoreError("coordination_store=redis://somewhere: gone.")

    def reserve(self, key: str, interval: float, max_wait: float) -> Reservation:
        self._check()
        return self.inner.reserve(key, interval, max_wait)

    def until(self, key: str, reservation: Reservation) -> float | None:
        self._check()
        return self.inner.until(key, reservation)

    def hold(self, key: str, seconds: float | None, age: float) -> None:
        self._check()
        self.inner.hold(key, seconds, age)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def primary(clock: Clock) -> Broken:
    return Broken(clock)


@pytest.fixture
def store(primary: Broken, clock: Clock) -> FallbackStore:
    return FallbackStore(primary, MemoryStore(clock), 0.1, clock=clock)


def test_a_share_of_the_rate_is_used_while_the_store_is_away(
    primary: Broken, store: FallbackStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    limits = limiter(store)
    primary.works = False
    assert list(limits.waits(RATE_CLASS)) == []
    assert next(limits.waits(RATE_CLASS)) == pytest.approx(5.0)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "gone. Until it works again, requests go at 10 % of the configured rates" in caplog.text


def test_a_store_that_is_away_is_not_asked_each_time(
    primary: Broken, store: FallbackStore, clock: Clock
) -> None:
    primary.works = False
    for _ in range(50):
        store.reserve("key", 0.001, 600)
    assert primary.asked == 1
    clock.advance(RETRY_SECONDS)
    for _ in range(50):
        store.reserve("key", 0.001, 600)
    assert primary.asked == 2


def test_it_recovers_by_itself_and_who_waits_queues_anew(
    primary: Broken, store: FallbackStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    limits = limiter(store, rate=2.0)
    primary.works = False
    list(limits.waits(RATE_CLASS))
    waits = limits.waits(RATE_CLASS)
    assert next(waits) == pytest.approx(5.0)
    primary.works = True
    primary.inner.reserve(limits.key(RATE_CLASS), 1.0, 60.0)
    clock.advance(5.0)
    primary.inner.reserve(limits.key(RATE_CLASS), 1.0, 60.0)
    assert next(waits) == pytest.approx(1.0)
    assert "works again" in caplog.text


def test_a_pause_that_was_asked_for_while_the_store_was_away_holds_for_all_when_it_is_back(
    primary: Broken, store: FallbackStore, clock: Clock
) -> None:
    primary.works = False
    store.hold("key", 60.0, 0.1)
    store.hold("key", 20.0, 0.1)
    store.hold("other", None, 0.1)
    assert store.reserve("key", 1.0, 600.0).wait_seconds == pytest.approx(60.0)
    clock.advance(RETRY_SECONDS)
    store.reserve("key", 1.0, 600.0)  # it is still away
    primary.works = True
    clock.advance(RETRY_SECONDS)
    assert store.reserve("key", 1.0, 600.0).wait_seconds == pytest.approx(60.0 - 2 * RETRY_SECONDS)
    # Anybody else who shares it, of either class; and it was told once.
    assert primary.inner.reserve("key", 1.0, 600.0).wait_seconds > 50.0
    assert primary.inner.reserve("other", 1.0, 600.0).wait_seconds > 0.0
    asked = primary.asked
    store.reserve("key", 1.0, 600.0)
    assert primary.asked == asked + 1


def test_who_waited_when_the_store_went_queues_in_the_share(
    primary: Broken, store: FallbackStore, clock: Clock
) -> None:
    limits = limiter(store, rate=2.0)
    list(limits.waits(RATE_CLASS))
    first, second = limits.waits(RATE_CLASS), limits.waits(RATE_CLASS)
    next(first), next(second)
    primary.works = False
    clock.advance(1.0)
    assert list(first) == []
    assert next(second) == pytest.approx(5.0)


def test_a_429_counts_while_the_store_is_away(primary: Broken, store: FallbackStore) -> None:
    primary.works = False
    store.hold("key", 7.0, 0.0)
    assert store.reserve("key", 1.0, 60.0).wait_seconds == pytest.approx(7.0)


def test_an_unusable_folder_leaves_the_machine_its_share(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "file").touch()
    store = open_store(f"file://{tmp_path}/file", 0.25)
    assert spacing(store) == pytest.approx(40.0)
    assert "25 %" in caplog.text


def test_the_log_tells_the_rates_of_the_fallback_of_the_fallback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither folder can be used: then each process has the share, and not the whole rate."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "file").touch()
    Path(local_directory()).touch()
    store = open_store(f"file://{tmp_path}/file", 0.1)
    assert spacing(store) == pytest.approx(100.0)
    outer, inner = caplog.messages
    assert f"coordination_store=file://{tmp_path}/file: " in outer
    assert "Set the extra coordination_store of the Planet connection" in outer
    assert "requests go at 10 % of the configured rates from this machine." in outer
    assert f"stands in for coordination_store, file://{local_directory()}: " in inner
    assert "set TMPDIR" in inner
    assert "requests go at 10 % of the configured rates from each process." in inner


@pytest.mark.parametrize("of", [1.0, 0.1])
def test_the_log_tells_the_rates_when_a_store_works_again(
    primary: Broken, clock: Clock, caplog: pytest.LogCaptureFixture, of: float
) -> None:
    store = FallbackStore(primary, MemoryStore(clock), 1.0, of=of, name="redis://host", clock=clock)
    primary.works = False
    store.reserve("key", 1.0, 60.0)
    primary.works = True
    clock.advance(RETRY_SECONDS)
    store.reserve("key", 1.0, 60.0)
    assert caplog.messages[-1] == (
        f"redis://host works again: requests go at {100 * of:g} % of the configured rates."
    )


def test_with_fail_there_is_no_fallback(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CoordinationStoreError):
        open_store(f"file://{tmp_path}/file", "fail").reserve("key", 1.0, 60.0)


def test_a_process_has_one_store_a_url(tmp_path: Path) -> None:
    assert open_store(f"file://{tmp_path}", 0.1) is open_store(f"file://{tmp_path}", 0.1)
    assert open_store("memory://", 0.1) is open_store("memory://", "fail")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "slots",
        "ftp://x",
        "file://",
        "file:///",
        "file://relative/path",
        "file:///a?b=c",
        "redis://",
        "redis://host:port",
        "redis+sentinel://host",
        "redis+sentinel://host:x/service",
        "redis+sentinel://,b/service",
        "redis+sentinel://host/service/x",
    ],
)
def test_a_wrong_url_is_refused_with_the_configuration(url: str) -> None:
    with pytest.raises(ConfigurationError, match="coordination_store"):
        PlanetConfig(api_key=CREDENTIAL, coordination_store=url)


@pytest.mark.parametrize("fallback", [0, -0.1, 1.5, "yes", True, None, float("nan")])
def test_a_wrong_fallback_is_refused(fallback: object) -> None:
    with pytest.raises(ConfigurationError, match="coordination_fallback"):
        PlanetConfig(api_key=CREDENTIAL, coordination_fallback=fallback)  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["redis://:secret@host:70000/0", "redis+sentinel://u:secret@host"])
def test_no_message_and_no_repr_shows_the_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_redis_url(url)
    assert "secret" not in str(caught.value)
    good = PlanetConfig(api_key=CREDENTIAL, coordination_store="redis://:secret@host/0")
    assert "secret" not in repr(good)
    assert redis_label("redis://u:secret@host:1/0?password=secret") == "redis://host:1/0"


def test_a_path_may_have_blanks() -> None:
    assert store_directory("file:///a%20b/c") == "/a b/c"


def test_without_redis_py_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'airflow-provider-planet\[redis\]'"):
        open_store("redis://127.0.0.1:1/0", 0.1)


def test_a_redis_that_is_not_there_leaves_the_machine_its_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"redis://:sesame@127.0.0.1:{nobody.getsockname()[1]}/0"
        store = open_store(url, 0.5)
        seconds = spacing(store)
        with pytest.raises(CoordinationStoreError, match="127"):
            open_store(url, "fail").reserve("key", 1.0, 60.0)
        sentinel = url.replace("redis://:sesame@", "redis+sentinel://u:sesame@") + "/"
        with pytest.raises(CoordinationStoreError):
            open_store(sentinel.replace("/0/", "/planet/0"), "fail").reserve("key", 1.0, 60.0)
    assert seconds == pytest.approx(20.0)
    assert "50 %" in caplog.text
    assert "sesame" not in caplog.text
    (folder,) = tmp_path.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
