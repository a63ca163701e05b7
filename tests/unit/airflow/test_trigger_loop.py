"""Many waits in one triggerer: none of them holds up its event loop."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow_support import CONNECTION, FAST, first_event, revived

from planet_provider.triggers.orders import PlanetOrderTrigger

#: Triggers that start at once, and the longest time in seconds that they may take from the others' turns.
TRIGGERS = 50
LONGEST_STEP = 0.05

#: Rounds in which the machine may be busy with something else.
ROUNDS = 20


@pytest.fixture
def sandbox_elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A sandbox in another process, so that only the triggers' own work is measured."""
    command = str(Path(sys.executable).with_name("planet-sandbox"))
    with subprocess.Popen(
        [command, "--no-rate-limits", "--items", "400"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        connection = {"conn_type": "planet", "host": told["url"], "password": told["api_key"], "extra": FAST}
        monkeypatch.setenv(CONNECTION, json.dumps(connection))
        yield
        process.terminate()


def trigger() -> Any:
    """Return a trigger that looks once: there is no such order."""
    return revived(
        PlanetOrderTrigger(order_id=str(uuid.uuid4()), planet_conn_id="planet_default", poke_interval=1.0)
    )


async def longest_step() -> float:
    """Start the triggers, and return the longest time that a ticker had to wait for its turn."""
    triggers, steps = [trigger() for _ in range(TRIGGERS)], []

    async def tick() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            steps.append(now - last)
            last = now

    ticker = asyncio.create_task(tick())
    events = await asyncio.gather(*map(first_event, triggers))
    ticker.cancel()
    assert {event["error"] for event in events} == {"NotFoundError"}
    assert len(steps) > 10
    return max(steps)


@pytest.mark.usefixtures("sandbox_elsewhere")
async def test_many_triggers_leave_the_loop_free() -> None:
    await first_event(trigger())  # imports and certificates are loaded once
    # What blocks the loop does so in every round; what else the machine does, not in all.
    steps: list[float] = []
    while len(steps) < ROUNDS and min(steps, default=1.0) >= LONGEST_STEP:
        steps.append(await longest_step())
    assert min(steps) < LONGEST_STEP
