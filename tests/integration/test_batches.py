"""The daily DAG's batches: each goes its own way, and no imagery is no failure."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from shared_airflow import DAILY, DAY, RUN_SECONDS, SharedAirflow, fast, midnight

from demo.local_airflow import RunFailedError

pytestmark = [pytest.mark.integration, pytest.mark.ci]

STEPS = ("order", "wait", "download", "checksum", "ndvi")


def start(airflow: SharedAirflow, run_id: str, day: datetime) -> str:
    airflow.add_example(DAILY)
    return airflow.trigger(DAILY, run_id=run_id, interval=(day, day + DAY))


def states(airflow: SharedAirflow, run_id: str) -> dict[str, dict[int, str | None]]:
    """Return the states of the instances of each task."""
    found: dict[str, dict[int, str | None]] = {}
    for row in airflow.metadata.tasks(run_id):
        found.setdefault(row.task_id, {})[row.map_index] = row.state
    return found


def test_a_batch_that_fails_holds_up_no_other(airflow: SharedAirflow) -> None:
    planet, day = airflow.sandbox, midnight(5)
    name = f"daily-imagery {day.date()} ["
    planet.outcomes.add(state="failed", name_contains=name, times=1, error_hints=["no clear pixels"])
    with fast(planet):
        run_id = start(airflow, "a-batch-fails", day)
        # An order that failed must not go unnoticed.
        with pytest.raises(RunFailedError, match="failed after"):
            airflow.wait_for_run(DAILY, run_id, RUN_SECONDS)
    orders = [order for order in planet.orders.values() if order["name"].startswith(name)]
    assert len(orders) > 1
    found = states(airflow, run_id)
    assert set(found["order"].values()) == {"success"}
    [failed] = [index for index, one in found["wait"].items() if one != "success"]
    assert found["wait"][failed] == "failed"
    for step in STEPS[2:]:
        assert found[step].pop(failed) == "upstream_failed", step
        assert set(found[step].values()) == {"success"}, step
    delivered = {path.parent.name for path in (airflow.imagery / f"{day.date()}").rglob("manifest.json")}
    assert delivered == {order["id"] for order in orders if order["state"] == "success"}


def test_no_imagery_is_no_failure(airflow: SharedAirflow) -> None:
    before = len(airflow.sandbox.orders)
    run_id = start(airflow, "no-imagery", datetime(2024, 2, 1, tzinfo=timezone.utc))
    airflow.wait_for_run(DAILY, run_id, RUN_SECONDS)
    found = states(airflow, run_id)
    assert found.pop("search") == {-1: "success"}
    assert set(found) == set(STEPS)
    assert {one for instances in found.values() for one in instances.values()} == {"skipped"}
    assert len(airflow.sandbox.orders) == before
