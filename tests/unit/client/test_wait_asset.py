"""Waiting for assets, and the loop that every wait is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from client_support import ORDERABLE, session_of
from planet_provider.client.api import data, wait
from planet_provider.client.http.session import PlanetSession
from planet_provider.exceptions import (
    AssetTimeoutError,
    AssetUnavailableError,
    InvalidInputError,
    NotFoundError,
    ServerError,
)
from planet_provider.sandbox import Fault, Sandbox
from ratelimit_support import Clock

pytestmark = pytest.mark.planet_sandbox(rate_limits=False, scene_pixels=64)

ASSET_TYPE = "ortho_analytic_4b"


@pytest.fixture
def session(planet_sandbox: Sandbox) -> Iterator[PlanetSession]:
    with session_of(planet_sandbox, max_attempts=1) as opened:
        yield opened


@pytest.fixture
def item_id(session: PlanetSession) -> str:
    return str(session.send(data.quick_search(["PSScene"], ORDERABLE, page_size=1))[0]["id"])


@pytest.mark.guide("asset-wait")
def test_an_asset_is_activated_and_waited_for(
    planet_sandbox: Sandbox, session: PlanetSession, item_id: str
) -> None:
    seen: list[str] = []

    def callback(reference: dict[str, Any]) -> None:
        seen.append(reference["status"])
        planet_sandbox.clock.advance(planet_sandbox.config.activation_seconds / 2 + 1)

    found = wait.wait_for_asset(
        session, "PSScene", item_id, ASSET_TYPE, callback=callback, poll_interval=0.01, timeout=30
    )
    assert seen == ["inactive", "activating", "active"]
    assert (found["status"], found["asset_type"], found["item_id"]) == ("active", ASSET_TYPE, item_id)
    assert planet_sandbox.url not in str(found), "no links"
    assert len([one for one in planet_sandbox.requests if one.path.endswith("/activate")]) == 1


def test_an_asset_in_time_or_not(planet_sandbox: Sandbox, session: PlanetSession, item_id: str) -> None:
    with pytest.raises(AssetTimeoutError, match=r"not active within timeout=0\.05 s") as caught:
        wait.wait_for_asset(
            session, "PSScene", item_id, ASSET_TYPE, activate=False, poll_interval=0.02, timeout=0.05
        )
    assert caught.value.item_id == item_id
    assert not [one for one in planet_sandbox.requests if one.path.endswith("/activate")]


def test_an_asset_that_is_not(session: PlanetSession, item_id: str) -> None:
    with pytest.raises(AssetUnavailableError, match="no asset"):
        wait.wait_for_asset(session, "PSScene", item_id, "no_such")
    with pytest.raises(NotFoundError):
        wait.wait_for_asset(session, "PSScene", "20010101_000000_00_0000", ASSET_TYPE)


def test_errors_that_waiting_may_mend_are_waited_out(
    planet_sandbox: Sandbox, session: PlanetSession, item_id: str
) -> None:
    planet_sandbox.faults.add(Fault(kind="status", path="/assets", status=503, times=2))
    planet_sandbox.faults.add(Fault(kind="drop", path="/assets", skip=2))
    reference = wait.wait_for_asset(
        session,
        "PSScene",
        item_id,
        ASSET_TYPE,
        callback=lambda _: planet_sandbox.clock.advance(100),
        poll_interval=0.01,
        timeout=30,
    )
    assert reference["status"] == "active"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What waits are timed by: it moves by what they sleep."""
    clock = Clock()
    monkeypatch.setattr(wait, "time", SimpleNamespace(monotonic=clock, sleep=clock.advance))
    return clock


def test_errors_that_stay_are_raised(clock: Clock) -> None:
    looks: list[float] = []

    def look() -> None:
        looks.append(clock())
        raise ServerError("down", status=503, request="GET /x")

    with pytest.raises(ServerError):
        wait.poll(look, lambda _: True, poll_interval=300.0, timeout=None)
    pauses = [later - sooner for sooner, later in pairwise(looks)]
    assert pauses == [600.0, 1200.0, 2400.0], "more and more slowly, and for an hour at most"


def test_it_looks_at_once_and_not_beyond_the_timeout(clock: Clock) -> None:
    started = clock()
    assert wait.poll(lambda: 7, lambda _: True, poll_interval=60, timeout=60) == 7
    looks: list[int] = []
    assert clock() == started
    assert wait.poll(lambda: looks.append(1), lambda _: False, poll_interval=60, timeout=5) is None
    assert len(looks) == 2, "once more at the end"
    assert clock() == started + 5


@pytest.mark.parametrize(("name", "value"), [("poll_interval", 0), ("timeout", -1), ("timeout", "5")])
def test_times_that_are_none(name: str, value: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        wait.poll(lambda: 7, lambda _: True, **{"poll_interval": 1.0, "timeout": None, name: value})
    assert caught.value.field == name
