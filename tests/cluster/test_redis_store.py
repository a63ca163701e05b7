"""The store in Redis, in a healthy cluster."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import redis as redis_py

from benchmarks.redis_server import RedisServer
from planet_provider.coordination.limiter import RateLimiter
from planet_provider.coordination.open import open_store
from planet_provider.coordination.redis_store import RedisStore
from planet_provider.coordination.redis_url import redis_client
from planet_provider.coordination.slots import (
    EASING,
    MIN_SPEED,
    QUICK_EASING,
    Slots,
)
from planet_provider.coordination.store import Reservation
from planet_provider.exceptions import CoordinationStoreError
from ratelimit_support import CREDENTIAL, RATE_CLASS, Record, start_at_once, take

pytestmark = [pytest.mark.cluster, pytest.mark.ci]

KEY = "planet-rate-limit:key"
FIELDS = ("position", "next_slot", "speed", "pause", "since_cut", "easing")


@pytest.fixture
def client(redis: RedisServer) -> redis_py.Redis:
    return redis_client(redis.url)


@pytest.fixture
def store(redis: RedisServer, client: redis_py.Redis) -> RedisStore:
    return RedisStore(client, redis.url)


def seconds_of(client: redis_py.Redis) -> float:
    whole, micro = client.time()
    return float(whole + micro / 1e6)


def plant(client: redis_py.Redis, slots: Slots, age: float) -> float:
    """Write a state as if the latest look had been some seconds ago, and return when that was."""
    values = {name: repr(getattr(slots, name)) for name in FIELDS}
    looked = seconds_of(client) - age
    client.hset(KEY, mapping={"epoch": "planted", "looked": repr(looked), **values})
    return looked


def advance(client: redis_py.Redis, slots: Slots, since: float) -> None:
    """Let as much time pass as has for the server, by its latest look."""
    slots.advance(float(client.hget(KEY, "looked")) - since)


def assert_same(client: redis_py.Redis, slots: Slots) -> None:
    found = client.hgetall(KEY)
    for name in FIELDS:
        assert float(found[name]) == pytest.approx(getattr(slots, name), abs=0.02), name


@pytest.mark.parametrize("seed", range(40))
def test_the_server_computes_what_the_policy_says(
    store: RedisStore, client: redis_py.Redis, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(10):
        position = chance.uniform(0, 1e5)
        slots = Slots(
            position=position,
            next_slot=position + chance.uniform(-5, 60),
            speed=chance.choice([1.0, chance.uniform(MIN_SPEED, 1)]),
            pause=chance.choice([0.0, chance.uniform(0, 60)]),
            since_cut=chance.uniform(0, 300),
            easing=chance.choice([EASING, QUICK_EASING]),
        )
        age = chance.choice([0.0, chance.uniform(0, 100)])
        planted = plant(client, slots, age)
        operation = chance.choice(["reserve", "reserve", "until", "hold"])
        if operation == "reserve":
            longest = chance.choice([600.0, chance.uniform(0, 60)])
            got = store.reserve("key", 0.5, longest)
            advance(client, slots, planted)
            slot, wait = slots.reserve(0.5, longest)
            # So near to the bound that it is a matter of rounding: either is right.
            if abs(wait - longest) > 0.01:
                assert got.slot == pytest.approx(slot, abs=0.02)
                assert got.wait_seconds == pytest.approx(wait, abs=0.3)
                assert_same(client, slots)
        elif operation == "until":
            mark = slots.position + chance.uniform(-5, 60) + age
            reservation = Reservation(0.0, mark, "planted")
            left = store.until("key", reservation)
            advance(client, slots, planted)
            assert left == pytest.approx(slots.until(mark), abs=0.3)
        else:
            asked, since = chance.choice([None, chance.uniform(0, 5000)]), chance.uniform(0, 300)
            store.hold("key", asked, since)
            advance(client, slots, planted)
            slots.hold(asked, since)
            assert_same(client, slots)


def test_each_look_is_one_round_trip_and_its_key_expires(store: RedisStore, client: redis_py.Redis) -> None:
    store.reserve("key", 0.5, 60)
    client.config_resetstat()
    for _ in range(10):
        slot = store.reserve("key", 0.5, 60)
        store.until("key", slot)
    calls = {name: int(stats["calls"]) for name, stats in client.info("commandstats").items()}
    assert calls["cmdstat_evalsha"] == 20
    assert not {"cmdstat_eval", "cmdstat_script|load", "cmdstat_get"} & calls.keys()
    assert 240 <= client.ttl(KEY) <= 260


def test_a_key_that_expired_or_was_flushed_voids_its_slots(store: RedisStore, client: redis_py.Redis) -> None:
    slot = store.reserve("key", 0.5, 60)
    assert store.until("key", slot) is not None
    client.flushall()
    assert store.until("key", slot) is None
    client.script_flush()
    assert store.reserve("key", 0.5, 60).wait_seconds <= 0.5


def test_the_credential_is_in_no_key(redis: RedisServer, client: redis_py.Redis) -> None:
    take(RateLimiter(open_store(redis.url, 0.1), CREDENTIAL, {RATE_CLASS: 1.0}, 60.0))
    (key,) = client.keys("*")
    assert CREDENTIAL not in key
    assert key.endswith(RATE_CLASS)


def test_a_wrong_password_is_named_without_showing_it(redis: RedisServer) -> None:
    url = redis.url.replace("redis://", "redis://user:sesame@")
    with pytest.raises(CoordinationStoreError) as caught:
        open_store(url, "fail").reserve("key", 1.0, 60.0)
    assert "sesame" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_processes_that_start_at_once(redis: RedisServer, tmp_path: Path) -> None:
    start_at_once(lambda: open_store(redis.url, "fail"), 8, Record(tmp_path / "grants"))
