"""Wait for many orders in a process of its own, ours or Planet's SDK; run by :mod:`benchmarks.waits`."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import psutil  # type: ignore[import-untyped]

#: Seconds between two beats of the heart that a blocked event loop delays.
BEAT_SECONDS = 0.02

Wait = Callable[[str], Awaitable[None]]


class Heart:
    """Beats in an event loop and tells how long it was held up: by the clock, and by this thread's own work.

    The garbage collector's part is told apart: it goes through all that is loaded, most of it Airflow.
    """

    def __init__(self) -> None:
        self.late = 0.0
        self.busy = 0.0
        self.collected = 0.0
        self._collecting = 0.0
        self._since = 0.0
        gc.callbacks.append(self._collector)

    def _collector(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._since = time.thread_time()
        else:
            seconds = time.thread_time() - self._since
            self._collecting += seconds
            self.collected = max(self.collected, seconds)

    async def beat(self) -> None:
        """Beat until cancelled."""
        clock, work = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            now, done = time.perf_counter(), time.thread_time()
            self.late = max(self.late, now - clock - BEAT_SECONDS)
            self.busy = max(self.busy, done - work - self._collecting)
            self._collecting = 0.0
            clock, work = now, done


async def measure(order_ids: list[str], wait: Wait) -> dict[str, Any]:
    """Start all waits as a triggerer does, one in a turn of the event loop, and see what they take."""
    process = psutil.Process()
    gc.collect()
    before = process.memory_info().rss
    heart = Heart()
    beating = asyncio.create_task(heart.beat())
    errors: list[str] = []

    async def one(order_id: str) -> None:
        try:
            await wait(order_id)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}"[:200])

    waits = []
    started, cpu = time.monotonic(), time.process_time()
    for order_id in order_ids:
        waits.append(asyncio.create_task(one(order_id)))
        await asyncio.sleep(0)
    peak = 0

    async def watch_memory() -> None:
        nonlocal peak
        while True:
            peak = max(peak, process.memory_info().rss)
            await asyncio.sleep(1.0)

    watching = asyncio.create_task(watch_memory())
    await asyncio.gather(*waits)
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    beating.cancel()
    watching.cancel()
    return {
        "started": started,
        "seconds": seconds,
        "cpu": cpu,
        "rss": (peak - before) / len(order_ids),
        "late": heart.late,
        "busy": heart.busy,
        "collected": heart.collected,
        "errors": errors,
    }


def ours(told: dict[str, Any], interval: float, delays: list[float]) -> Wait:
    """Wait with the trigger that the operators defer to."""
    connection = {"conn_type": "planet", "host": told["url"], "password": told["api_key"]}
    os.environ["AIRFLOW_CONN_PLANET_DEFAULT"] = json.dumps(connection)
    from planet_provider.triggers.orders import PlanetOrderTrigger

    async def wait(order_id: str) -> None:
        trigger = PlanetOrderTrigger(
            order_id=order_id, planet_conn_id="planet_default", poke_interval=interval
        )
        async for event in trigger.run():
            order = event.payload.get("order")
            if order is None:
                raise RuntimeError(f"{event.payload.get('error')}: {event.payload.get('message')}")
            changed = datetime.fromisoformat(order["last_modified"].replace("Z", "+00:00"))
            delays.append(time.time() - changed.timestamp())

    return wait


def sdk(told: dict[str, Any], interval: float, delays: list[float]) -> Wait:
    """Wait with Planet's SDK, one session for all."""
    import planet
    from planet.clients.orders import OrdersClient

    session = planet.Session(auth=planet.Auth.from_key(told["api_key"]))
    client = OrdersClient(session, base_url=f"{told['url']}/compute/ops")
    del session

    async def wait(order_id: str) -> None:
        await client.wait(order_id, delay=int(interval), max_attempts=0)
        seen = time.time()
        order = await client.get_order(order_id)
        changed = datetime.fromisoformat(order["last_modified"].replace("Z", "+00:00"))
        delays.append(seen - changed.timestamp())

    return wait


def main() -> None:
    """Read where and what from standard input, wait, and write what it took to a file."""
    kind, interval, result = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    told = json.loads(sys.stdin.readline())
    delays: list[float] = []

    async def run() -> dict[str, Any]:
        wait = {"ours": ours, "sdk": sdk}[kind](told, interval, delays)
        return await measure(told["order_ids"], wait)

    figures = asyncio.run(run()) | {"delays": delays}
    with open(result, "w", encoding="utf-8") as file:
        json.dump(figures, file)


if __name__ == "__main__":
    main()
