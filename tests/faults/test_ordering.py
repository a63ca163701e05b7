"""Orders are placed once, whatever goes wrong: after each test Planet's side is counted."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from client_support import NO_ORDER, order_request, session_of
from planet_provider.client.api import orders
from planet_provider.client.http.session import PlanetSession
from planet_provider.exceptions import (
    AuthenticationError,
    BadRequestError,
    InvalidInputError,
    OrderConcurrencyError,
    OrderUncertainError,
    OverQuotaError,
    PlanetError,
    RateLimitError,
    TransportError,
    UnknownStateError,
)
from planet_provider.ordering.digest import order_name, request_digest
from planet_provider.ordering.outcome import summary
from planet_provider.ordering.place import PlacedOrder, place_order
from planet_provider.sandbox import Fault, Sandbox

CREATE = {"method": "POST", "path": r"/orders/v2$"}
LIST = {"method": "GET", "path": r"/orders/v2\?"}
#: Seconds of patience: enough for what is listed at once, not for the rest.
BRIEF = 1.0


#: What is wrong with an order's description: one can't tell which it is.
UNKNOWABLE: list[dict[str, Any]] = [
    {"id": None},
    {"id": 5},
    {"id": "../x"},
    {"state": None},
    {"state": ["queued"]},
    {"products": 5},
    {"products": "x"},
    {"products": [5]},
    {"products": [{"item_type": "PSScene", "item_ids": 5}]},
    {"products": [{"item_type": "PSScene", "item_ids": [["a"]]}]},
    {"products": [{"item_type": ["PSScene"], "item_ids": ["a"]}]},
    {"products": [{"mosaic_name": "m", "quad_ids": [{}]}]},
]

#: One can, but not how it is.
ODD: list[dict[str, Any]] = [
    {"_links": 5},
    {"_links": {"results": 5}},
    {"_links": {"results": [5]}},
    {"error_hints": 5},
    {"tools": [5]},
    {"delivery": 5},
]


@pytest.fixture
def sandbox(planet_sandbox: Sandbox) -> Sandbox:
    """A Planet with an account of this test's own: what is remembered of orders is remembered by account."""
    planet_sandbox.reset(rate_limits=False, api_keys=(f"PLAK{uuid.uuid4().hex}",))
    return planet_sandbox


@pytest.fixture
def session(sandbox: Sandbox) -> Iterator[PlanetSession]:
    with session_of(sandbox) as session:
        yield session


@pytest.fixture
def request_body(session: PlanetSession) -> dict[str, Any]:
    return order_request(session, "weekly", 2)


def live(sandbox: Sandbox) -> list[str]:
    return [order["id"] for order in sandbox.orders.values() if order["state"] not in {"failed", "cancelled"}]


def sent(sandbox: Sandbox) -> int:
    """How often an order was asked for."""
    return sum(one.method == "POST" and one.path.endswith("/orders/v2") for one in sandbox.requests)


