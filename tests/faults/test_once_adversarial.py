"""What else could buy twice: records that are lost, wrong or another's, clocks that are set, lists that lie."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from once_support import live

from client_support import dies_after_its_post, order_request, session_of
from planet_provider.client.api import orders
from planet_provider.client.http.session import PlanetSession
from planet_provider.coordination.journal import (
    FileJournal,
    MemoryJournal,
    Record,
    encode,
)
from planet_provider.exceptions import (
    APIError,
    CoordinationStoreError,
    LockTimeoutError,
    OrderConcurrencyError,
    OrderUncertainError,
    UnexpectedResponseError,
)
from planet_provider.ordering import notes as noting
from planet_provider.ordering import place as placing
from planet_provider.ordering import waiting
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
    with session_of(sandbox, coordination_store=store, timeout=8.0, max_attempts=3) as session:
        yield session


@pytest.fixture
def wanted(session: PlanetSession) -> dict[str, Any]:
    return order_request(session, "weekly", 1)


def place(session: PlanetSession, wanted: dict[str, Any], **options: Any) -> str:
    return place_order(session, wanted, **{"list_consistency_timeout": PATIENCE, **options}).order_id


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
        with pytest.raises(
            CoordinationStoreError,
            match=r"an order is not placed without a note.*Set the extra coordination_store",
        ):
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
        real = FileJournal.write

        def write(self: FileJournal, key: str, record: Record | None) -> None:
            if record is not None and record.order_id is not None:
                raise CoordinationStoreError("full")
            real(self, key, record)

        monkeypatch.setattr(FileJournal, "write", write)
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
            with session_of(sandbox, api_key=key, coordination_store=tmp_path.as_uri()) as session:
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
        place(session, wanted, list_consistency_timeout=90.0)
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
        session.send(orders.cancel(first))  # so that it is placed again

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

    @pytest.mark.parametrize("noted", ["task_store", "run"])
    @pytest.mark.parametrize("died", [False, True], ids=["placed", "killed before the answer"])
    def test_a_run_that_is_cleared_has_its_own_order_whatever_its_age(
        self, sandbox: Sandbox, session: PlanetSession, wanted: dict[str, Any], noted: str, died: bool
    ) -> None:
        """Airflow then takes the run to have begun at the clear."""
        own: dict[str, Any] = {"task_store": TaskStore()} if noted == "task_store" else {"run": "dag/run_1"}
        began, age = datetime.now(timezone.utc), timedelta(minutes=1)
        if died:
            with killed_after_its_post(session):
                place(session, wanted, reuse_max_age=age, asked_at=began, **own)
        else:
            place(session, wanted, reuse_max_age=age, asked_at=began, **own)
        [first] = live(sandbox)
        sandbox.clock.advance(3600)
        cleared = began + timedelta(hours=1)
        for _ in range(2):
            assert place(session, wanted, reuse_max_age=age, asked_at=cleared, **own) == first
        other: dict[str, Any] = {"task_store": TaskStore()} if noted == "task_store" else {"run": "dag/run_2"}
        assert place(session, wanted, reuse_max_age=age, asked_at=cleared, **other) != first

    def test_a_clock_that_is_ahead_of_planets_makes_no_order_old(
        self, sandbox: Sandbox, session: PlanetSession, wanted: dict[str, Any]
    ) -> None:
        ahead = datetime.now(timezone.utc) + timedelta(hours=2)
        first = place(session, wanted)
        assert place(session, wanted, reuse_max_age=timedelta(hours=1), asked_at=ahead) == first
        assert live(sandbox) == [first]


@contextmanager
def killed_after_its_post(session: PlanetSession) -> Iterator[None]:
    """Kill what places an order in the block, when it was accepted and nobody knows."""
    # Its answer may be under way until then.
    session.config = replace(session.config, timeout=0.3)
    with dies_after_its_post(session):
        yield


class TaskStore(dict[str, Any]):
    """Airflow's task state store."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


def cut(name: str) -> str:
    return name[:9]


def squeezed(name: str) -> str:
    return " ".join(name.split())


def completed(name: str) -> str:
    return f"acme/{name} (prod)"


