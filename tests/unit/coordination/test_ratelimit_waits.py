"""How long a caller waits, what may end its wait, and where slots come from when their folder can't be used."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from planet_provider.coordination import queue as line_module
from planet_provider.coordination.fallback import FallbackStore
from planet_provider.coordination.file_store import FileStore
from planet_provider.coordination.interrupt import interrupted_by
from planet_provider.coordination.limiter import LOOK_AGAIN_SECONDS, RateLimiter
from planet_provider.coordination.locks import FileLocks
from planet_provider.coordination.memory_store import MemoryStore
from planet_provider.coordination.open import local_directory, open_store
from planet_provider.coordination.queue import PASS_BY_SECONDS, Ticket, queue_of
from planet_provider.coordination.store import Reservation
from planet_provider.exceptions import CoordinationStoreError, RateLimitQueueError
from ratelimit_support import CREDENTIAL, RATE_CLASS, Clock, processes

LONGEST = 60.0


class StoppedError(Exception):
    pass


class Stopped:
    """An interrupt that says stop as soon as it is asked."""

    def check(self) -> None:
        raise StoppedError

    def pause(self, seconds: float) -> None:
        raise StoppedError


def limiter(store: object, clock: Callable[[], float], rate: float = 1.0) -> RateLimiter:
    return RateLimiter(store, CREDENTIAL, {RATE_CLASS: rate}, LONGEST, clock=clock)  # type: ignore[arg-type]


def wait(limits: RateLimiter, clock: Clock, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Wait for a slot, though no longer than twice what may be."""
    for seconds in limits.waits(RATE_CLASS):
        clock.advance(seconds)
        assert clock() - 1000.0 <= 2 * LONGEST
        meanwhile()


class TestBounds:
    def test_pause_after_pause_does_not_make_a_wait_endless(self) -> None:
        clock = Clock()
        limits = limiter(MemoryStore(clock), clock)
        list(limits.waits(RATE_CLASS))

        def pause() -> None:
            limits.pause(RATE_CLASS, 30.0, 0.0)

        with pytest.raises(RateLimitQueueError, match="max_queue_seconds is 60"):
            wait(limits, clock, pause)
        assert 0.0 < clock() - 1000.0 <= LONGEST

    def test_a_store_that_comes_and_goes_does_not_either(self) -> None:
        clock = Clock()

        class Flapping:
            """Each look meets another store, whose queue has grown meanwhile."""

            may_block = True

            def __init__(self) -> None:
                self.stores = [MemoryStore(clock), MemoryStore(clock)]

            def reserve(self, key: str, interval: float, max_wait: float) -> Reservation:
                for _ in range(3):
                    self.stores[0].reserve(key, interval, LONGEST)
                return self.stores[0].reserve(key, interval, max_wait)

            def until(self, key: str, reservation: Reservation) -> float | None:
                self.stores.reverse()
                return self.stores[0].until(key, reservation)

            def hold(self, key: str, seconds: float | None, age: float) -> None:
                """Nothing is refused here."""

        with pytest.raises(RateLimitQueueError):
            wait(limiter(Flapping(), clock, rate=0.2), clock)
        assert 0.0 < clock() - 1000.0 <= LONGEST

    def test_a_slot_at_the_very_end_is_waited_for(self) -> None:
        clock = Clock()
        limits = limiter(MemoryStore(clock), clock)
        limits.pause(RATE_CLASS, LONGEST, 0.0)
        for seconds in limits.waits(RATE_CLASS):
            clock.advance(seconds)
        assert clock() == pytest.approx(1000.0 + LONGEST)

    def test_what_a_caller_waits_for_beside_its_slot_counts(self) -> None:
        clock = Clock()
        limits = limiter(MemoryStore(clock), clock)
        limits.pause(RATE_CLASS, 30.0, 0.0)
        left: list[float] = []

        def ready(seconds: float) -> None:
            left.append(seconds)
            clock.advance(45.0)
            limits.pause(RATE_CLASS, 30.0, 0.0)

        with pytest.raises(RateLimitQueueError):
            limits.acquire(RATE_CLASS, ready)
        assert left == [LONGEST]


class TestInterrupts:
    def test_end_the_wait_for_a_slot(self) -> None:
        clock = Clock()
        limits = limiter(MemoryStore(clock), clock)
        limits.pause(RATE_CLASS, 5.0, 0.0)
        with interrupted_by(Stopped()), pytest.raises(StoppedError):
            limits.acquire(RATE_CLASS)
        assert not queue_of(limits.store, limits.key(RATE_CLASS)).tickets

    def test_end_the_wait_in_the_line(self) -> None:
        clock = Clock()
        limits = limiter(MemoryStore(clock), clock)
        queue = queue_of(limits.store, limits.key(RATE_CLASS))
        with Ticket(queue) as first:
            with interrupted_by(Stopped()), pytest.raises(StoppedError):
                limits.acquire(RATE_CLASS)
            assert list(queue.tickets) == [first]


