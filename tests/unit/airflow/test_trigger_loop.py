"""Many waits in one triggerer: none of the triggers holds up its event loop, when they start and when they end."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow_support import CONNECTION, FAST, first_event, revived

from planet_provider.triggers import assets, capacity, orders
from planet_provider.triggers.base import PlanetTrigger

pytestmark = pytest.mark.slow

#: Waits at the same time, and the longest time in seconds that the event loop may be at work in one turn.
TRIGGERS = 1000
LONGEST_TURN = 0.05

#: Rounds in which the machine may be busy with something else: even the time that a thread works grows then.
ROUNDS = 5

COMMON = {"planet_conn_id": "planet_default", "poke_interval": 0.5}


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[dict[str, str]]:
    """A sandbox in another process, so that only the triggers' own work is measured."""
    command = str(Path(sys.executable).with_name("planet-sandbox"))
    with subprocess.Popen(
        [command, "--no-rate-limits", "--items", "400"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.terminate()


@pytest.fixture
def answer(elsewhere: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say what the sandbox answers to a path."""
    connection = {"conn_type": "planet", "host": elsewhere["url"], "password": elsewhere["api_key"]}
    monkeypatch.setenv(CONNECTION, json.dumps(connection | {"extra": FAST}))

    def define(path: str, body: Any, times: int | None = None) -> None:
        fault = {"kind": "status", "status": 200, "path": path, "body": json.dumps(body), "times": times}
        httpx.post(f"{elsewhere['url']}/sandbox/v1/faults", json=fault).raise_for_status()

    def forget() -> None:
        httpx.delete(f"{elsewhere['url']}/sandbox/v1/faults").raise_for_status()

    define.forget = forget  # type: ignore[attr-defined]
    return define


def ended_orders(answer: Any) -> list[PlanetTrigger]:
    """Orders that have all ended at the first look; as large as a list's row of 50 scenes is."""
    ids = [str(uuid.uuid4()) for _ in range(TRIGGERS)]
    products = [{"item_type": "PSScene", "item_ids": [f"20240501_{n:06d}_24dc" for n in range(50)]}]
    row = {"state": "success", "last_modified": "2024-05-01T00:00:00Z", "products": products}
    for start in range(0, TRIGGERS, 250):
        page = [{"id": one, **row} for one in ids[start : start + 250]]
        link = f"/compute/ops/orders/v2?page={start // 250 + 1}"
        more = {} if start + 250 >= TRIGGERS else {"next": link}
        answer(
            "orders/v2.page_marker|orders/v2.source" if not start else f"orders/v2.page={start // 250}$",
            {"_links": more, "orders": page},
        )
    return [orders.PlanetOrderTrigger(order_id=one, **COMMON) for one in ids]  # type: ignore[arg-type]


def active_assets(answer: Any) -> list[PlanetTrigger]:
    """Assets that are all active, four of each item."""
    kinds = [f"ortho_{number}" for number in range(4)]
    asset = {"status": "active", "_permissions": ["download"], "md5_digest": "0" * 32}
    answer("/assets", dict.fromkeys(kinds, asset))
    return [
        assets.PlanetAssetTrigger(item_type="PSScene", item_id=f"item_{number}", asset_type=kind, **COMMON)  # type: ignore[arg-type]
        for number in range(TRIGGERS // 4)
        for kind in kinds
    ]


def free_places(answer: Any) -> list[PlanetTrigger]:
    """All places taken at the first look, and all free at the next."""
    answer("/stats/orders", {"organization": {"queued_orders": TRIGGERS}}, 1)
    answer("/stats/orders", {"organization": {"queued_orders": 0}})
    deadline = time.time() + 600
    return [
        capacity.PlanetOrderCapacityTrigger(deadline=deadline, **COMMON)  # type: ignore[arg-type]
        for _ in range(TRIGGERS)
    ]


def due_at_once(answer: Any) -> list[PlanetTrigger]:
    """All wait for the rate limit until the same time."""
    now = time.time()
    return [
        capacity.PlanetOrderCapacityTrigger(deadline=now + 600, not_before=now + 0.5, **COMMON)  # type: ignore[arg-type]
        for _ in range(TRIGGERS)
    ]


def deadlines_at_once(answer: Any) -> list[PlanetTrigger]:
    """All give up at the same time."""
    answer("orders/v2", {"_links": {}, "orders": []})
    deadline = time.time() + 2.0
    return [
        orders.PlanetOrderTrigger(order_id=str(uuid.uuid4()), deadline=deadline, **COMMON)  # type: ignore[arg-type]
        for _ in range(TRIGGERS)
    ]


def deadlines_of_one_order(answer: Any) -> list[PlanetTrigger]:
    """All wait for the same order, and give up at the same time."""
    order_id = str(uuid.uuid4())
    order = {"id": order_id, "state": "queued", "last_modified": "2024-05-01T00:00:00Z"}
    answer("orders/v2/", order)
    answer("orders/v2", {"_links": {}, "orders": []})
    deadline = time.time() + 2.0
    return [
        orders.PlanetOrderTrigger(order_id=order_id, deadline=deadline, **COMMON)  # type: ignore[arg-type]
        for _ in range(TRIGGERS)
    ]


def deadlines_of_places(answer: Any) -> list[PlanetTrigger]:
    """All places stay taken, and all give up at the same time."""
    answer("/stats/orders", {"organization": {"queued_orders": TRIGGERS}})
    deadline = time.time() + 2.0
    return [
        capacity.PlanetOrderCapacityTrigger(deadline=deadline, **COMMON)  # type: ignore[arg-type]
        for _ in range(TRIGGERS)
    ]


def one_active_item(answer: Any) -> list[PlanetTrigger]:
    """All wait for the same asset, which is active."""
    answer("/assets", {"visual": {"status": "active", "_permissions": ["download"]}})
    return [
        assets.PlanetAssetTrigger(item_type="PSScene", item_id="one", asset_type="visual", **COMMON)  # type: ignore[arg-type]
        for _ in range(TRIGGERS)
    ]


async def longest_turn(triggers: list[PlanetTrigger]) -> tuple[float, set[str]]:
    """Start triggers as a triggerer does, one a turn; return the longest turn, and how the waits ended."""
    turns = []

    async def tick() -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            turns.append(now - last)
            last = now

    waits = [revived(one) for one in triggers]
    ticker = asyncio.create_task(tick())
    tasks = []
    for one in waits:
        tasks.append(asyncio.create_task(first_event(one)))
        await asyncio.sleep(0)
    events = await asyncio.gather(*tasks)
    ticker.cancel()
    assert len(turns) > 100
    return max(turns), {event["status"] for event in events}


@pytest.mark.parametrize(
    ("kind", "ends"),
    [
        (ended_orders, "done"),
        (deadlines_at_once, "timeout"),
        (active_assets, "done"),
        (free_places, "done"),
        (due_at_once, "done"),
        (deadlines_of_one_order, "timeout"),
        (deadlines_of_places, "timeout"),
        (one_active_item, "done"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_many_waits_leave_the_loop_free(answer: Any, kind: Callable[[Any], Any], ends: str) -> None:
    # What blocks the loop does so in every round; imports and certificates do in the first one.
    turns: list[float] = []
    while len(turns) < ROUNDS and min(turns, default=1.0) >= LONGEST_TURN:
        answer.forget()
        turn, statuses = await longest_turn(kind(answer))
        assert statuses == {ends}
        turns.append(turn)
    assert min(turns) < LONGEST_TURN


def test_every_trigger_is_measured() -> None:
    def kinds(kind: type[PlanetTrigger]) -> set[str]:
        return {kind.__name__}.union(*map(kinds, kind.__subclasses__()))

    measured = {"PlanetOrderTrigger", "PlanetAssetTrigger", "PlanetOrderCapacityTrigger"}
    assert kinds(PlanetTrigger) - {"PlanetTrigger"} == measured
