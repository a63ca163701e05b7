"""Cancelling: of each order one knows what came of it, also where answers get lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from client_support import NO_ORDER, order_request, session_of
from planet_provider.client.api import orders
from planet_provider.client.api.cancelling import cancel_order, cancel_orders
from planet_provider.client.http.session import PlanetSession
from planet_provider.exceptions import (
    InvalidInputError,
    NotFoundError,
    OrderNotCancellableError,
    ServerError,
)
from planet_provider.sandbox import Fault, Sandbox

pytestmark = pytest.mark.planet_sandbox(rate_limits=False, scene_pixels=64)

BULK = r"^/compute/ops/bulk/orders/v2/cancel$"


@pytest.fixture
def session(planet_sandbox: Sandbox) -> Iterator[PlanetSession]:
    with session_of(planet_sandbox) as opened:
        yield opened


def placed(session: PlanetSession, count: int) -> list[str]:
    request = order_request(session)
    return [session.send(orders.create({**request, "name": str(n)}))["id"] for n in range(count)]


@pytest.mark.guide("order-cancel")
def test_one(planet_sandbox: Sandbox, session: PlanetSession) -> None:
    first, second = placed(session, 2)
    assert cancel_order(session, first)["state"] == "cancelled"
    assert planet_sandbox.orders[second]["state"] == "queued"
    assert cancel_order(session, first)["state"] == "cancelled", "already is as good"


@pytest.mark.parametrize("kind", ["drop_after", "status"])
def test_one_whose_answer_is_lost(planet_sandbox: Sandbox, session: PlanetSession, kind: Any) -> None:
    [order_id] = placed(session, 1)
    if kind == "drop_after":
        fault = Fault(kind="drop_after", method="PUT")
    else:
        # It was cancelled, but another client's retry says so.
        session.send(orders.cancel(order_id))
        fault = Fault(kind="status", method="PUT", status=503)
    planet_sandbox.faults.add(fault)
    assert cancel_order(session, order_id)["state"] == "cancelled"
    assert planet_sandbox.orders[order_id]["state"] == "cancelled"


@pytest.mark.parametrize("fault", [{"kind": "drop_after"}, {"kind": "corrupt", "after_bytes": 0}])
def test_one_whose_answers_are_all_lost(planet_sandbox: Sandbox, fault: dict[str, Any]) -> None:
    with session_of(planet_sandbox, max_attempts=2) as session:
        [order_id] = placed(session, 1)
        planet_sandbox.faults.add(Fault(method="PUT", times=None, **fault))
        assert cancel_order(session, order_id)["state"] == "cancelled"


def test_what_is_not_known_is_no_success(planet_sandbox: Sandbox) -> None:
    with session_of(planet_sandbox, max_attempts=1) as session:
        [order_id] = placed(session, 1)
        planet_sandbox.faults.add(Fault(kind="status", status=503, method="PUT"))
        with pytest.raises(ServerError, match="PUT"):
            cancel_order(session, order_id)
        planet_sandbox.faults.add(Fault(kind="status", status=503, path=order_id, times=None))
        with pytest.raises(ServerError, match="PUT"):
            cancel_order(session, order_id)


def test_one_that_runs_and_one_that_is_not(planet_sandbox: Sandbox, session: PlanetSession) -> None:
    [order_id] = placed(session, 1)
    planet_sandbox.clock.advance(planet_sandbox.config.queued_seconds + 1)
    with pytest.raises(OrderNotCancellableError):
        cancel_order(session, order_id)
    with pytest.raises(NotFoundError):
        cancel_order(session, NO_ORDER)


@pytest.mark.guide("orders-cancel-many")
def test_many_with_an_outcome_each(planet_sandbox: Sandbox, session: PlanetSession) -> None:
    [running] = placed(session, 1)
    planet_sandbox.clock.advance(planet_sandbox.config.queued_seconds + 1)
    queued, untouched, gone = placed(session, 3)
    session.send(orders.cancel(gone))
    answer, outcomes = cancel_orders(session, [running, queued.upper(), NO_ORDER, gone, queued])
    assert answer["result"]["succeeded"]["count"] == 1
    assert [(one.order_id, one.outcome, one.state) for one in outcomes] == [
        (running, "not_cancellable", "running"),
        (queued, "cancelled", "cancelled"),
        (NO_ORDER, "not_found", None),
        (gone, "cancelled", "cancelled"),
    ]
    assert outcomes[0].message == "Order not in a cancellable state"
    assert json.dumps(outcomes[2].as_dict())
    assert planet_sandbox.orders[untouched]["state"] == "queued"


def test_many_whose_answer_is_lost(planet_sandbox: Sandbox, session: PlanetSession) -> None:
    ids = placed(session, 3)
    planet_sandbox.faults.add(Fault(kind="drop_after", method="POST", path=BULK))
    answer, outcomes = cancel_orders(session, ids)
    assert answer["result"]["failed"]["count"] == 3, "the repetition comes too late"
    assert [one.outcome for one in outcomes] == ["cancelled"] * 3


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"result": None},
        {"result": {"succeeded": {"count": 9}, "failed": {"count": 0, "failures": []}}},
        {"result": {"succeeded": {"count": 1}, "failed": {"count": 1}}},
        {"result": {"succeeded": {"count": 1}, "failed": {"failures": [{"order_id": NO_ORDER}]}}},
        {"result": {"succeeded": {"count": 1}, "failed": {"failures": [{"order_id": "x"}]}}},
    ],
)
def test_an_answer_that_is_not_clear_is_not_believed(
    planet_sandbox: Sandbox, session: PlanetSession, body: dict[str, Any]
) -> None:
    ids = placed(session, 2)
    planet_sandbox.faults.add(Fault(kind="status", path=BULK, status=200, body=json.dumps(body)))
    _, outcomes = cancel_orders(session, ids)
    assert [(one.outcome, one.state) for one in outcomes] == [("not_cancellable", "queued")] * 2


@pytest.mark.guide("orders-cancel-many")
@pytest.mark.parametrize("ids", [[], (), iter(()), {}, "", NO_ORDER, [None], [NO_ORDER, "x"]])
def test_nothing_is_never_all(planet_sandbox: Sandbox, session: PlanetSession, ids: Any) -> None:
    order_ids = placed(session, 2)
    before = len(planet_sandbox.requests)
    with pytest.raises(InvalidInputError, match="order_ids"):
        cancel_orders(session, ids)
    assert len(planet_sandbox.requests) == before
    assert [planet_sandbox.orders[one]["state"] for one in order_ids] == ["queued", "queued"]
