"""What else could buy twice: records that are lost, wrong or another's, clocks that are set, lists that lie."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from once_support import live

from client_support import order_request, session_of
from planet_provider.client import orders
from planet_provider.client.session import PlanetSession
from planet_provider.exceptions import (
    APIError,
    LockTimeoutError,
    OrderConcurrencyError,
    OrderUncertainError,
    RateLimitStoreError,
)
from planet_provider.ordering import place as placing
from planet_provider.ordering.ledger import FileLedger, Record, encode
from planet_provider.ordering.outcome import summary
from planet_provider.ordering.place import place_order
from planet_provider.sandbox import Fault, Sandbox

CREATE = {"method": "POST", "path": r"/orders/v2$"}
LIST = {"method": "GET", "path": r"/orders/v2\?"}
#: Seconds of lag, and of patience with it.
LAG, PATIENCE = 0.6, 0.8


@pytest.fixture
def sandbox(planet_sandbox: Sandbox) -> Sandbox:
    key = f"PLAK{uuid.uuid4().hex}"
    planet_sandbox.reset(rate_limits=False, api_keys=(key,), list_lag_seconds=LAG)
    return planet_sandbox


@pytest.fixture
def session(sandbox: Sandbox, tmp_path: Path) -> Iterator[PlanetSession]:
    store = tmp_path.as_uri()
    with session_of(sandbox, rate_limit_store=store, timeout=8.0, max_attempts=3) as session:
        yield session


@pytest.fixture
def wanted(session: PlanetSession) -> dict[str, Any]:
    return order_request(session, "weekly", 1)


def place(session: PlanetSession, wanted: dict[str, Any], **options: Any) -> str:
    return place_order(session, wanted, **{"patience": PATIENCE, **options}).order_id


def sent(sandbox: Sandbox) -> int:
    return sum(one.method == "POST" and one.path.endswith("/orders/v2") for one in sandbox.requests)


def stop_the_list(sandbox: Sandbox) -> None:
    """Have the list show what has happened until now, and nothing that happens from now on."""
    sandbox.clock.speed = 1e-9
    sandbox.clock.advance(LAG)


def record_file(folder: Path) -> Path:
    [file] = (folder / "orders").glob("*.json")
    return file


class TestRecords:
    @pytest.mark.parametrize("left", ["", "{", '{"at": 1'], ids=["empty", "cut", "cut later"])
    def test_that_a_full_disk_cut(
        self, sandbox: Sandbox, session: PlanetSession, wanted: dict[str, Any], tmp_path: Path, left: str
    ) -> None:
        first = place(session, wanted)
        record_file(tmp_path).write_text(left)
        assert place(session, wanted) == first
        assert live(sandbox) == [first]

    def test_of_the_same_content_under_another_name(
        self, sandbox: Sandbox, session: PlanetSession, wanted: dict[str, Any]
    ) -> None:
        """Names are the user's, and no part of the digest; they must not share a record."""
        first = place(session, wanted)
        second = place(session, {**wanted, "name": "monthly"})
        assert [place(session, wanted), place(session, {**wanted, "name": "monthly"})] == [first, second]
        assert live(sandbox) == [first, second]

    @pytest.mark.parametrize("step", [-86_400.0, -300.0, 300.0, 86_400.0])
    def test_of_a_clock_that_was_set_since(
        self, sandbox: Sandbox, session: PlanetSession, wanted: dict[str, Any], tmp_path: Path, step: float
    ) -> None:
        first = place(session, wanted)
        record_file(tmp_path).write_text(encode(Record(time.time() + step)))  # as if killed before the answer
        started = time.monotonic()
        assert place(session, wanted) == first
        assert time.monotonic() - started < 60
        assert live(sandbox) == [first]

    def test_that_can_not_be_written_before(
        self, sandbox: Sandbox, session: PlanetSession, wanted: dict[str, Any], tmp_path: Path
    ) -> None:
        (tmp_path / "orders").write_text("in the way")
        with pytest.raises(RateLimitStoreError, match="An order is not placed without a note"):
            place(session, wanted)
        assert sent(sandbox) == 0

    def test_that_can_not_be_written_after(
        self,
        sandbox: Sandbox,
        session: PlanetSession,
        wanted: dict[str, Any],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The order is there: its id is handed on, and the doubt that was noted before makes others patient."""
        real = FileLedger.write

        def write(self: FileLedger, key: str, record: Record | None) -> None:
            if record is not None and record.order_id is not None:
                raise RateLimitStoreError("full")
            real(self, key, record)

        monkeypatch.setattr(FileLedger, "write", write)
        first = place(session, wanted)
        assert place(session, wanted) == first
        assert live(sandbox) == [first]

    def test_of_a_lost_order_with_a_list_that_does_not_know_yet(
        self, sandbox: Sandbox, session: PlanetSession, wanted: dict[str, Any]
    ) -> None:
        first = place(session, wanted)
        stop_the_list(sandbox)
        session.send(orders.cancel(first))
        assert [order["state"] for page in session.pages(orders.list_orders()) for order in page] == [
            "queued"
        ]
        second = place(session, wanted)
        assert second != first
        assert live(sandbox) == [second]

    def test_lost_with_a_list_that_does_not_know_yet(
        self, sandbox: Sandbox, session: PlanetSession, wanted: dict[str, Any], tmp_path: Path
    ) -> None:
        first = place(session, wanted)
        stop_the_list(sandbox)
        session.send(orders.cancel(first))
        record_file(tmp_path).unlink()
        second = place(session, wanted)
        assert live(sandbox) == [second]

    def test_of_an_order_that_planet_does_not_find(
        self, sandbox: Sandbox, session: PlanetSession, wanted: dict[str, Any]
    ) -> None:
        """A 404 for what was placed a moment ago need not last."""
        first = place(session, wanted)
        sandbox.faults.add(Fault(kind="status", status=404, method="GET", path=f"/{first}$"))
        assert place(session, wanted) == first
        assert live(sandbox) == [first]

    def test_of_another_account(self, sandbox: Sandbox, wanted: dict[str, Any], tmp_path: Path) -> None:
        keys = tuple(f"PLAK{uuid.uuid4().hex}" for _ in range(2))
        sandbox.reset(rate_limits=False, api_keys=keys)
        ids = []
        for key in (*keys, *keys):
            with session_of(sandbox, api_key=key, rate_limit_store=tmp_path.as_uri()) as session:
                ids.append(place(session, wanted))
        assert ids[:2] == ids[2:]
        assert live(sandbox) == ids[:2]
        assert len({order["user_id"] for order in sandbox.orders.values()}) == 2

    def test_a_clear_refusal_leaves_no_doubt(
        self, sandbox: Sandbox, session: PlanetSession, wanted: dict[str, Any], tmp_path: Path
    ) -> None:
        sandbox.reset(rate_limits=False, api_keys=sandbox.config.api_keys, max_queued_orders=0)
        with pytest.raises(OrderConcurrencyError):
            place(session, wanted)
        assert list((tmp_path / "orders").iterdir()) == []
        sandbox.reset(rate_limits=False, api_keys=sandbox.config.api_keys)
        started = time.monotonic()
        place(session, wanted, patience=90.0)
        assert time.monotonic() - started < 60


class Lost:
    """A lock that was lost after so many checks."""

    def __init__(self, checks: int) -> None:
        self.checks = checks

    def check(self) -> None:
        self.checks -= 1
        if self.checks < 0:
            raise LockTimeoutError("lost")

    def hold(self, *_: Any) -> Any:
        from contextlib import nullcontext

        return nullcontext(self)


class TestLostLock:
    def test_before_the_post(
        self,
        sandbox: Sandbox,
        session: PlanetSession,
        wanted: dict[str, Any],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Nothing is sent, and what the new holder has noted meanwhile stays."""
        first = place(session, wanted)
        noted = record_file(tmp_path)
        session.send(orders.cancel(first))  # so that it is placed anew

        def twin(_: Any) -> None:
            noted.write_text(encode(Record(7.0)))

        monkeypatch.setattr(placing, "open_locks", lambda *_: Lost(0))
        with pytest.raises(LockTimeoutError):
            place(session, wanted, before_placing=twin)
        assert sent(sandbox) == 1
        assert noted.read_text() == encode(Record(7.0))

    def test_before_a_refusal(
        self,
        sandbox: Sandbox,
        session: PlanetSession,
        wanted: dict[str, Any],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        sandbox.faults.add(Fault(kind="status", status=400, **CREATE))
        monkeypatch.setattr(placing, "open_locks", lambda *_: Lost(1))
        with pytest.raises(APIError):
            place(session, wanted)
        assert record_file(tmp_path).exists(), "it may be another's by now"


class TestAnswers:
    @pytest.mark.parametrize("status", [408, 499, 500, 504, 599])
    def test_a_gateway_that_gave_up_is_no_refusal(
        self, sandbox: Sandbox, session: PlanetSession, wanted: dict[str, Any], status: int
    ) -> None:
        sandbox.faults.add(Fault(kind="status", status=status, **CREATE))
        place(session, wanted)
        assert sent(sandbox) == 2
        lists = [one for one in sandbox.requests if one.method == "GET" and one.path.endswith("/orders/v2")]
        assert len(lists) > 2, "it was looked for before it was sent again"

    def test_an_order_that_planet_describes_otherwise(
        self, sandbox: Sandbox, session: PlanetSession, wanted: dict[str, Any]
    ) -> None:
        """It has the name that was sent a moment ago: whatever it is, another one might be bought twice."""
        name = placing.order_name(wanted["name"], placing.request_digest(wanted))
        row = {
            "id": str(uuid.uuid4()),
            "name": name,
            "state": "queued",
            "created_on": "2024-05-01T00:00:00Z",
            "products": [{**wanted["products"][0], "item_ids": ["other"]}],
        }
        body = json.dumps({"orders": [row], "_links": {}})
        sandbox.faults.add(Fault(kind="drop_after", **CREATE))
        sandbox.faults.add(Fault(kind="status", status=200, body=body, times=None, skip=1, **LIST))
        with pytest.raises(OrderUncertainError, match="products other than asked for"):
            place(session, wanted)
        assert sent(sandbox) == 1

    def test_of_several_bundles_planet_names_the_one_it_took(
        self, sandbox: Sandbox, session: PlanetSession, wanted: dict[str, Any]
    ) -> None:
        [product] = wanted["products"]
        name = placing.order_name("weekly", placing.request_digest(wanted))
        first = session.send(orders.create({"name": name, "products": [product]}))["id"]
        [row] = (sandbox.orders[first],)
        several = {**wanted, "products": [{**product, "product_bundle": "visual,ANALYTIC_UDM2"}]}
        assert placing.is_live({**row, "name": "n"}, {**several, "name": "n"})

    def test_what_is_found_is_described_in_full(
        self, sandbox: Sandbox, session: PlanetSession, wanted: dict[str, Any], tmp_path: Path
    ) -> None:
        """Rows of a list hold no results: taken as they are, everything of a partial order would be missing."""
        wanted = {**order_request(session, "weekly", 2), "order_type": "partial"}
        sandbox.outcomes.add(state="partial")
        first = place(session, wanted)
        sandbox.clock.advance(3600)
        record_file(tmp_path).unlink()
        found = place_order(session, wanted)
        assert found.order_id == first
        [missing] = summary(found.order)["missing"]
        assert missing["item_ids"] == wanted["products"][0]["item_ids"][1:]


class TestAge:
    def test_what_one_try_placed_is_not_too_old_for_the_next(
        self, sandbox: Sandbox, session: PlanetSession, wanted: dict[str, Any], tmp_path: Path
    ) -> None:
        began = datetime.now(timezone.utc)
        age = timedelta(minutes=1)
        first = place(session, wanted, reuse_max_age=age, asked_at=began)
        sandbox.clock.advance(3600)
        for forgotten in (False, True):
            if forgotten:
                record_file(tmp_path).unlink()
            assert place(session, wanted, reuse_max_age=age, asked_at=began) == first
        later = began + timedelta(hours=1)
        assert place(session, wanted, reuse_max_age=age, asked_at=later) != first
        assert len(live(sandbox)) == 2
