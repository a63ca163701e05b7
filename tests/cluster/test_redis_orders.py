"""Orders are placed once, whatever becomes of the Redis that notes them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis as redis_py

from benchmarks.redis_server import RedisServer
from client_support import order_request, session_of
from planet_provider.client.http.session import PlanetSession
from planet_provider.coordination.journal import Record, open_journal
from planet_provider.coordination.redis_url import redis_client
from planet_provider.exceptions import CoordinationStoreError, LockTimeoutError
from planet_provider.ordering.place import place_order
from planet_provider.sandbox import Sandbox

pytestmark = [pytest.mark.cluster, pytest.mark.ci]

#: Seconds of lag, of patience with it, and that a request may be under way.
LAG, PATIENCE, TIMEOUT = 0.6, 0.8, 0.3

Harm = Callable[[RedisServer, redis_py.Redis], object]


def fill(_: RedisServer, client: redis_py.Redis) -> None:
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", "1")


def make_replica(_: RedisServer, client: redis_py.Redis) -> None:
    client.execute_command("REPLICAOF", "127.0.0.1", "9")


def stop(server: RedisServer, _: redis_py.Redis) -> None:
    server.kill()


def flush(_: RedisServer, client: redis_py.Redis) -> None:
    client.flushall()


def restart(server: RedisServer, _: redis_py.Redis) -> None:
    server.kill()
    server.start()


def restart_with_an_older_state(server: RedisServer, client: redis_py.Redis) -> None:
    epoch = client.hgetall("planet-orders")["epoch"]
    restart(server, client)
    client.hset("planet-orders", "epoch", epoch)


@pytest.fixture
def client(redis: RedisServer) -> redis_py.Redis:
    return redis_client(redis.url)


@pytest.fixture
def sandbox(planet_sandbox: Sandbox) -> Sandbox:
    planet_sandbox.reset(rate_limits=False, api_keys=(f"PLAK{uuid.uuid4().hex}",), list_lag_seconds=LAG)
    return planet_sandbox


@pytest.fixture
def session(sandbox: Sandbox, redis: RedisServer) -> Iterator[PlanetSession]:
    with session_of(sandbox, coordination_store=redis.url) as session:
        session.config = replace(session.config, timeout=TIMEOUT)
        yield session


@pytest.fixture
def wanted(session: PlanetSession) -> dict[str, Any]:
    return order_request(session, "weekly", 1)


def place(session: PlanetSession, wanted: dict[str, Any], **options: Any) -> str:
    return place_order(session, wanted, list_consistency_timeout=PATIENCE, **options).order_id


@pytest.mark.parametrize("harm", [fill, make_replica, stop])
@pytest.mark.parametrize("late", [False, True], ids=["before", "while one looks"])
def test_what_can_not_be_noted_is_not_placed(
    sandbox: Sandbox,
    session: PlanetSession,
    redis: RedisServer,
    client: redis_py.Redis,
    wanted: dict[str, Any],
    harm: Harm,
    late: bool,
) -> None:
    if not late:
        harm(redis, client)
    # Where the lock is taken and can't be asked for, it may be lost.
    with pytest.raises(
        (CoordinationStoreError, LockTimeoutError), match=r"extra coordination_store|was lost"
    ):
        place(session, wanted, before_placing=lambda _: harm(redis, client) if late else None)
    assert list(sandbox.orders) == []


@pytest.mark.parametrize("harm", [flush, restart, restart_with_an_older_state])
def test_who_comes_after_the_notes_were_lost_is_patient(
    sandbox: Sandbox,
    session: PlanetSession,
    redis: RedisServer,
    client: redis_py.Redis,
    wanted: dict[str, Any],
    harm: Harm,
) -> None:
    """While the POST of one is under way, the store loses its note and its lock, and a twin comes."""
    real, twins = session.send, []

    def send(call: Any, **options: Any) -> Any:
        answer = real(call, **options)
        if call.rate_class == "orders.create":
            session.send = real  # type: ignore[method-assign]
            harm(redis, client)
            twins.append(place(session, wanted))
        return answer

    session.send = send  # type: ignore[method-assign]
    first = place(session, wanted)
    assert list(sandbox.orders) == [first]
    assert twins == [first]


def test_how_long_it_remembers(redis: RedisServer, client: redis_py.Redis) -> None:
    journal = open_journal(redis.url)
    assert journal.remembers_seconds() == 0.0, "it starts with the first look"
    seconds, _ = client.time()
    run_id = client.info("server")["run_id"]
    client.hset("planet-orders", "epoch", f"{run_id} {seconds - 1000}")
    assert 1000 <= journal.remembers_seconds() < 1100
    for other in (f"{run_id} {seconds + 1000}", f"{run_id} nan", "x", "", f"another {seconds - 1000}"):
        client.hset("planet-orders", "epoch", other)
        assert journal.remembers_seconds() == 0.0, other
        assert client.hget("planet-orders", "epoch").startswith(f"{run_id} "), "it starts again"


def test_records(redis: RedisServer, client: redis_py.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are all in one key, so that one that is lost by itself can't go unnoticed."""
    journal, record = open_journal(redis.url), Record(2_000_000_000.0, str(uuid.uuid4()))
    journal.remembers_seconds()
    journal.write("old", Record(1.0))
    monkeypatch.setattr("planet_provider.coordination.journal.SWEEPS", 1.0)
    journal.write("new", record)
    assert (journal.read("new"), journal.read("old")) == ([record], [])
    assert client.keys("*") == ["planet-orders"]
    assert client.ttl("planet-orders") == -1
    assert journal.remembers_seconds() > 0.0
    journal.write("new", None)
    assert journal.read("new") == []
