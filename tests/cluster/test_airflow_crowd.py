"""A real Airflow with many tasks and deferred waits at once, and the documented limits switched on."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.redis_server import RedisServer
from demo.local_airflow import LocalAirflow
from demo.processes import ended_by_signals
from planet_provider.builders import order_request
from planet_provider.client.api import data, orders
from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.session import PlanetSession
from planet_provider.coordination.redis_url import redis_client
from planet_provider.sandbox import Sandbox, SandboxConfig, run

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
]

DAGS = Path(__file__).with_name("dags")
TASKS, WAITS, ORDERS = 60, 100, 10
RUN_SECONDS = 900.0
CLEAR = {"type": "RangeFilter", "field_name": "cloud_cover", "config": {"lte": 0.3}}
ORDERABLE = {"type": "PermissionFilter", "config": ["assets.ortho_analytic_4b:download"]}


def place_orders(sandbox: Sandbox, store: str) -> tuple[str, list[str]]:
    """Place orders to wait for, and return an item's id too."""
    config = PlanetConfig(api_key=sandbox.api_key, base_url=sandbox.url, coordination_store=store)
    with PlanetSession(config) as session:
        wanted = {"type": "AndFilter", "config": [CLEAR, ORDERABLE]}
        item_ids = [item["id"] for item in next(session.pages(data.quick_search(["PSScene"], wanted)))]
        placed = [
            session.send(orders.create(order_request.build(f"crowd {number}", products=[product(item_id)])))
            for number, item_id in enumerate(item_ids[:ORDERS])
        ]
    return item_ids[0], [order["id"] for order in placed]


def product(item_id: str) -> dict[str, object]:
    return {"item_ids": [item_id], "item_type": "PSScene", "product_bundle": "analytic_udm2"}


@pytest.mark.parametrize("kind", ["file", "redis"])
def test_no_request_is_refused(kind: str, redis: RedisServer, tmp_path: Path) -> None:
    home = tmp_path / "home"
    store = redis.url if kind == "redis" else (home / "planet-rate-limits").as_uri()
    # Not over before all of them wait.
    settings = SandboxConfig(queued_seconds=0, running_seconds=100_000)
    with ended_by_signals(), run(settings) as sandbox:
        item_id, order_ids = place_orders(sandbox, store)
        crowd = {"item_id": item_id, "order_ids": order_ids * (WAITS // ORDERS), "tasks": TASKS}
        extra = {"coordination_store": store} if kind == "redis" else {}
        connection = {
            "conn_type": "planet",
            "host": sandbox.url,
            "password": sandbox.api_key,
            "extra": json.dumps(extra),
        }
        airflow = LocalAirflow(
            home,
            DAGS,
            connections={"planet_default": json.dumps(connection)},
            extra_environment={
                "HOME": str(tmp_path),
                "TMPDIR": str(tmp_path),
                "PLANET_TEST_CROWD": json.dumps(crowd),
                "AIRFLOW__CORE__PARALLELISM": "8",
                "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "1000",
            },
        )
        with airflow:
            airflow.wait_for_dag("planet_crowd")
            airflow.unpause("planet_crowd")
            run_id = airflow.trigger("planet_crowd")
            wait_for_states(airflow, run_id, {("wait", "deferred"): WAITS, ("ask", "success"): TASKS})
            before = len(sandbox.requests)
            time.sleep(10.0)
            polls = len(sandbox.requests) - before
            sandbox.clock.advance(200_000)
            airflow.wait_for_run("planet_crowd", run_id, RUN_SECONDS)
        answers = Counter(request.status for request in sandbox.requests)
        assert answers[429] == 0, answers
        assert set(answers) <= {200, 201, 202}, answers
        asked = Counter(request.path for request in sandbox.requests)
        assert sum(n for path, n in asked.items() if path.endswith(item_id)) == 10 * TASKS
        # The hundred look every two seconds, together.
        assert 2 <= polls <= 10
        if kind == "redis":
            assert redis_client(redis.url).keys("planet-rate-limit:*")
        else:
            assert list((home / "planet-rate-limits").iterdir())


def wait_for_states(airflow: LocalAirflow, run_id: str, wanted: dict[tuple[str, str], int]) -> None:
    def reached() -> bool:
        states = Counter((row.task_id, row.state) for row in airflow.metadata.tasks(run_id))
        failed = [key for key in states if key[1] in ("failed", "upstream_failed", "up_for_retry")]
        assert not failed, airflow.describe(run_id)
        return all(states[key] == count for key, count in wanted.items())

    airflow.processes.wait_until(reached, f"not {wanted}", RUN_SECONDS)
