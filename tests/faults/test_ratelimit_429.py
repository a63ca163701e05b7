"""A 429 is everybody's."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path

import pytest

from client_support import ANY, config_of, limiter_of
from planet_provider.client.api import data, orders
from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.session import AsyncPlanetSession, PlanetSession
from planet_provider.coordination.file_store import FileStore
from planet_provider.sandbox import Fault, Sandbox
from ratelimit_support import processes

RATE = 50.0


def settings(folder: Path) -> dict[str, object]:
    return {
        "coordination_store": (folder / "slots").as_uri(),
        "rate_limits": {"orders.stats": RATE, "data.other": RATE},
    }


def refused(headers: dict[str, str]) -> Fault:
    return Fault(kind="status", path=r"/stats", status=429, headers=headers, times=1)


@pytest.mark.guide("session-limits-retries")
@pytest.mark.planet_sandbox(rate_limits=False)
@pytest.mark.parametrize("form", ["seconds", "date", "none"])
async def test_all_sessions_of_the_machine_pause_and_only_for_that_class(
    planet_sandbox: Sandbox, tmp_path: Path, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=3), usegmt=True)
    header = {"seconds": {"Retry-After": "2"}, "date": {"Retry-After": date}, "none": {}}[form]
    least = {"seconds": 2.0, "date": 1.5, "none": 0.9}[form]
    planet_sandbox.faults.add(refused(header))
    config = config_of(planet_sandbox, **settings(tmp_path))

    def refused_first() -> None:
        with PlanetSession(config) as session:
            session.send(orders.stats())

    first = asyncio.create_task(asyncio.to_thread(refused_first))
    while "attempt 1 of" not in caplog.text:  # it has told the others before it says that it tries again
        await asyncio.sleep(0.005)
    store, limits = FileStore(tmp_path / "slots"), limiter_of(config)
    assert store.reserve(limits.key("data.other"), 1 / RATE, 60.0).wait_seconds < 0.1
    # Asked for one by one, slots may seem closer on a busy machine, never further apart.
    waits = [store.reserve(limits.key("orders.stats"), 1 / RATE, 60.0).wait_seconds for _ in range(20)]
    async with AsyncPlanetSession(config) as session:
        await session.send(data.quick_search(["PSScene"], ANY))
        await asyncio.gather(*(session.send(orders.stats()) for _ in range(5)))
        await first
    times = [request.at for request in planet_sandbox.requests if "/stats/" in request.path]
    assert len(times) == 7
    assert times[1] - times[0] >= least
    assert times[1] - times[0] < least + 30.0
    # Half the rate, easing back: at least 1 / RATE between two, and at first nearly twice that.
    assert max(later - sooner for sooner, later in pairwise(waits)) > 1.5 / RATE


@pytest.mark.guide("session-limits-retries")
def test_several_processes_are_never_refused(planet_sandbox: Sandbox, tmp_path: Path) -> None:
    """The documented limits hold in the sandbox: each process alone could exceed them.

    Each has one request under way. So, however the machine stalls, three come together with the one whose turn it
    is, which is less than Planet's five in a burst.
    """
    config = PlanetConfig(
        api_key=planet_sandbox.api_key,
        base_url=planet_sandbox.url,
        coordination_store=(tmp_path / "slots").as_uri(),
    )

    def work(_: int) -> None:
        with PlanetSession(config) as session:
            for _ in range(3):
                session.send(orders.stats())
                session.send(data.quick_search(["PSScene"], ANY, page_size=1))

    with processes(4, work):
        pass
    answers = Counter(request.status for request in planet_sandbox.requests)
    assert answers == {200: 24}
