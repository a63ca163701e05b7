"""Rate limits: the documented table, per key and class, in real time."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import httpx
import pytest
from plain_http import Api

from planet_provider.sandbox import Fault, limits, run

ORDERS = "/compute/ops/orders/v2"
STATS = "/compute/ops/stats/orders/v2"
BULK = "/compute/ops/bulk/orders/v2/cancel"
ITEM_TYPES = "/data/v1/item-types"


def burst(api: Api, count: int, path: str, method: str = "GET") -> list[int]:
    return [api.http.request(method, path).status_code for _ in range(count)]


class Clock:
    """What the limits are timed by; it stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(limits, "time", clock)
    return clock


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", ORDERS, 3),
        ("GET", ORDERS, 3),
        ("GET", f"{ORDERS}/unknown", 3),
        ("PUT", f"{ORDERS}/unknown", 3),
        ("POST", BULK, 5),
        ("GET", STATS, 5),
        ("GET", ITEM_TYPES, 10),
    ],
)
@pytest.mark.planet_sandbox
def test_documented_rates(api: Api, clock: Clock, method: str, path: str, allowed: int) -> None:
    statuses = burst(api, allowed + 2, path, method)
    assert [status == 429 for status in statuses] == [False] * allowed + [True] * 2


def test_classes_do_not_share(api: Api, clock: Clock) -> None:
    assert burst(api, 5, ORDERS)[-1] == 429
    assert burst(api, 1, STATS) == [200]


def test_a_slot_comes_back(api: Api, clock: Clock) -> None:
    assert burst(api, 4, ORDERS)[-1] == 429
    clock.now += 0.3
    assert burst(api, 1, ORDERS) == [429]
    clock.now += 0.04
    assert burst(api, 2, ORDERS) == [200, 429]


def test_a_slot_comes_back_by_the_real_time(api: Api) -> None:
    deadline = time.monotonic() + 60
    api.sandbox.reset(rates={"orders.list": 0.7}, speed=1e6)
    for awaited in (429, 200):
        while burst(api, 1, ORDERS) != [awaited]:
            assert time.monotonic() < deadline, f"never {awaited}"
            time.sleep(0.02 if awaited == 200 else 0.0)


def test_steady_at_the_documented_rate(api: Api, clock: Clock) -> None:
    api.sandbox.reset(rates={"orders.list": 20})
    statuses = []
    for _ in range(40):
        statuses += burst(api, 1, ORDERS)
        clock.now += 1 / 20
    assert set(statuses) == {200}


@pytest.mark.planet_sandbox(rates={"orders.list": 0.5})
def test_retry_after_in_seconds(api: Api, clock: Clock) -> None:
    api.http.get(ORDERS)
    answer = api.http.get(ORDERS)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "2"
    assert "Rate limit" in answer.json()["message"]


@pytest.mark.planet_sandbox(rates={"orders.list": 0.1}, retry_after="date")
def test_retry_after_as_a_date(api: Api, clock: Clock) -> None:
    api.http.get(ORDERS)
    before = datetime.now(timezone.utc)
    date = parsedate_to_datetime(api.http.get(ORDERS).headers["Retry-After"])
    assert before + timedelta(seconds=10) <= date <= datetime.now(timezone.utc) + timedelta(seconds=11)


@pytest.mark.planet_sandbox(rates={"orders.list": 0.1}, retry_after="none")
def test_no_retry_after(api: Api, clock: Clock) -> None:
    api.http.get(ORDERS)
    answer = api.http.get(ORDERS)
    assert answer.status_code == 429
    assert "Retry-After" not in answer.headers


@pytest.mark.planet_sandbox(rate_limits=False)
def test_off(api: Api) -> None:
    assert set(burst(api, 20, ORDERS)) == {200}


def test_a_fault_takes_no_slot(api: Api, clock: Clock) -> None:
    api.sandbox.faults.add(Fault(kind="status", status=503, times=5))
    assert burst(api, 8, ORDERS)[:8] == [503] * 5 + [200] * 3


def test_keys_do_not_share() -> None:
    keys = ("PLAK-first-0123456789", "PLAK-second-0123456789")
    with run(api_keys=keys) as sandbox, httpx.Client(base_url=sandbox.url) as http:
        statuses = {key: [http.get(ORDERS, auth=(key, "")).status_code for _ in range(3)] for key in keys}
    assert set(statuses[keys[0]]) == set(statuses[keys[1]]) == {200}


@pytest.mark.planet_sandbox(rates={"orders.download": 1}, scene_pixels=64)
def test_downloads_count_for_the_key_that_ordered(api: Api, clock: Clock) -> None:
    results = api.results()
    statuses = [httpx.get(result["location"]).status_code for result in results[:3]]
    assert statuses == [302, 429, 429]