class TestChangedNames:
    """Something between us and Planet, or Planet, stores a name otherwise than it was sent."""

    @pytest.fixture(
        params=[cut, squeezed, completed, str.upper, lambda _: "-"],
        ids=["cut", "squeezed", "completed", "in capitals", "gone"],
    )
    def session(self, request: Any, session: PlanetSession) -> PlanetSession:
        session.config = replace(session.config, timeout=0.3)
        real = session.send

        def send(call: Any, **options: Any) -> Any:
            if call.rate_class == "orders.create":
                call = replace(call, json={**call.json, "name": request.param(call.json["name"])})
            return real(call, **options)

        session.send = send  # type: ignore[method-assign]
        return session

    @pytest.fixture
    def wanted(self, wanted: dict[str, Any]) -> dict[str, Any]:
        return wanted | {"name": "weekly  report"}

    def test_it_is_said_and_the_order_found_by_its_id(
        self, sandbox: Sandbox, session: PlanetSession, wanted: dict[str, Any]
    ) -> None:
        with pytest.raises(UnexpectedResponseError, match=r"Planet calls it.*noted by its id"):
            place(session, wanted)
        [first] = live(sandbox)
        assert place(session, wanted) == first
        assert sent(sandbox) == 1

    @pytest.mark.parametrize("killed", [False, True], ids=["cut", "killed"])
    def test_it_is_said_where_the_answer_was_lost(
        self, sandbox: Sandbox, session: PlanetSession, wanted: dict[str, Any], killed: bool
    ) -> None:
        if killed:
            with killed_after_its_post(session):
                place(session, wanted)
        else:
            sandbox.faults.add(Fault(kind="drop_after", **CREATE))
        for _ in range(2):
            with pytest.raises(OrderUncertainError, match="may be the same name"):
                place(session, wanted)
        assert sent(sandbox) == 1


def test_an_order_of_the_same_products_with_another_name_is_another(
    sandbox: Sandbox, session: PlanetSession, wanted: dict[str, Any]
) -> None:
    """Somebody placed it in the same minute: it is not taken for ours whose answer was lost."""
    session.send(orders.create({**wanted, "name": "monthly"}))
    sandbox.faults.add(Fault(kind="drop", **CREATE))
    placed = place(session, wanted)
    assert sandbox.orders[placed]["name"].startswith("weekly [")
    assert len(live(sandbox)) == 2


class TestForgetfulStore:
    """One that was started, or lost what it knew, a moment ago: maybe while an order was being placed."""

    @pytest.fixture
    def ages(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
        ages = {"seconds": 0.0}

        class Forgetful(MemoryJournal):
            def remembers_seconds(self) -> float:
                return ages["seconds"]

        monkeypatch.setattr(noting, "open_journal", lambda _: Forgetful())
        return ages

    def test_makes_everybody_patient(
        self, sandbox: Sandbox, session: PlanetSession, wanted: dict[str, Any], ages: dict[str, float]
    ) -> None:
        ages["seconds"] = 0.3
        with killed_after_its_post(session):
            place(session, wanted)
        [first] = live(sandbox)
        assert place(session, wanted) == first
        assert live(sandbox) == [first]

    def test_for_a_time(self, session: PlanetSession, wanted: dict[str, Any], ages: dict[str, float]) -> None:
        ages["seconds"] = session.config.timeout + 90.0
        started = time.monotonic()
        place(session, wanted, list_consistency_timeout=90.0)
        assert time.monotonic() - started < 60


class TestProgress:
    @pytest.fixture(autouse=True)
    def short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(waiting, "REPORT_SECONDS", 0.05)

    def test_of_looking_for_an_order(
        self,
        sandbox: Sandbox,
        session: PlanetSession,
        wanted: dict[str, Any],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Also while the list itself hangs."""
        first = place(session, wanted)
        sandbox.reset(rate_limits=False, api_keys=sandbox.config.api_keys)
        sandbox.faults.add(Fault(kind="delay", seconds=0.3, skip=1, **LIST))
        with caplog.at_level("INFO"):
            place(session, wanted)
        assert f"Order {first}, placed before, is not found at {sandbox.url}." in caplog.text
        [begin] = [one for one in caplog.messages if one.startswith("Looking for the order")]
        assert re.search(rf"until \d\d:\d\d:\d\d UTC \(1 s\), because order {first}, placed before", begin)
        reports = [one for one in caplog.messages if "does not show the order" in one]
        assert len(reports) > 5
        assert re.search(r"Waiting until \d\d:\d\d:\d\d UTC at most", reports[0])

    def test_of_waiting_for_another_task(
        self, session: PlanetSession, wanted: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        class Slow:
            @contextmanager
            def hold(self, *_: object) -> Iterator[Lost]:
                time.sleep(0.2)
                yield Lost(9)

        with caplog.at_level("INFO"), pytest.MonkeyPatch.context() as patch:
            patch.setattr(placing, "open_locks", lambda *_: Slow())
            place(session, wanted)
        assert re.search(r"Another task is placing the order 'weekly .*Waiting until \d\d:", caplog.text)
