"""Waiting for an order without Airflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from client_support import NO_ORDER, order_request, session_of
from planet_provider.client.api import orders
from planet_provider.client.http.session import PlanetSession
from planet_provider.exceptions import (
    InvalidInputError,
    NotFoundError,
    OrderCancelledError,
    OrderError,
    OrderFailedError,
    OrderPartialError,
    OrderTimeoutError,
    UnknownStateError,
)
from planet_provider.ordering.wait import wait_for_order
from planet_provider.sandbox import Fault, Sandbox

pytestmark = pytest.mark.planet_sandbox(rate_limits=False, scene_pixels=64)


@pytest.fixture
def session(planet_sandbox: Sandbox) -> Iterator[PlanetSession]:
    with session_of(planet_sandbox) as opened:
        yield opened


@pytest.fixture
def order_id(session: PlanetSession) -> str:
    return str(session.send(orders.create(order_request(session, order_type="partial", count=2)))["id"])


@pytest.fixture
def hurry(planet_sandbox: Sandbox) -> Callable[[dict[str, Any]], None]:
    """A callback during which time flies."""
    config = planet_sandbox.config

    def callback(seen: dict[str, Any]) -> None:
        planet_sandbox.clock.advance(
            config.queued_seconds + 1 if seen["state"] == "queued" else config.running_seconds + 1
        )

    return callback


@pytest.mark.guide("order-wait")
def test_until_success_with_a_callback(session: PlanetSession, order_id: str, hurry: Any) -> None:
    seen: list[dict[str, Any]] = []

    def callback(summary: dict[str, Any]) -> None:
        seen.append(summary)
        hurry(summary)

    found = wait_for_order(session, order_id.upper(), callback=callback, poll_interval=0.01, timeout=60)
    assert [one["state"] for one in seen] == ["queued", "running", "success"]
    assert found == seen[-1]
    assert found["results"] > 2
    assert "token" not in json.dumps(found), "no links"


def test_until_a_state(session: PlanetSession, order_id: str, hurry: Any) -> None:
    assert wait_for_order(session, order_id, state="queued")["state"] == "queued"
    found = wait_for_order(session, order_id, state="running", callback=hurry, poll_interval=0.01)
    assert found["state"] == "running"
    with pytest.raises(OrderError, match="ended as success, not failed"):
        wait_for_order(session, order_id, state="failed", callback=hurry, poll_interval=0.01)


@pytest.mark.parametrize(("outcome", "error"), [("failed", OrderFailedError), ("partial", OrderPartialError)])
def test_ends_that_are_bad(
    planet_sandbox: Sandbox, hurry: Any, outcome: str, error: type[OrderError]
) -> None:
    planet_sandbox.reset(rate_limits=False, order_outcome=outcome)
    with session_of(planet_sandbox) as session:
        request = order_request(session, order_type="partial", count=2)
        order_id = session.send(orders.create(request))["id"]
        with pytest.raises(error) as caught:
            wait_for_order(session, order_id, callback=hurry, poll_interval=0.01)
        assert (caught.value.order_id, caught.value.state) == (order_id, outcome)
        if outcome == "partial":
            assert wait_for_order(session, order_id, allow_partial=True)["state"] == "partial"


def test_one_that_is_cancelled_meanwhile(session: PlanetSession, order_id: str) -> None:
    def callback(seen: dict[str, Any]) -> None:
        if seen["state"] == "queued":
            session.send(orders.cancel(order_id))

    with pytest.raises(OrderCancelledError):
        wait_for_order(session, order_id, callback=callback, poll_interval=0.01)


def test_not_in_time(session: PlanetSession, order_id: str) -> None:
    with pytest.raises(OrderTimeoutError, match=r"timeout=0\.05 s; it was last seen as queued") as caught:
        wait_for_order(session, order_id, poll_interval=0.02, timeout=0.05)
    assert (caught.value.order_id, caught.value.state) == (order_id, "queued")


def test_a_state_that_nobody_knows_is_not_waited_for(planet_sandbox: Sandbox, session: PlanetSession) -> None:
    body = json.dumps({"id": NO_ORDER, "state": "thinking"})
    planet_sandbox.faults.add(Fault(kind="status", status=200, body=body, times=None))
    with pytest.raises(UnknownStateError, match="thinking"):
        wait_for_order(session, NO_ORDER, poll_interval=0.01, timeout=5)


def test_what_a_callback_raises_ends_the_wait(session: PlanetSession, order_id: str) -> None:
    def stop(_: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait_for_order(session, order_id, callback=stop)


def test_bad_input(planet_sandbox: Sandbox, session: PlanetSession) -> None:
    for arguments, field in (({"order_id": "x"}, "order_id"), ({"state": "done"}, "state")):
        with pytest.raises(InvalidInputError) as caught:
            wait_for_order(session, **{"order_id": NO_ORDER, **arguments})  # type: ignore[arg-type]
        assert caught.value.field == field
    assert planet_sandbox.requests == []
    with pytest.raises(NotFoundError):
        wait_for_order(session, NO_ORDER)
