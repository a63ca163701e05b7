"""Orders in a real Airflow whose tasks are cleared, retried, killed and marked: one live order each.

Every first answer to an order is lost on its way, and the list of orders lags behind.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from shared_airflow import LONG_SECONDS, RUN_SECONDS, SharedAirflow

from benchmarks.gateway import Gateway, Mishap, gateway
from planet_provider.sandbox import Sandbox, SandboxConfig, run
from planet_provider.sandbox.bundles import choose

pytestmark = pytest.mark.integration

#: Longer than a killed task takes to be tried again.
LAG_SECONDS = 8.0
HANGING = ("killed", "restarted")

DAGS = """
from datetime import timedelta

from airflow.sdk import DAG

from planet_provider.operators.orders import PlanetCreateOrderOperator

ITEMS = __ITEMS__
WAIT = {"wait_for_completion": True, "cancel_on_kill": True}
COURSES = {
    "cleared": WAIT | {"deferrable": True},
    "failed_deferred": WAIT | {"deferrable": True},
    "triggerer_killed": WAIT | {"deferrable": True},
    "failed_running": WAIT | {"deferrable": False, "retries": 0},
    "retried": {"retries": 50},
    "killed": {},
    "restarted": {},
}
COMMON = {
    "planet_conn_id": "once", "task_id": "order", "product_bundle": "visual", "list_consistency_timeout": 10.0,
    "poke_interval": 2.0, "retries": 2, "retry_delay": timedelta(seconds=1),
}
for course, settings in COURSES.items():
    with DAG(dag_id=course, schedule=None) as globals()[course]:
        PlanetCreateOrderOperator(name=course, items=ITEMS, **COMMON | settings)
with DAG(dag_id="twins", schedule=None):
    PlanetCreateOrderOperator.partial(name="twins", **COMMON).expand(items=[ITEMS, ITEMS])
"""
COURSES = (
    "cleared",
    "failed_deferred",
    "triggerer_killed",
    "failed_running",
    "retried",
    "killed",
    "restarted",
    "twins",
)


@dataclass(frozen=True)
class Scene:
    """A running Airflow, and the Planet it orders from.

    :param gateway: Between both; it sees every request.
    """

    airflow: SharedAirflow
    sandbox: Sandbox
    gateway: Gateway

    def orders(self, course: str) -> dict[str, str]:
        """Return the states of a course's orders by id."""
        return {
            order["id"]: order["state"]
            for order in self.sandbox.orders.values()
            if order["name"].startswith(f"{course} [")
        }

    def start(self, course: str) -> None:
        self.airflow.trigger(course, run_id=course)

    def task(self, course: str) -> tuple[str | None, int, int | None]:
        """Return state, number of the try and process id of a course's task."""
        sql = "SELECT state, try_number, pid FROM task_instance WHERE dag_id = ?"
        rows = self.airflow.metadata.query(sql, course)
        return rows[0] if rows else (None, 0, None)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        self.airflow.processes.wait_until(condition, what, RUN_SECONDS)

    def wait_for(self, course: str, state: str, tries: int = 1) -> None:
        """Wait until a course's task is in a state, in that try or a later one."""

        def reached() -> bool:
            now, number, _ = self.task(course)
            return now == state and number >= tries

        self.wait(reached, f"{course} is not {state} in try {tries}")

    def looked(self) -> int:
        """Count the lists that the triggerer asked for: by time of change. Tasks list by name."""
        lists = (one for one in self.sandbox.requests if one.path == "/compute/ops/orders/v2")
        return sum(one.method == "GET" and "name" not in one.query for one in lists)

    def wait_in_triggerer(self, course: str) -> str:
        """Start a course and wait until the triggerer looks at its order; return the order.

        A task that leaves the state "deferred" before has no trigger yet that could be told.
        """
        self.start(course)
        self.wait_for(course, "deferred")
        before = self.looked()
        self.wait(lambda: self.looked() > before, "the triggerer does not wait")
        [order_id] = self.orders(course)
        return order_id

    def mark_failed(self, course: str) -> None:
        path = f"/dags/{course}/dagRuns/{course}/taskInstances/order"
        self.airflow.request("PATCH", path, json={"new_state": "failed"})

    def ended(self, course: str) -> str:
        """Wait until a course has succeeded; return its only live order, which is what its tasks returned."""
        self.airflow.wait_for_run(course, course, RUN_SECONDS)
        live = [one for one, state in self.orders(course).items() if state not in {"failed", "cancelled"}]
        assert len(live) == 1, self.orders(course)
        for row in self.airflow.metadata.tasks(course):
            assert self.airflow.xcom(course, course, "order", map_index=row.map_index) == live[0]
        return live[0]

    def let_orders_end(self) -> None:
        """Move Planet's clock on. An order stays queued, and can be cancelled, until then."""
        self.sandbox.clock.advance(LONG_SECONDS + 60)


def mishap(name: str, before: int) -> Mishap:
    if before:
        return "none"
    return "hang" if name.startswith(HANGING) else "drop_after"


