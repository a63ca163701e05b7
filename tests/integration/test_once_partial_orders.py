"""The example for partial orders: what is missing is ordered again, and only that."""

from __future__ import annotations

import json

import pytest
from shared_airflow import DAY, PARTIAL, RUN_SECONDS, SharedAirflow, fast, midnight

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.mark.parametrize(("outcome", "days_ago"), [("partial", 3), ("success", 4)])
def test_what_is_missing_is_ordered_again(airflow: SharedAirflow, outcome: str, days_ago: int) -> None:
    planet, day = airflow.sandbox, midnight(days_ago)
    name = f"partial-orders {day.date()}"
    planet.outcomes.add(state=outcome, name_contains=name, times=1)
    with fast(planet):
        airflow.add_example(PARTIAL)
        run_id = airflow.trigger(PARTIAL, run_id=outcome, interval=(day, day + DAY))
        airflow.wait_for_run(PARTIAL, run_id, RUN_SECONDS)
    states = {row.task_id: row.state for row in airflow.metadata.tasks(run_id)}
    orders = [order for order in planet.orders.values() if order["name"].startswith(name)]
    ordered = [order["products"][0]["item_ids"] for order in orders]
    partial = outcome == "partial"
    assert [order["state"] for order in orders] == (["partial", "success"] if partial else ["success"])
    assert states["download_again"] == ("success" if partial else "skipped")
    if partial:
        assert len(ordered[0]) > 1
        assert ordered[1] == ordered[0][-1:], "the sandbox's partial orders lack their last item"
    folder = airflow.imagery / "partial" / f"{day.date()}"
    manifests = [json.loads(path.read_text()) for path in folder.rglob("manifest.json")]
    delivered = {file["annotations"].get("planet/item_id") for one in manifests for file in one["files"]}
    assert set(ordered[0]) <= delivered
