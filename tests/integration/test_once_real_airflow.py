"""Orders in a real Airflow whose tasks are cleared, retried, killed and marked: one live order each.

Every first answer to an order is lost on its way, and the list of orders lags behind.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]
import pytest

from benchmarks.gateway import Gateway, Mishap, gateway
from demo.local_airflow import LocalAirflow
from demo.processes import ended_by_signals
from planet_provider.sandbox import Sandbox, SandboxConfig, run
from planet_provider.sandbox.bundles import choose

pytestmark = [pytest.mark.integration, pytest.mark.soak]

#: Longer than a killed task takes to be tried again.
LAG_SECONDS = 8.0
#: An order stays queued, and can be cancelled, until the clock is moved on.
QUEUED_SECONDS = 10_000.0
HANGING = ("killed", "restarted")
WAIT_SECONDS = 240.0

DAGS = """
import json
import os
from datetime import timedelta

from airflow.sdk import DAG

from planet_provider.operators.orders import PlanetCreateOrderOperator

ITEMS = json.loads(os.environ["ONCE_ITEMS"])
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
    "task_id": "order", "product_bundle": "visual", "patience": 10.0, "poke_interval": 2.0, "retries": 2,
    "retry_delay": timedelta(seconds=1),
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

    airflow: LocalAirflow
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
        self.airflow.processes.wait_until(condition, what, WAIT_SECONDS)

    def wait_for(self, course: str, state: str, tries: int = 1) -> None:
        """Wait until a course's task is in a state, in that try or a later one."""

        def reached() -> bool:
            now, number, _ = self.task(course)
            return now == state and number >= tries

        self.wait(reached, f"{course} is not {state} in try {tries}")

    def mark_failed(self, course: str) -> None:
        path = f"/dags/{course}/dagRuns/{course}/taskInstances/order"
        self.airflow.request("PATCH", path, json={"new_state": "failed"})

    def ended(self, course: str) -> str:
        """Wait until a course has succeeded; return its only live order, which is what its tasks returned."""
        self.airflow.wait_for_run(course, course, WAIT_SECONDS)
        live = [one for one, state in self.orders(course).items() if state not in {"failed", "cancelled"}]
        assert len(live) == 1, self.orders(course)
        for row in self.airflow.metadata.tasks(course):
            assert self.airflow.xcom(course, course, "order", map_index=row.map_index) == live[0]
        return live[0]

    def restart(self, component: str) -> None:
        """Kill a component, with all it has forked, by -9, and start it again."""
        [old] = [one for one in self.airflow.processes.components if one.name == component]
        self.airflow.processes.components.remove(old)
        parent = psutil.Process(old.process.pid)
        for process in [*parent.children(recursive=True), parent]:
            process.kill()
        old.process.wait()
        command = [sys.executable, "-m", "airflow", component, "--skip-serve-logs"]
        self.airflow.processes.start(component, command, self.airflow.environment)


def mishap(name: str, before: int) -> Mishap:
    if before:
        return "none"
    return "hang" if name.startswith(HANGING) else "drop_after"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("once")
    (folder / "dags").mkdir()
    (folder / "dags" / "once.py").write_text(DAGS)
    settings = SandboxConfig(
        items=400,
        scene_pixels=16,
        rate_limits=False,
        list_lag_seconds=LAG_SECONDS,
        queued_seconds=QUEUED_SECONDS,
    )
    with ended_by_signals(), run(settings) as sandbox, gateway(sandbox.url, mishap) as between:
        scenes = (item for item in sandbox.catalogue if item.item_type == "PSScene")
        item_id = next(item.id for item in scenes if choose(item, "visual") == "visual")
        extra = {"backoff_seconds": 0.1, "max_attempts": 2}
        connection = {"conn_type": "planet", "host": between.url, "password": sandbox.api_key, "extra": extra}
        airflow = LocalAirflow(
            folder / "home",
            folder / "dags",
            connections={"planet_default": json.dumps(connection)},
            extra_environment={
                "HOME": str(folder),
                "ONCE_ITEMS": json.dumps({"item_type": "PSScene", "item_ids": [item_id]}),
                # So that a new scheduler takes over soon from one that was killed.
                "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "12",
                "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "3",
            },
        )
        with airflow:
            for course in COURSES:
                airflow.wait_for_dag(course)
                airflow.unpause(course)
            scene = Scene(airflow, sandbox, between)
            between.lists_fail = "retried"
            for course in COURSES:
                if course not in {*HANGING, "triggerer_killed"}:
                    scene.start(course)
            yield scene


def test_two_mapped_twins(scene: Scene) -> None:
    assert scene.ended("twins")
    assert len(scene.airflow.metadata.tasks("twins")) == 2
    assert len(scene.orders("twins")) == 1


def test_cleared_while_deferred(scene: Scene) -> None:
    scene.wait_for("cleared", "deferred")
    [order_id] = scene.orders("cleared")
    body = {"dry_run": False, "dag_run_id": "cleared", "task_ids": ["order"], "only_failed": False}
    scene.airflow.request("POST", "/dags/cleared/clearTaskInstances", json=body)
    # The old trigger is told of a kill when the new try has started already.
    scene.wait_for("cleared", "deferred", tries=2)
    assert scene.orders("cleared") == {order_id: "queued"}


def test_marked_failed_while_deferred(scene: Scene) -> None:
    scene.wait_for("failed_deferred", "deferred")
    [order_id] = scene.orders("failed_deferred")
    scene.mark_failed("failed_deferred")
    scene.wait(
        lambda: scene.orders("failed_deferred") == {order_id: "cancelled"}, "the order was not cancelled"
    )


def test_marked_failed_while_running(scene: Scene) -> None:
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


def test_retried_by_airflow(scene: Scene) -> None:
    def failed_once() -> bool:
        state, number, _ = scene.task("retried")
        return state == "up_for_retry" or number > 1

    scene.wait(failed_once, "the first try did not fail")
    assert len(scene.orders("retried")) == 1, "the order whose fate the first try could not find out"
    scene.gateway.lists_fail = None
    order_id = scene.ended("retried")
    assert list(scene.orders("retried")) == [order_id]
    assert scene.task("retried")[1] > 1


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


def test_triggerer_killed_and_restarted(scene: Scene) -> None:
    scene.start("triggerer_killed")
    scene.wait_for("triggerer_killed", "deferred")
    [order_id] = scene.orders("triggerer_killed")

    def looked() -> int:
        # Waits look together, by lists of what has changed; who places an order lists by its name.
        lists = (one for one in scene.sandbox.requests if one.path == "/compute/ops/orders/v2")
        return sum(one.method == "GET" and "name" not in one.query for one in lists)

    before = looked()
    scene.wait(lambda: looked() > before, "the triggerer does not wait")
    scene.restart("triggerer")
    again = looked()
    scene.wait(lambda: looked() > again, "the new triggerer does not wait")
    assert scene.orders("triggerer_killed") == {order_id: "queued"}
    assert set(scene.orders("cleared").values()) == {"queued"}
    scene.sandbox.clock.advance(2 * QUEUED_SECONDS)
    assert scene.ended("triggerer_killed") == order_id
    assert list(scene.orders("cleared")) == [scene.ended("cleared")]


def test_scheduler_killed_and_restarted(scene: Scene) -> None:
    scene.start("restarted")
    scene.wait(lambda: bool(scene.orders("restarted")), "the order was not placed")
    assert scene.task("restarted")[:2] == ("running", 1)
    scene.restart("scheduler")
    order_id = scene.ended("restarted")
    assert list(scene.orders("restarted")) == [order_id]
    assert scene.task("restarted")[1] > 1
