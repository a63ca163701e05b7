"""The daily DAG's batches, by ``airflow dags test``: each goes its own way, and no imagery is no failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from example_runs import DAILY, EXAMPLES, connection

from demo.local_airflow import LocalAirflow
from demo.processes import ComponentError
from planet_provider.sandbox import Sandbox, SandboxConfig, run

pytestmark = pytest.mark.integration

STEPS = ("order", "wait", "download", "checksum", "ndvi")


@pytest.fixture(scope="module")
def planet() -> Iterator[Sandbox]:
    with run(SandboxConfig(speed=20.0, scene_pixels=64)) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def airflow(planet: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> LocalAirflow:
    """A database and a configuration; no component runs."""
    folder = tmp_path_factory.mktemp("batches")
    airflow = LocalAirflow(
        folder / "home",
        EXAMPLES,
        connections={"planet_default": connection(planet)},
        variables={"planet_destination": str(folder / "imagery")},
        extra_environment={"HOME": str(folder)},
    )
    airflow.command("db", "migrate")
    return airflow


def states(airflow: LocalAirflow, day: date) -> tuple[str, dict[str, dict[int, str | None]]]:
    """Run the DAG for the day before another; return the run's state, and those of its tasks' instances."""
    with suppress(ComponentError):  # how Airflow's command says that a run failed
        airflow.command("dags", "test", DAILY, day.isoformat())
    [(run_id, state)] = airflow.metadata.query(
        "SELECT run_id, state FROM dag_run WHERE dag_id = ? AND date(data_interval_start) = ?",
        DAILY,
        (day - timedelta(days=1)).isoformat(),
    )
    found: dict[str, dict[int, str | None]] = {}
    for row in airflow.metadata.tasks(run_id):
        found.setdefault(row.task_id, {})[row.map_index] = row.state
    return state, found


def test_a_batch_that_fails_holds_up_no_other(airflow: LocalAirflow, planet: Sandbox) -> None:
    planet.outcomes.add(state="failed", times=1, error_hints=["no clear pixels"])
    state, found = states(airflow, datetime.now(timezone.utc).date() - timedelta(days=1))
    assert state == "failed", "an order that failed must not go unnoticed"
    assert len(planet.orders) > 1
    assert set(found["order"].values()) == {"success"}
    [failed] = [index for index, one in found["wait"].items() if one != "success"]
    assert found["wait"][failed] == "failed"
    for step in STEPS[2:]:
        assert found[step].pop(failed) == "upstream_failed", step
        assert set(found[step].values()) == {"success"}, step
    folder = Path(airflow.environment["HOME"], "imagery")
    delivered = {path.parent.name for path in folder.rglob("manifest.json")}
    assert delivered == {order["id"] for order in planet.orders.values() if order["state"] == "success"}


def test_no_imagery_is_no_failure(airflow: LocalAirflow, planet: Sandbox) -> None:
    before = len(planet.orders)
    state, found = states(airflow, date(2024, 2, 2))
    assert state == "success"
    assert found.pop("search") == {-1: "success"}
    assert set(found) == set(STEPS)
    assert {one for instances in found.values() for one in instances.values()} == {"skipped"}
    assert len(planet.orders) == before
