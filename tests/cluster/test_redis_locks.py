"""Named locks across machines."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from benchmarks.redis_server import RedisServer
from planet_provider.coordination.locks import RedisLocks, open_locks
from planet_provider.coordination.redis_url import redis_client
from planet_provider.exceptions import CoordinationStoreError, LockTimeoutError
from ratelimit_support import Record, processes

pytestmark = [pytest.mark.cluster, pytest.mark.ci]


def test_a_lock_is_held_by_one_at_a_time(redis: RedisServer, tmp_path: Path) -> None:
    record = Record(tmp_path / "held")

    def work(number: int) -> None:
        locks = open_locks(redis.url, "fail")
        for _ in range(5):
            with locks.hold("an order", 150.0):
                record.add(time.monotonic(), number)
                time.sleep(0.01)
                record.add(time.monotonic(), number)

    with processes(6, work):
        pass
    held = [grant.caller for grant in record.grants()]
    assert len(held) == 60
    assert held[::2] == held[1::2], "somebody came in between"


def test_waiting_is_bounded(redis: RedisServer) -> None:
    locks = open_locks(redis.url, "fail")
    with locks.hold("an order", 1.0), pytest.raises(LockTimeoutError), locks.hold("an order", 0.3):
        pass
    with locks.hold("an order", 0.3):
        pass


def test_a_holder_is_renewed_and_a_killed_one_expires(redis: RedisServer) -> None:
    locks = RedisLocks(
        redis_client(redis.url), redis.url, None, ttl=5.0
    )  # a busy machine may stop the holder for three of them
    ready, done = os.pipe()
    pid = os.fork()
    if not pid:
        with locks.hold("an order", 1.0):
            os.write(done, b"x")
            time.sleep(60)
        os._exit(1)
    assert os.read(ready, 1) == b"x"
    with pytest.raises(LockTimeoutError), locks.hold("an order", 7.0):
        pass
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with locks.hold("an order", 60.0):
        pass


def test_a_lock_that_was_lost_is_noticed_and_not_taken_from_its_new_holder(redis: RedisServer) -> None:
    locks = open_locks(redis.url, "fail")
    client = redis_client(redis.url)
    with locks.hold("an order", 1.0) as held:
        held.check()
        client.flushall()
        with pytest.raises(LockTimeoutError, match="lost"):
            held.check()
        with locks.hold("an order", 1.0) as new:
            new.check()
    assert not client.keys("*")


def test_a_late_release_leaves_the_new_holder_alone(redis: RedisServer) -> None:
    locks = open_locks(redis.url, "fail")
    client = redis_client(redis.url)
    first = locks.hold("an order", 1.0)
    first.__enter__()
    client.flushall()
    with locks.hold("an order", 1.0) as new:
        first.__exit__(None, None, None)
        new.check()


def test_while_redis_is_away_it_holds_for_the_machine(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    redis.kill()
    locks = open_locks(redis.url, 0.1)
    with locks.hold("an order", 1.0) as held:
        held.check()
        with pytest.raises(LockTimeoutError), locks.hold("an order", 0.1):
            pass
    assert "this machine only" in caplog.text
    with pytest.raises(CoordinationStoreError), open_locks(redis.url, "fail").hold("an order", 0.1):
        pass
