"""What a task remembers of its order, where its tries share nothing else."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from client_support import dies_after_its_post, order_request, session_of
from planet_provider.client.http.session import PlanetSession
from planet_provider.exceptions import BadRequestError, CoordinationStoreError
from planet_provider.ordering.place import PlacedOrder, place_order
from planet_provider.sandbox import Fault, Sandbox

CREATE = {"method": "POST", "path": r"/orders/v2$"}
#: Seconds of lag, and of patience with it.
LAG, PATIENCE = 0.6, 0.8


class TaskStore:
    """Airflow's task state store: JSON, and no ``None``."""

    def __init__(self, *, fails_after: int | None = None) -> None:
        self.content: dict[str, str] = {}
        self.fails_after = fails_after
        self.writes = 0

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.content[key]) if key in self.content else default

    def set(self, key: str, value: Any) -> None:
        assert value is not None
        self.writes += 1
        if self.fails_after is not None and self.writes > self.fails_after:
            raise RuntimeError("the API server is away")
        self.content[key] = json.dumps(value)


@pytest.fixture
def sandbox(planet_sandbox: Sandbox) -> Sandbox:
    planet_sandbox.reset(rate_limits=False, api_keys=(f"PLAK{uuid.uuid4().hex}",), list_lag_seconds=LAG)
    return planet_sandbox


class Machines:
    """Machines that share no file."""

    def __init__(self, sandbox: Sandbox, folder: Path, stack: ExitStack) -> None:
        self.sandbox, self.folder, self.stack, self.count = sandbox, folder, stack, 0

    def session(self, **settings: Any) -> PlanetSession:
        self.count += 1
        store = (self.folder / str(self.count)).as_uri()
        return self.stack.enter_context(
            session_of(self.sandbox, **{"coordination_store": store, "timeout": 2.0, **settings})
        )

    def place(self, wanted: dict[str, Any], task_store: TaskStore | None, **options: Any) -> PlacedOrder:
        """Place an order on another machine than before."""
        return place_order(
            self.session(), wanted, list_consistency_timeout=PATIENCE, task_store=task_store, **options
        )


@pytest.fixture
def machines(sandbox: Sandbox, tmp_path: Path) -> Iterator[Machines]:
    with ExitStack() as stack:
        yield Machines(sandbox, tmp_path, stack)


@pytest.fixture
def wanted(machines: Machines) -> dict[str, Any]:
    return order_request(machines.session(), "weekly", 1)


@contextmanager
def died_at_its_first_post(
    sandbox: Sandbox, machines: Machines, wanted: dict[str, Any], task_store: TaskStore
) -> Iterator[None]:
    """A try whose POST was accepted, and which noticed nothing more."""
    session = machines.session()
    with dies_after_its_post(session):
        place_order(session, wanted, list_consistency_timeout=PATIENCE, task_store=task_store)
    yield


def test_the_id_is_known_before_the_list_shows_it(
    sandbox: Sandbox, machines: Machines, wanted: dict[str, Any]
) -> None:
    task_store = TaskStore()
    first = machines.place(wanted, task_store)
    found = machines.place(wanted, task_store, retried=True)
    assert (found.order_id, found.reused) == (first.order_id, True)
    assert list(sandbox.orders) == [first.order_id]


def test_killed_before_the_answer(sandbox: Sandbox, machines: Machines, wanted: dict[str, Any]) -> None:
    task_store = TaskStore()
    with died_at_its_first_post(sandbox, machines, wanted, task_store):
        [noted] = task_store.content.values()
        assert json.loads(noted)["order_id"] is None
    found = machines.place(wanted, task_store, retried=True)
    assert list(sandbox.orders) == [found.order_id]
    assert found.order_id in next(iter(task_store.content.values()))


def test_what_can_not_be_noted_is_not_placed(
    sandbox: Sandbox, machines: Machines, wanted: dict[str, Any]
) -> None:
    with pytest.raises(CoordinationStoreError, match="API server"):
        machines.place(wanted, TaskStore(fails_after=0))
    assert sandbox.orders == {}


def test_what_was_placed_is_handed_on_though_it_can_not_be_noted(
    sandbox: Sandbox, machines: Machines, wanted: dict[str, Any]
) -> None:
    task_store = TaskStore(fails_after=1)
    first = machines.place(wanted, task_store)
    task_store.fails_after = None
    assert machines.place(wanted, task_store, retried=True).order_id == first.order_id
    assert list(sandbox.orders) == [first.order_id]


def test_a_refusal_is_handed_on_though_it_can_not_be_noted(
    sandbox: Sandbox, machines: Machines, wanted: dict[str, Any]
) -> None:
    sandbox.faults.add(Fault(kind="status", status=400, **CREATE))
    with pytest.raises(BadRequestError):
        machines.place(wanted, TaskStore(fails_after=1))


def test_a_renewed_api_key(sandbox: Sandbox, machines: Machines, wanted: dict[str, Any]) -> None:
    """The shared journal goes by it, and the task's own memory doesn't."""
    task_store = TaskStore()
    with died_at_its_first_post(sandbox, machines, wanted, task_store):
        pass
    [order_id] = sandbox.orders
    [name] = task_store.content
    assert sandbox.api_key not in name
    account = machines.session().config.account
    assert account not in name
    assert machines.place(wanted, task_store).order_id == order_id


@pytest.mark.parametrize("salt", ["", "dag/run_1"])
def test_two_orders_of_one_task(
    sandbox: Sandbox, machines: Machines, wanted: dict[str, Any], salt: str
) -> None:
    task_store = TaskStore()
    names = ("weekly", "monthly")
    first = [machines.place({**wanted, "name": name}, task_store, salt=salt).order_id for name in names]
    again = [machines.place({**wanted, "name": name}, task_store, salt=salt).order_id for name in names]
    assert first == again
    assert list(sandbox.orders) == first


def test_without_a_journal_a_retry_is_patient(
    sandbox: Sandbox, machines: Machines, wanted: dict[str, Any]
) -> None:
    first = machines.place(wanted, None)
    assert machines.place(wanted, None, retried=True).order_id == first.order_id
    assert list(sandbox.orders) == [first.order_id]
