"""The example for partial orders, by ``airflow dags test``: what is missing is ordered again, and only that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from example_runs import EXAMPLES, connection

from demo.local_airflow import LocalAirflow
from planet_provider.sandbox import Sandbox, SandboxConfig, run

pytestmark = pytest.mark.integration

DAG_ID = "planet_partial_orders"


@pytest.fixture(params=["partial", "success"])
def planet(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    outcomes = {"again": "success"}
    settings = SandboxConfig(
        speed=20.0, scene_pixels=32, order_outcome=request.param, order_outcomes=outcomes
    )
    with run(settings) as sandbox:
        yield sandbox


def test_what_is_missing_is_ordered_again(planet: Sandbox, tmp_path: Path) -> None:
    airflow = LocalAirflow(
        tmp_path / "home",
        EXAMPLES,
        connections={"planet_default": connection(planet)},
        variables={"planet_destination": str(tmp_path / "imagery")},
        extra_environment={"HOME": str(tmp_path)},
    )
    airflow.command("db", "migrate")
    day = datetime.now(timezone.utc).date() - timedelta(days=1)
    airflow.command("dags", "test", DAG_ID, day.isoformat())
    [(run_id, state)] = airflow.metadata.query("SELECT run_id, state FROM dag_run WHERE dag_id = ?", DAG_ID)
    assert state == "success"
    states = {row.task_id: row.state for row in airflow.metadata.tasks(run_id)}
    orders: list[dict[str, Any]] = list(planet.orders.values())
    ordered = [order["products"][0]["item_ids"] for order in orders]
    partial = planet.config.order_outcome == "partial"
    assert [order["state"] for order in orders] == (["partial", "success"] if partial else ["success"])
    assert states["download_again"] == ("success" if partial else "skipped")
    if partial:
        assert len(ordered[0]) > 1
        assert ordered[1] == ordered[0][-1:], "the sandbox's partial orders lack their last item"
    manifests = [json.loads(path.read_text()) for path in (tmp_path / "imagery").rglob("manifest.json")]
    delivered = {file["annotations"].get("planet/item_id") for one in manifests for file in one["files"]}
    assert set(ordered[0]) <= delivered
