"""Two hundred deferred waits in a real Airflow whose triggerer is killed midway: all end, with few requests."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from demo.local_airflow import LocalAirflow
from demo.processes import ended_by_signals
from planet_provider.client.config import PlanetConfig
from planet_provider.client.orders import create
from planet_provider.client.session import PlanetSession
from planet_provider.sandbox import Sandbox, SandboxConfig, run
from planet_provider.sandbox.bundles import choose
from planet_provider.triggers.order_watch import SINGLE_LOOKS_PER_MINUTE

pytestmark = [pytest.mark.integration, pytest.mark.soak, pytest.mark.timeout(900)]

WAITS = 200
POKE_SECONDS = 5.0
#: An order stays queued until the clock is moved on.
QUEUED_SECONDS = 10_000.0
RUN_SECONDS = 420.0

DAG = """
import json
import os

from airflow.sdk import DAG

from planet_provider.sensors.orders import PlanetOrderSensor

with DAG(dag_id="waits", schedule=None, max_active_tasks=300):
    PlanetOrderSensor.partial(
        task_id="wait", deferrable=True, poke_interval=float(os.environ["POKE_SECONDS"]), timeout=3600
    ).expand(order_id=json.loads(os.environ["ORDER_IDS"]))
"""


def place(sandbox: Sandbox, count: int) -> list[str]:
    scenes = (item for item in sandbox.catalogue if item.item_type == "PSScene")
    item_id = next(item.id for item in scenes if choose(item, "visual") == "visual")
    products = [{"item_type": "PSScene", "item_ids": [item_id], "product_bundle": "visual"}]
    config = PlanetConfig(
        api_key=sandbox.api_key, base_url=sandbox.url, rate_limits={"orders.create": 1000.0}
    )
    with PlanetSession(config) as session:
        return [session.send(create({"name": f"{n}", "products": products}))["id"] for n in range(count)]


def restart_triggerer(airflow: LocalAirflow) -> None:
    """End it, and all it has forked, by SIGKILL, and start another one."""
    [old] = [one for one in airflow.processes.components if one.name == "triggerer"]
    airflow.processes.components.remove(old)
    parent = psutil.Process(old.process.pid)
    for process in [*parent.children(recursive=True), parent]:
        process.kill()
    old.process.wait()
    command = [sys.executable, "-m", "airflow", "triggerer", "--skip-serve-logs"]
    airflow.processes.start("triggerer", command, airflow.environment)


def states(airflow: LocalAirflow) -> Counter[str]:
    return Counter(str(row.state) for row in airflow.metadata.tasks("waits"))


def test_a_triggerer_killed_midway(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "waits.py").write_text(DAG)
    settings = SandboxConfig(
        items=400, scene_pixels=16, queued_seconds=QUEUED_SECONDS, rates={"orders.create": 1000.0}
    )
    with ended_by_signals(), run(settings) as sandbox:
        first = place(sandbox, WAITS // 2)
        sandbox.clock.advance(QUEUED_SECONDS / 2)
        order_ids = first + place(sandbox, WAITS // 2)
        connection = {"conn_type": "planet", "host": sandbox.url, "password": sandbox.api_key}
        airflow = LocalAirflow(
            tmp_path / "home",
            tmp_path / "dags",
            connections={"planet_default": json.dumps(connection)},
            extra_environment={
                "HOME": str(tmp_path),
                "ORDER_IDS": json.dumps(order_ids),
                "POKE_SECONDS": str(POKE_SECONDS),
                "AIRFLOW__CORE__PARALLELISM": str(4 * (os.cpu_count() or 1)),
                # So that a new triggerer takes over soon from one that was killed.
                "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
            },
        )
        with airflow:
            airflow.wait_for_dag("waits")
            airflow.unpause("waits")
            airflow.trigger("waits", run_id="waits")
            started = time.monotonic()
            airflow.processes.wait_until(
                lambda: states(airflow)["deferred"] == WAITS, "not all were deferred", RUN_SECONDS
            )
            sandbox.clock.advance(QUEUED_SECONDS / 2 + 60)
            airflow.processes.wait_until(
                lambda: states(airflow)["success"] >= WAITS // 8, "none ended", RUN_SECONDS
            )
            restart_triggerer(airflow)
            sandbox.clock.advance(QUEUED_SECONDS)
            airflow.wait_for_run("waits", "waits", RUN_SECONDS)
            minutes = (time.monotonic() - started) / 60
            rows = airflow.metadata.tasks("waits")
        assert {(row.state, row.try_number) for row in rows} == {("success", 1)}
        assert len(rows) == WAITS
        asked = [one for one in sandbox.requests if one.method == "GET"]
        # Each sensor looks once on its worker, before it defers; the rest is the two triggerers' budget.
        singles = Counter(one.path.rpartition("/")[2] for one in asked if "/orders/v2/" in one.path)
        by_triggerers = sum(singles.values()) - WAITS
        assert set(singles) == set(order_ids)
        assert by_triggerers <= SINGLE_LOOKS_PER_MINUTE * (minutes + 2)
        assert max(singles.values()) <= 1 + 2, "a triggerer asks for an order once, and then lists show it"
        lists = len(asked) - sum(singles.values())
        assert lists <= 2 * 60 * minutes / (0.8 * POKE_SECONDS)
        assert not [one for one in asked if one.status == 429]
