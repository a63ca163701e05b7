"""The example that is started by new imagery: a watcher in the triggerer, an event, a run, an order."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from example_runs import EXAMPLES, NEW, connection

from demo.local_airflow import LocalAirflow
from demo.processes import ended_by_signals
from example_dags.planet_new_imagery import AOI
from planet_provider.client import data, filters
from planet_provider.client.config import PlanetConfig
from planet_provider.client.session import PlanetSession
from planet_provider.sandbox import Sandbox, SandboxConfig, run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

WAIT_SECONDS = 300.0
DAY = timedelta(days=1)
#: Longer than Airflow may take to start.
STARTING = timedelta(hours=1)


def published_since(sandbox: Sandbox, begin: datetime) -> dict[str, Any]:
    """Return the scenes that the example's watcher should have found, by id."""
    config = PlanetConfig(api_key=sandbox.api_key, base_url=sandbox.url, rate_limit_store="memory://")
    wanted = filters.and_filter(
        filters.range_filter("cloud_cover", lte=0.5),
        filters.asset_filter(["ortho_visual"]),
        filters.permission_filter(),
    )
    with PlanetSession(config) as session:
        criteria = filters.criteria(wanted, AOI, published_start=begin)
        pages = session.pages(data.quick_search(["PSScene"], **criteria))
        return {item["id"]: item for page in pages for item in page}


def runs(airflow: LocalAirflow) -> dict[str, tuple[str, str]]:
    """Return type and state of each run, by id, the first one first."""
    rows = airflow.metadata.query(
        "SELECT run_id, run_type, state FROM dag_run WHERE dag_id = ? ORDER BY id", NEW
    )
    return {str(run_id): (str(kind), str(state)) for run_id, kind, state in rows}


def ordered(sandbox: Sandbox) -> Counter[str]:
    return Counter(
        item_id
        for order in sandbox.orders.values()
        for product in order["products"]
        for item_id in product["item_ids"]
    )


@pytest.mark.parametrize("restarted", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_new_imagery_starts_a_run(tmp_path: Path, restarted: bool) -> None:
    # The watch begins when the watcher starts, by the real clock; Planet's is days ahead, and has published since.
    settings = SandboxConfig(queued_seconds=0, running_seconds=0, scene_pixels=32, items=400)
    begin = datetime.now(timezone.utc)
    with ended_by_signals(), run(settings) as sandbox:
        sandbox.clock.advance(3 * DAY.total_seconds())
        # What Planet publishes while Airflow starts, by the clock that is not ahead, is none of the watcher's.
        expected = set(published_since(sandbox, begin + STARTING))
        assert expected
        # By itself: the fewer files are parsed, the sooner the watcher starts.
        (tmp_path / "dags").mkdir()
        shutil.copy(EXAMPLES / f"{NEW}.py", tmp_path / "dags")
        airflow = LocalAirflow(
            tmp_path / "home",
            tmp_path / "dags",
            connections={"planet_default": connection(sandbox)},
            variables={"planet_destination": str(tmp_path / "imagery")},
            extra_environment={
                "HOME": str(tmp_path),
                "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "True",
                # The watcher starts with the DAG's next parsing after it was unpaused.
                "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
                # So that a new triggerer takes over soon from one that was killed.
                "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
            },
        )
        with airflow:
            if restarted and "asset_state_store" not in airflow.metadata.tables():
                pytest.skip("watchers go on where they were from Airflow 3.3 on")
            airflow.wait_for_dag(NEW)
            airflow.unpause(NEW)
            airflow.processes.wait_until(
                lambda: bool(runs(airflow)), "new imagery started no run", WAIT_SECONDS
            )
            [run_id] = runs(airflow)
            airflow.wait_for_run(NEW, run_id, WAIT_SECONDS)
            delivered = airflow.xcom(NEW, run_id, "scenes")
            assert expected <= set(delivered) <= set(ordered(sandbox))
            if restarted:
                airflow.kill("triggerer")
                sandbox.clock.advance(1.5 * DAY.total_seconds())
                expected = set(published_since(sandbox, begin + STARTING))
                assert not expected <= set(delivered)
                airflow.start("triggerer")
                airflow.processes.wait_until(
                    lambda: set(ordered(sandbox)) >= expected, "the watch did not go on", WAIT_SECONDS
                )
                for run_id in runs(airflow):
                    airflow.wait_for_run(NEW, run_id, WAIT_SECONDS)
            every = runs(airflow)
        assert set(every.values()) == {("asset_triggered", "success")}
        assert set(ordered(sandbox).values()) == {1}, "no scene is ordered twice"
        assert all(Path(path).stat().st_size for paths in delivered.values() for path in paths)
