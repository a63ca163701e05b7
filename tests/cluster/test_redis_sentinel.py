"""A Redis that sentinels watch: its master is found, and found again after a failover."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.redis_server import RedisServer
from planet_provider.coordination.open import open_store
from planet_provider.coordination.redis_url import redis_client
from planet_provider.exceptions import CoordinationStoreError

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

FAILOVER_SECONDS = 120.0


@pytest.fixture
def replica(redis: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path, "--replicaof", "127.0.0.1", str(redis.port))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def sentinel(redis: RedisServer, replica: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    settings = tmp_path / "sentinel.conf"
    settings.write_text(
        f"sentinel monitor planet 127.0.0.1 {redis.port} 1\n"
        "sentinel down-after-milliseconds planet 4000\n"
        "sentinel failover-timeout planet 3000\n"
    )
    master = redis_client(redis.url)
    wait_for(lambda: master.info("replication")["connected_slaves"] == 1, "no replica")
    server = RedisServer(tmp_path, str(settings), "--sentinel")
    server.start()
    yield server
    server.kill()


def wait_for(condition: object, what: str) -> None:
    deadline = time.monotonic() + FAILOVER_SECONDS
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_the_master_is_found_and_found_again_after_a_failover(
    redis: RedisServer, replica: RedisServer, sentinel: RedisServer
) -> None:
    store = open_store(f"redis+sentinel://127.0.0.1:{sentinel.port}/planet/0", "fail")
    slot = store.reserve("key", 100.0, 600.0)
    assert slot.wait_seconds == 0
    watcher = redis_client(f"redis://127.0.0.1:{sentinel.port}/0")
    wait_for(lambda: watcher.sentinel_master("planet")["num-slaves"] == 1, "the replica is not known")
    wait_for(lambda: redis_client(replica.url).exists("planet-rate-limit:key"), "not replicated")
    redis.kill()

    def works() -> bool:
        try:
            return store.until("key", slot) is not None
        except CoordinationStoreError:
            return False

    wait_for(works, "no failover")
    assert store.reserve("key", 100.0, 600.0).wait_seconds > 30, "the queue was lost"


def test_a_service_that_nobody_knows_is_named(sentinel: RedisServer) -> None:
    store = open_store(f"redis+sentinel://127.0.0.1:{sentinel.port}/other", "fail")
    with pytest.raises(CoordinationStoreError, match="other"):
        store.reserve("key", 1.0, 60.0)
