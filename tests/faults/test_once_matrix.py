"""One live order, and the task ends with its id: every mishap with a POST, in every course a task can take.

A try is a process with the operator in it. It is killed with -9, or started twice, at the very moment that
counts, which the gateway between it and the sandbox sees. What Airflow itself does in these courses is tested
in ``tests/integration/test_once_real_airflow.py``.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from once_support import Setting, Try, items, live, wait_until

from benchmarks.gateway import MISHAPS, Gateway, Mishap, gateway
from planet_provider.sandbox import Sandbox, SandboxConfig, run

#: Sandbox seconds per second: a list that lags 10 s lags half a second.
SPEED = 20.0
LAGS = (0.0, 2.0, 10.0)
#: Seconds beyond the lag.
MARGIN = 0.3
TIMEOUT = 0.8
#: Sandbox seconds: an order doesn't end before its task is deferred.
QUEUED_SECONDS = 100_000.0

#: Where a later try runs, and what it can know of the one before.
MACHINE = "same machine, no task state store"
STORE = "another machine, task state store"
NOTHING = "another machine, no task state store"


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    with run(
        SandboxConfig(items=400, scene_pixels=16, rate_limits=False, queued_seconds=QUEUED_SECONDS)
    ) as sandbox:
        yield sandbox


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix."""

    sandbox: Sandbox
    gateway: Gateway
    setting: Setting
    folder: Path
    knows: str

    def start(self, try_number: int = 1, **changes: Any) -> Try:
        """Start a try."""
        machine = "machine" if self.knows == MACHINE else f"machine-{try_number}"
        setting = replace(
            self.setting,
            store=self.folder / machine,
            journal=self.folder / "journal.json" if self.knows == STORE else None,
            try_number=try_number,
            **changes,
        )
        return Try(setting, self.folder)

    def stop_the_list(self) -> None:
        """Let no time pass at Planet's, so that its list lags as long as another try takes to start."""
        self.sandbox.clock.speed = 1e-9

    def next_try(self, **changes: Any) -> Try:
        """Start the second try; time passes again when its first question has arrived."""
        before = len(self.sandbox.requests)
        second = self.start(2, **changes)
        wait_until(lambda: len(self.sandbox.requests) > before, "the second try's first look")
        self.sandbox.clock.speed = SPEED
        return second

    def waiting(self, **parameters: Any) -> dict[str, Any]:
        """Return the operator's parameters with some added."""
        return {**self.setting.operator, **parameters}


@pytest.fixture
def cell(
    server: Sandbox, request: pytest.FixtureRequest, tmp_path: Path, mishap: Mishap, lag: float, knows: str
) -> Iterator[Cell]:
    server.reset(list_lag_seconds=lag, speed=SPEED, api_keys=(f"PLAK{uuid.uuid4().hex}",))
    with gateway(server.url, lambda _, before: "none" if before else mishap, 2 * TIMEOUT) as between:
        operator = {
            "name": "once & for all 100 %",
            "items": items(server),
            "product_bundle": "visual",
            "list_consistency_timeout": lag / SPEED + MARGIN,
            "poke_interval": 0.2,
        }
        extra = {"timeout": TIMEOUT}
        setting = Setting(
            url=between.url, api_key=server.api_key, store=tmp_path, operator=operator, extra=extra
        )
        yield Cell(server, between, setting, tmp_path, knows)


def first_try(cell: Cell) -> list[str]:
    return [cell.start().order_id()]


def airflow_retry(cell: Cell) -> list[str]:
    # So that the first one fails: after the mishap it can't find out what became of the order.
    cell.gateway.lists_fail = "once"
    first = cell.start(
        extra={**cell.setting.extra, "max_attempts": 1}, operator=cell.waiting(list_consistency_timeout=0.1)
    )
    wait_until(lambda: cell.gateway.settled == 1, "the POST")
    cell.stop_the_list()
    assert first.outcome()["error"] in {"OrderUncertainError", "RateLimitError"}
    cell.gateway.lists_fail = None
    return [cell.next_try().order_id()]


def killed_before_the_answer(cell: Cell) -> list[str]:
    cell.gateway.hold_seconds = 60.0
    first = cell.start(extra={"timeout": 60.0})
    wait_until(lambda: cell.gateway.settled == 1, "the POST")
    cell.stop_the_list()
    first.kill()
    return [cell.next_try().order_id()]


def killed_before_the_xcom(cell: Cell) -> list[str]:
    assert cell.start(dies_at="xcom").exit_code() == -9
    cell.stop_the_list()
    return [cell.next_try().order_id()]


def cleared_while_deferred(cell: Cell) -> list[str]:
    waiting = cell.waiting(wait_for_completion=True, deferrable=True)
    first = cell.start(operator=waiting, ends_deferred=True).outcome()
    assert first["deferred"] == "execute_complete"
    order_id = first["kwargs"]["order_id"]
    cell.stop_the_list()
    second = cell.next_try(operator=waiting)
    # Found again, and deferred again.
    wait_until(lambda: sum(one.path.endswith(order_id) for one in cell.sandbox.requests) > 1, "the next wait")
    cell.sandbox.clock.advance(2 * QUEUED_SECONDS)
    return [order_id, second.order_id()]


def two_twins(cell: Cell) -> list[str]:
    cell.gateway.list_seconds = 0.5  # so that both would look before either has ordered
    twins = [cell.start(map_index=index) for index in (0, 1)]
    return [twin.order_id() for twin in twins]


def scheduler_restarted(cell: Cell) -> list[str]:
    # The first try lives on as an orphan, while the new scheduler starts another.
    cell.gateway.hold_seconds = 0.5
    orphan = cell.start()
    wait_until(lambda: cell.gateway.settled == 1, "the POST")
    return [cell.start(2).order_id(), orphan.order_id()]


COURSES = (
    first_try,
    airflow_retry,
    killed_before_the_answer,
    killed_before_the_xcom,
    cleared_while_deferred,
    two_twins,
    scheduler_restarted,
)
#: Courses whose second try may run on another machine.
MOVED = (airflow_retry, killed_before_the_answer, killed_before_the_xcom, cleared_while_deferred)
CELLS = [(course, MACHINE, lag) for course in COURSES for lag in LAGS]
CELLS += [(course, knows, LAGS[-1]) for course in MOVED for knows in (STORE, NOTHING)]
#: `make test` tries these; `.ci/run` adds the shortest lag of the others, `make test-all` everything.
QUICK = {(first_try, MACHINE), (killed_before_the_answer, STORE)}


def cell_of(course: Callable[[Cell], list[str]], knows: str, lag: float) -> Any:
    name = f"{course.__name__}-{knows.replace(', ', '-').replace(' ', '_')}-lag{lag:g}"
    marks = pytest.mark.ci if lag == LAGS[0] else pytest.mark.slow
    return pytest.param(course, knows, lag, id=name, marks=() if (course, knows) in QUICK else marks)


@pytest.mark.parametrize("mishap", MISHAPS)
@pytest.mark.parametrize(("course", "knows", "lag"), [cell_of(*cell) for cell in CELLS])
def test_one_live_order(cell: Cell, course: Callable[[Cell], list[str]], mishap: Mishap) -> None:
    ids = course(cell)
    assert live(cell.sandbox) == [ids[0]], "exactly one live order"
    assert set(ids) == {ids[0]}, "and every try that ended, ended with it"
    accepted = mishap not in {"drop", "429"}
    assert cell.gateway.settled == (1 if accepted else 2), "sent again only where it was not accepted"