class TestReuse:
    def test_the_first_is_placed_the_second_found(
        self, sandbox: Sandbox, session: PlanetSession, request_body: dict[str, Any]
    ) -> None:
        first = place_order(session, request_body)
        assert not first.reused
        assert first.digest == request_digest(request_body)
        assert sandbox.orders[first.order_id]["name"] == order_name("weekly", first.digest)
        second = place_order(session, json.loads(json.dumps(request_body)))
        assert (second.order_id, second.reused, second.digest) == (first.order_id, True, first.digest)
        assert live(sandbox) == [first.order_id]
        assert sent(sandbox) == 1

    def test_the_request_itself_is_not_changed(
        self, session: PlanetSession, request_body: dict[str, Any]
    ) -> None:
        before = json.dumps(request_body)
        place_order(session, request_body)
        assert json.dumps(request_body) == before

    @pytest.mark.parametrize("advance", [3.0, 3600.0])
    def test_running_and_ended_ones_too(
        self, sandbox: Sandbox, session: PlanetSession, request_body: dict[str, Any], advance: float
    ) -> None:
        first = place_order(session, request_body)
        sandbox.clock.advance(advance)
        assert place_order(session, request_body).order_id == first.order_id
        assert sent(sandbox) == 1

    def test_by_another_process(
        self, sandbox: Sandbox, session: PlanetSession, request_body: dict[str, Any]
    ) -> None:
        """One that remembers nothing, and finds it in Planet's list alone."""
        name = order_name("weekly", request_digest(request_body))
        first = session.send(orders.create({**request_body, "name": name}))
        found = place_order(session, request_body)
        assert (found.order_id, found.reused) == (first["id"], True)

    def test_of_several_the_oldest(
        self, sandbox: Sandbox, session: PlanetSession, request_body: dict[str, Any]
    ) -> None:
        name = order_name("weekly", request_digest(request_body))
        ids = [session.send(orders.create({**request_body, "name": name}))["id"] for _ in range(3)]
        assert place_order(session, request_body).order_id == ids[0]

    def test_on_a_later_page(
        self, sandbox: Sandbox, session: PlanetSession, request_body: dict[str, Any]
    ) -> None:
        name = order_name("weekly", request_digest(request_body))
        row = session.send(orders.create({**request_body, "name": name}))
        page = {"orders": [], "_links": {"next": f"{sandbox.url}/compute/ops/orders/v2?name=weekly"}}
        last = {"orders": [row], "_links": {}}
        for body in (page, page | {"_links": {"next": f"{sandbox.url}/compute/ops/orders/v2?page=3"}}, last):
            sandbox.faults.add(Fault(kind="status", status=200, body=json.dumps(body), **LIST))
        assert place_order(session, request_body).order_id == row["id"]

    def test_not_for_another_salt(
        self, sandbox: Sandbox, session: PlanetSession, request_body: dict[str, Any]
    ) -> None:
        by_run = [place_order(session, request_body, salt=salt) for salt in ("run 1", "run 2", "run 1")]
        assert [one.reused for one in by_run] == [False, False, True]
        assert by_run[0].order_id == by_run[2].order_id != by_run[1].order_id
        assert place_order(session, request_body).reused is False

    def test_not_for_other_content(
        self, sandbox: Sandbox, session: PlanetSession, request_body: dict[str, Any]
    ) -> None:
        place_order(session, request_body)
        [product] = request_body["products"]
        fewer = {**request_body, "products": [{**product, "item_ids": product["item_ids"][:1]}]}
        assert not place_order(session, fewer).reused
        assert len(live(sandbox)) == 2

    def test_not_of_another_name(
        self, sandbox: Sandbox, session: PlanetSession, request_body: dict[str, Any]
    ) -> None:
        place_order(session, {**request_body, "name": "weekly report"})
        name = order_name("weekly", request_digest(request_body))
        row = {
            "id": str(uuid.uuid4()),
            "state": "queued",
            "name": f"{name}x",
            "products": request_body["products"],
        }
        sandbox.faults.add(
            Fault(kind="status", status=200, body=json.dumps({"orders": [row], "_links": {}}), **LIST)
        )
        assert place_order(session, request_body, salt="another").order_id != row["id"]

    @pytest.mark.parametrize("state", ["failed", "cancelled"])
    def test_not_of_lost_ones(
        self,
        sandbox: Sandbox,
        session: PlanetSession,
        request_body: dict[str, Any],
        state: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        sandbox.outcomes.add(state="failed", times=1)
        lost = place_order(session, request_body)
        if state == "cancelled":
            session.send(orders.cancel(lost.order_id))
        sandbox.clock.advance(3600)
        with caplog.at_level("INFO"):
            again = place_order(session, request_body)
        assert not again.reused
        assert live(sandbox) == [again.order_id]
        assert f"Order {lost.order_id} of that name has {state}: it is not reused." in caplog.text

    def test_not_of_other_products_under_the_same_name(
        self,
        sandbox: Sandbox,
        session: PlanetSession,
        request_body: dict[str, Any],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        name = order_name("weekly", request_digest(request_body))
        [product] = request_body["products"]
        other = {"name": name, "products": [{**product, "product_bundle": "visual"}]}
        strange = session.send(orders.create(other))
        placed = place_order(session, request_body)
        assert placed.order_id != strange["id"]
        assert "other products" in caplog.text

    def test_not_of_those_that_are_too_old(
        self,
        sandbox: Sandbox,
        session: PlanetSession,
        request_body: dict[str, Any],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        first = place_order(session, request_body)
        assert place_order(session, request_body, reuse_max_age=timedelta(days=1)).order_id == first.order_id
        with caplog.at_level("INFO"):
            second = place_order(session, request_body, reuse_max_age=timedelta(0))
        assert second.order_id != first.order_id
        assert f"Order {first.order_id} is from " in caplog.text
        assert "older than reuse_max_age" in caplog.text

    def test_an_unknown_state_is_not_passed_over(
        self, sandbox: Sandbox, session: PlanetSession, request_body: dict[str, Any]
    ) -> None:
        name = order_name("weekly", request_digest(request_body))
        sandbox.outcomes.add(state="archived")
        session.send(orders.create({**request_body, "name": name}))
        sandbox.clock.advance(3600)
        with pytest.raises(UnknownStateError):
            place_order(session, request_body)
        assert sent(sandbox) == 1

    @pytest.mark.parametrize("created", [None, "yesterday", "", 5, "P1D", "12:30"])
    @pytest.mark.parametrize("age", [None, timedelta(days=1), timedelta.max])
    def test_a_row_without_a_date(
        self,
        sandbox: Sandbox,
        session: PlanetSession,
        request_body: dict[str, Any],
        created: object,
        age: timedelta | None,
    ) -> None:
        """It is the order, of whatever age: another one might be bought twice."""
        name = order_name("weekly", request_digest(request_body))
        row = {"id": str(uuid.uuid4()), "state": "queued", "name": name, "created_on": created}
        body = json.dumps({"orders": [{**row, "products": request_body["products"]}], "_links": {}})
        sandbox.faults.add(Fault(kind="status", status=200, body=body, **LIST))
        assert place_order(session, request_body, reuse_max_age=age).order_id == row["id"]
        assert sent(sandbox) == 0

    @pytest.mark.parametrize("odd", UNKNOWABLE + ODD, ids=repr)
    def test_a_row_that_can_not_be_read_blocks_nothing(
        self, sandbox: Sandbox, session: PlanetSession, request_body: dict[str, Any], odd: dict[str, Any]
    ) -> None:
        row = {
            "id": NO_ORDER,
            "state": "queued",
            "name": order_name("weekly", request_digest(request_body)),
            "created_on": "2999-01-01T00:00:00Z",
            "products": request_body["products"],
        }
        body = json.dumps({"orders": ["no order", {**row, **odd}], "_links": {}})
        sandbox.faults.add(Fault(kind="status", status=200, body=body, **LIST))
        placed = place_order(session, request_body, reuse_max_age=timedelta(days=1))
        assert summary(placed.order)["state"] == "queued"
        if odd in ODD:
            assert (placed.order_id, live(sandbox)) == (NO_ORDER, [])
        else:
            assert live(sandbox) == [placed.order_id]

    @pytest.mark.parametrize("odd", [ODD[0], UNKNOWABLE[3]], ids=repr)
    def test_an_order_that_only_its_list_describes_well(
        self, sandbox: Sandbox, session: PlanetSession, request_body: dict[str, Any], odd: dict[str, Any]
    ) -> None:
        name = order_name("weekly", request_digest(request_body))
        first = session.send(orders.create({**request_body, "name": name}))
        body = json.dumps(first | odd)
        sandbox.faults.add(Fault(kind="status", status=200, body=body, method="GET", path=f"/{first['id']}$"))
        placed = place_order(session, request_body)
        assert summary(placed.order)["order_id"] == first["id"]
        assert live(sandbox) == [first["id"]]


class TestUnclearAnswers:
    """The order was accepted, and the answer lost."""

    @pytest.mark.parametrize(
        ("fault", "lag"),
        [
            (Fault(kind="drop_after", **CREATE), 0.0),
            (Fault(kind="drop_after", **CREATE), 2.0),
            (Fault(kind="truncate", after_bytes=20, **CREATE), 0.0),
            (Fault(kind="corrupt", after_bytes=0, **CREATE), 0.0),
            (Fault(kind="delay", seconds=600.0, **CREATE), 0.0),
        ],
        ids=["cut", "cut and listed late", "body cut", "nonsense", "timed out"],
    )
    def test_it_is_found(
        self, sandbox: Sandbox, request_body: dict[str, Any], fault: Fault, lag: float
    ) -> None:
        sandbox.reset(rate_limits=False, api_keys=sandbox.config.api_keys, list_lag_seconds=lag)
        sandbox.faults.add(fault)
        with session_of(sandbox, timeout=3.0) as session:
            placed = place_order(session, request_body, list_consistency_timeout=20.0)
            assert live(sandbox) == [placed.order_id]
            assert sent(sandbox) == 1
            assert (
                place_order(session, request_body, list_consistency_timeout=20.0).order_id == placed.order_id
            )
        assert live(sandbox) == [placed.order_id]

    @pytest.mark.parametrize(
        ("status", "odd"),
        [(status, None) for status in (302, 307, 204, 304, 418, 499, 599)]
        + [(201, odd) for odd in UNKNOWABLE + ODD],
        ids=repr,
    )
    def test_what_is_neither_yes_nor_no(
        self,
        sandbox: Sandbox,
        session: PlanetSession,
        request_body: dict[str, Any],
        status: int,
        odd: dict[str, Any] | None,
    ) -> None:
        """The order was accepted, and then something answered that can't be read, or is no refusal."""
        accepted: list[str] = []
        real = session.send

        def send(call: Any, **options: Any) -> Any:
            if call.rate_class == "orders.create" and not accepted:
                accepted.append(real(call)["id"])
            return real(call, **options)

        order = {"id": NO_ORDER, "state": "queued", "products": request_body["products"]}
        body = "" if odd is None else json.dumps(order | odd)
        headers = {"Location": f"{sandbox.url}/elsewhere"}
        sandbox.faults.add(Fault(kind="status", status=status, headers=headers, body=body, skip=1, **CREATE))
        session.send = send  # type: ignore[method-assign]
        assert place_order(session, request_body, list_consistency_timeout=20.0).order_id == accepted[0]
        assert live(sandbox) == accepted

    def test_it_is_not_taken_for_an_older_one(
        self, sandbox: Sandbox, session: PlanetSession, request_body: dict[str, Any]
    ) -> None:
        """One that is too old to be reused must not be taken for the one whose answer was lost."""
        old = place_order(session, request_body)
        sandbox.faults.add(Fault(kind="drop_after", **CREATE))
        new = place_order(session, request_body, reuse_max_age=timedelta(0), list_consistency_timeout=20.0)
        assert new.order_id != old.order_id
        assert live(sandbox) == [old.order_id, new.order_id]

    def test_looking_outlasts_trouble_with_the_list(
        self, sandbox: Sandbox, request_body: dict[str, Any]
    ) -> None:
        sandbox.faults.add(Fault(kind="drop_after", **CREATE))
        sandbox.faults.add(Fault(kind="status", status=503, **LIST, skip=1))
        with session_of(sandbox, max_attempts=1) as session:
            placed = place_order(session, request_body, list_consistency_timeout=20.0)
        assert live(sandbox) == [placed.order_id]
        assert sent(sandbox) == 1


class TestNotAccepted:
    @pytest.mark.parametrize(
        "fault",
        [Fault(kind="drop", **CREATE), Fault(kind="status", status=500, **CREATE)],
        ids=lambda fault: fault.kind,
    )
    def test_never_listed_it_is_sent_again_or_left_open(
        self, sandbox: Sandbox, session: PlanetSession, request_body: dict[str, Any], fault: Fault
    ) -> None:
        sandbox.faults.add(fault)
        try:
            placed: PlacedOrder | None = place_order(session, request_body, list_consistency_timeout=BRIEF)
        except OrderUncertainError:
            placed = None
        assert len(live(sandbox)) == (placed is not None)
        # Either way the next try ends with one.
        again = place_order(session, request_body, list_consistency_timeout=BRIEF)
        assert live(sandbox) == [again.order_id]

    @pytest.mark.parametrize(
        ("fault", "kind"),
        [
            (Fault(kind="status", status=400, body='{"message": "no"}', **CREATE), BadRequestError),
            (Fault(kind="status", status=401, **CREATE), AuthenticationError),
            (
                Fault(kind="status", status=403, body='{"message": "Download quota exceeded"}', **CREATE),
                OverQuotaError,
            ),
            (
                Fault(kind="status", status=409, body='{"message": "Order concurrency limit"}', **CREATE),
                OrderConcurrencyError,
            ),
            (
                Fault(kind="status", status=429, headers={"Retry-After": "999"}, times=None, **CREATE),
                RateLimitError,
            ),
        ],
        ids=["400", "401", "quota", "concurrency", "429"],
    )
    def test_refusals_are_clear(
        self,
        sandbox: Sandbox,
        session: PlanetSession,
        request_body: dict[str, Any],
        fault: Fault,
        kind: type[PlanetError],
    ) -> None:
        sandbox.faults.add(fault)
        listed = sum(one.method == "GET" for one in sandbox.requests)
        with pytest.raises(kind):
            place_order(session, request_body, list_consistency_timeout=60.0)
        assert live(sandbox) == []
        assert sent(sandbox) == 1
        assert sum(one.method == "GET" for one in sandbox.requests) == listed + 1

    def test_what_was_not_sent_is_not_looked_for(
        self, sandbox: Sandbox, request_body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with session_of(sandbox, max_attempts=1) as session:
            real = session.send

            def send(call: Any, **options: Any) -> Any:
                if call.rate_class == "orders.create":
                    raise TransportError("nobody listens", sent=False)
                return real(call, **options)

            monkeypatch.setattr(session, "send", send)
            with pytest.raises(TransportError, match="nobody listens"):
                place_order(session, request_body, list_consistency_timeout=60.0)
        assert live(sandbox) == []

    def test_bad_requests_are_not_even_looked_up(self, sandbox: Sandbox, session: PlanetSession) -> None:
        with pytest.raises(InvalidInputError):
            place_order(session, {"name": "weekly", "products": []})
        assert sandbox.requests == []


class TestUncertainty:
    def test_when_the_list_cannot_be_read(self, sandbox: Sandbox, request_body: dict[str, Any]) -> None:
        sandbox.faults.add(Fault(kind="drop_after", **CREATE))
        sandbox.faults.add(Fault(kind="status", status=503, **LIST, skip=1, times=None))
        with session_of(sandbox, max_attempts=2) as session:
            with pytest.raises(OrderUncertainError) as caught:
                place_order(session, request_body, list_consistency_timeout=BRIEF)
            error = caught.value
            for fact in (
                order_name("weekly", request_digest(request_body)),
                "not placed again",
                "buy it twice",
                "Look for that name among your orders",
                "looks for it first",
            ):
                assert fact in str(error)
            assert isinstance(error.__cause__, TransportError)
            assert len(live(sandbox)) == sent(sandbox) == 1
            # What the message promises.
            sandbox.faults.clear()
            found = place_order(session, request_body, list_consistency_timeout=20.0)
        assert found.reused
        assert live(sandbox) == [found.order_id]
        assert sent(sandbox) == 1

    def test_when_the_key_is_revoked_meanwhile(
        self, sandbox: Sandbox, session: PlanetSession, request_body: dict[str, Any]
    ) -> None:
        """No patience helps, and still it must not look as if nothing had been placed."""
        sandbox.faults.add(Fault(kind="drop_after", **CREATE))
        sandbox.faults.add(Fault(kind="status", status=401, **LIST, skip=1, times=None))
        with pytest.raises(OrderUncertainError, match="Check the API key"):
            place_order(session, request_body, list_consistency_timeout=60.0)
        assert len(live(sandbox)) == 1

    def test_the_list_is_unreadable_before(self, sandbox: Sandbox, request_body: dict[str, Any]) -> None:
        sandbox.faults.add(Fault(kind="status", status=503, **LIST, times=None))
        with session_of(sandbox, max_attempts=2) as session, pytest.raises(PlanetError):
            place_order(session, request_body, list_consistency_timeout=BRIEF)
        assert sent(sandbox) == 0