class TestLine:
    def test_a_first_that_looks_again_is_not_passed_by(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = Clock()
        monkeypatch.setattr(line_module.time, "monotonic", clock)
        queue = line_module.FifoQueue()
        first, second = Ticket(queue), Ticket(queue)
        for ticket in (first, second):
            ticket.__enter__()
        for _ in range(3):
            clock.advance(LOOK_AGAIN_SECONDS)
            first.stay()
            queue.pass_by()
        assert not second.called.done()
        clock.advance(PASS_BY_SECONDS)
        queue.pass_by()
        assert second.called.done()

    def test_only_the_first_can_stay(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = Clock()
        monkeypatch.setattr(line_module.time, "monotonic", clock)
        queue = line_module.FifoQueue()
        first, second = Ticket(queue), Ticket(queue)
        for ticket in (first, second):
            ticket.__enter__()
        clock.advance(PASS_BY_SECONDS)
        second.stay()
        queue.pass_by()
        assert second.called.done()


#: What a handler does while the thread that it interrupts holds every lock that a request takes.
SIGNALLED = """
import os, signal, sys
from planet_provider.client.auth import token_cache
from planet_provider.coordination import concurrency
from planet_provider.coordination import queue as queues
from planet_provider.coordination.limiter import RateLimiter
from planet_provider.coordination.memory_store import MemoryStore

store = MemoryStore()
limits = RateLimiter(store, "key", {"orders.cancel": 1000.0}, 60.0)
token = token_cache.shared_token("key", lambda: token_cache.Token(value="x", started=0.0))
leases = concurrency.connection_limiter("account", 1)
queue = queues.queue_of(store, limits.key("orders.cancel"))

def on_kill(*_):
    token._look("x")
    with concurrency.ConnectionLease(concurrency.connection_limiter("account", 1)) as lease:
        limits.acquire("orders.cancel", lambda seconds: lease.take(seconds, "orders.cancel"))
    print("sent", flush=True)

signal.signal(signal.SIGTERM, on_kill)
with queues._lock, queue._lock, store._lock, token._lock, leases._lock, concurrency._limiters_lock:
    os.kill(os.getpid(), signal.SIGTERM)
    os.getpid()
"""


def test_a_signal_handler_may_send_something_whatever_it_interrupts() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout == "sent\n", done.stderr


class TestUnusableFolders:
    @pytest.fixture(autouse=True)
    def temporary(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Where the machine's own folder will be."""
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        (tmp_path / "file").touch()
        return tmp_path

    def test_the_processes_of_a_machine_share_what_is_left(self, temporary: Path) -> None:
        slots = temporary / "taken"
        slots.touch()

        def work(_: int) -> None:
            store = open_store(f"file://{temporary}/file/slots", 0.1)
            slot = store.reserve("key", 100.0, 1e9).slot
            with slots.open("a") as file:
                file.write(f"{slot}\n")

        with processes(8, work):
            pass
        taken = sorted(map(float, slots.read_text().split()))
        assert len(taken) == 8
        assert [later - sooner for sooner, later in pairwise(taken)] == pytest.approx([1000.0] * 7)

    def test_a_machine_without_any_folder_leaves_each_process_its_share(
        self, temporary: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(temporary / "file"))
        store = open_store(f"file://{temporary}/file/others", 0.5)
        first, second = (store.reserve("a key of this test's", 10.0, 1e9) for _ in range(2))
        assert second.slot - first.slot == pytest.approx(20.0)

    @pytest.mark.parametrize("whose", ["writable", "link", "another user's"])
    def test_a_folder_that_others_may_have_planted_is_not_used(
        self, temporary: Path, whose: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = Path(local_directory())
        if whose == "link":
            (temporary / "elsewhere").mkdir(mode=0o700)
            folder.symlink_to(temporary / "elsewhere")
        else:
            folder.mkdir(mode=0o700)
        if whose == "writable":
            folder.chmod(0o777)
        if whose == "another user's":
            me = os.getuid()
            monkeypatch.setattr(os, "getuid", lambda: me + 1)
        with pytest.raises(CoordinationStoreError, match="no folder of this user's"):
            FileStore(folder, private=True).reserve("key", 1.0, 60.0)
        with (
            pytest.raises(CoordinationStoreError, match="no folder of this user's"),
            FileLocks(str(folder), private=True).hold("name", 1.0),
        ):
            pass
        FileStore(folder).reserve("key", 1.0, 60.0)

    def test_one_s_own_is_used(self) -> None:
        folder = local_directory()
        assert FileStore(folder, private=True).reserve("key", 1.0, 60.0).wait_seconds == 0.0
        with FileLocks(folder, private=True).hold("name", 1.0):
            pass


def test_threads_that_wait_are_woken_by_those_that_go(tmp_path: Path) -> None:
    """The line goes on though each wait in it is cut into looks."""
    store = FallbackStore(FileStore(tmp_path), MemoryStore(), 1.0)
    limits = RateLimiter(store, CREDENTIAL, {RATE_CLASS: 500.0}, 600.0)
    served = []

    def work() -> None:
        for _ in range(20):
            limits.acquire(RATE_CLASS)
            served.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(served) == 160
