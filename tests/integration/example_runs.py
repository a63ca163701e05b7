"""The runs of the example DAGs that the tests look at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from demo.local_airflow import LocalAirflow
from demo.metadata import History
from demo.processes import REPOSITORY
from planet_provider.sandbox import Sandbox, SandboxConfig

EXAMPLES = REPOSITORY / "example_dags"
DAILY, ASSETS, BACKFILL = "planet_daily_imagery", "planet_assets", "planet_backfill_month"
#: Run by test_late_imagery.py in an Airflow that schedules by itself; the latter for each day with something new.
LATE, LATE_DAY = "planet_late_imagery", "planet_late_imagery_day"
#: Started by new imagery: test_new_imagery.py.
NEW = "planet_new_imagery"
RUN_SECONDS = 600.0
#: Where OpenLineage's events go, beside Airflow's home.
LINEAGE = "lineage.jsonl"
# Long enough to be deferred for several seconds, whenever in the run the wait starts.
SETTINGS = SandboxConfig(queued_seconds=4, running_seconds=36, activation_seconds=50)


@dataclass(frozen=True)
class Finished:
    """What is left when all runs have ended; Airflow is still up.

    :param sandbox: The Planet they used, with every request it got.
    :param airflow: The Airflow they ran in.
    :param history: States and triggers that passed by in the metadata database.
    :param destination: Where the imagery was delivered.
    :param day: Data interval of the daily and the asset run.
    :param days: Data intervals of the backfill.
    :param runs: Run ids by DAG.
    """

    sandbox: Sandbox
    airflow: LocalAirflow
    history: History
    destination: Path
    day: date
    days: tuple[date, ...]
    runs: dict[str, tuple[str, ...]]


def connection(sandbox: Sandbox) -> str:
    """Return an Airflow connection to a sandbox, as JSON."""
    return json.dumps({"conn_type": "planet", "host": sandbox.url, "password": sandbox.api_key})


def run_all(airflow: LocalAirflow) -> tuple[date, tuple[date, ...], dict[str, tuple[str, ...]]]:
    """Run every example: the daily one and the asset one by hand, the month by a backfill of two days.

    :return: Data interval of the first two, those of the backfill, and run ids by DAG.
    """
    midnight = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    start = midnight - timedelta(days=2)
    runs: dict[str, tuple[str, ...]] = {}
    for dag_id in (DAILY, ASSETS, BACKFILL):
        airflow.wait_for_dag(dag_id)
        airflow.unpause(dag_id)
    for dag_id in (DAILY, ASSETS):
        interval = start, start + timedelta(days=1)
        runs[dag_id] = (airflow.trigger(dag_id, run_id=f"test-{dag_id}", interval=interval),)
    days = tuple((start - timedelta(days=back)).date() for back in (4, 3))
    span = ["--from-date", days[0].isoformat(), "--to-date", days[-1].isoformat()]
    airflow.create_backfill(BACKFILL, *span, "--max-active-runs", "2")
    rows = airflow.metadata.query(
        "SELECT run_id FROM dag_run WHERE dag_id = ? AND run_type = 'backfill' ORDER BY logical_date",
        BACKFILL,
    )
    runs[BACKFILL] = tuple(str(run_id) for (run_id,) in rows)
    for dag_id, run_ids in runs.items():
        for run_id in run_ids:
            airflow.wait_for_run(dag_id, run_id, RUN_SECONDS)
    return start.date(), days, runs