@pytest.fixture(scope="module")
def scene(airflow: SharedAirflow) -> Iterator[Scene]:
    settings = SandboxConfig(
        items=400,
        scene_pixels=16,
        rate_limits=False,
        list_lag_seconds=LAG_SECONDS,
        queued_seconds=LONG_SECONDS,
    )
    with run(settings) as sandbox, gateway(sandbox.url, mishap) as between:
        scenes = (item for item in sandbox.catalogue if item.item_type == "PSScene")
        item_id = next(item.id for item in scenes if choose(item, "visual") == "visual")
        airflow.add_connection("once", between.url, sandbox.api_key, backoff_seconds=0.1, max_attempts=2)
        items = {"item_type": "PSScene", "item_ids": [item_id]}
        airflow.add_dags(DAGS.replace("__ITEMS__", repr(items)), *COURSES)
        yield Scene(airflow, sandbox, between)


@pytest.mark.slow
def test_two_mapped_twins(scene: Scene) -> None:
    scene.start("twins")
    assert scene.ended("twins")
    assert len(scene.airflow.metadata.tasks("twins")) == 2
    assert len(scene.orders("twins")) == 1


@pytest.mark.ci
def test_cleared_while_deferred(scene: Scene) -> None:
    order_id = scene.wait_in_triggerer("cleared")
    body = {"dry_run": False, "dag_run_id": "cleared", "task_ids": ["order"], "only_failed": False}
    scene.airflow.request("POST", "/dags/cleared/clearTaskInstances", json=body)
    # The old trigger is told of a kill when the new try has started already.
    scene.wait_for("cleared", "deferred", tries=2)
    assert scene.orders("cleared") == {order_id: "queued"}
    scene.let_orders_end()
    assert scene.ended("cleared") == order_id
    assert list(scene.orders("cleared")) == [order_id]


@pytest.mark.slow
def test_marked_failed_while_deferred(scene: Scene) -> None:
    order_id = scene.wait_in_triggerer("failed_deferred")
    scene.mark_failed("failed_deferred")
    scene.wait(
        lambda: scene.orders("failed_deferred") == {order_id: "cancelled"}, "the order was not cancelled"
    )


@pytest.mark.slow
def test_marked_failed_while_running(scene: Scene) -> None:
    scene.start("failed_running")
    scene.wait(
        lambda: scene.task("failed_running")[0] == "running" and bool(scene.orders("failed_running")),
        "it runs",
    )
    [order_id] = scene.orders("failed_running")
    looked = lambda: sum(one.path.endswith(order_id) for one in scene.sandbox.requests)  # noqa: E731
    scene.wait(lambda: looked() > 1, "it does not wait")
    scene.mark_failed("failed_running")
    scene.wait(
        lambda: scene.orders("failed_running") == {order_id: "cancelled"}, "the order was not cancelled"
    )


@pytest.mark.slow
def test_retried_by_airflow(scene: Scene) -> None:
    scene.gateway.lists_fail = "retried"
    scene.start("retried")

    def failed_once() -> bool:
        state, number, _ = scene.task("retried")
        return state == "up_for_retry" or number > 1

    scene.wait(failed_once, "the first try did not fail")
    assert len(scene.orders("retried")) == 1, "the order whose fate the first try could not find out"
    scene.gateway.lists_fail = None
    order_id = scene.ended("retried")
    assert list(scene.orders("retried")) == [order_id]
    assert scene.task("retried")[1] > 1


@pytest.mark.ci
def test_worker_killed_between_post_and_answer(scene: Scene) -> None:
    scene.start("killed")
    scene.wait(lambda: bool(scene.orders("killed")), "the order was not placed")
    _, number, pid = scene.task("killed")
    assert number == 1
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    order_id = scene.ended("killed")
    assert list(scene.orders("killed")) == [order_id]
    assert scene.task("killed")[1] == 2


@pytest.mark.slow
def test_triggerer_killed_and_restarted(scene: Scene) -> None:
    order_id = scene.wait_in_triggerer("triggerer_killed")
    scene.airflow.restart("triggerer")
    again = scene.looked()
    scene.wait(lambda: scene.looked() > again, "the new triggerer does not wait")
    assert scene.orders("triggerer_killed") == {order_id: "queued"}
    scene.let_orders_end()
    assert scene.ended("triggerer_killed") == order_id
    assert list(scene.orders("triggerer_killed")) == [order_id]


@pytest.mark.slow
def test_scheduler_killed_and_restarted(scene: Scene) -> None:
    scene.start("restarted")
    scene.wait(lambda: bool(scene.orders("restarted")), "the order was not placed")
    assert scene.task("restarted")[:2] == ("running", 1)
    # So that the new one takes over soon from the one that was killed.
    soon = {"scheduler_health_check_threshold": 12, "orphaned_tasks_check_interval": 3}
    scene.airflow.restart("scheduler", {"scheduler": soon})
    order_id = scene.ended("restarted")
    assert list(scene.orders("restarted")) == [order_id]
    assert scene.task("restarted")[1] > 1
    scene.airflow.restart("scheduler")
