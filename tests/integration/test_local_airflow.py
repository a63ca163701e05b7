"""What the tests' own Airflow does if SQLite refuses it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from shared_airflow import SharedAirflow

from demo.local_airflow import LOCKED

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DAG_ID = "refused"
DAG = f"""
import pendulum
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("{DAG_ID}", schedule="@daily", start_date=pendulum.datetime(2026, 1, 1), catchup=False):
    EmptyOperator(task_id="nothing")
"""
SPAN = ("--from-date", "2026-01-10", "--to-date", "2026-01-11")
REFUSE = f"""
CREATE TRIGGER refuse BEFORE INSERT ON backfill_dag_run BEGIN SELECT RAISE(ABORT, '{LOCKED}'); END
"""


def test_a_backfill_that_was_refused_midway_is_created_again(
    airflow: SharedAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled: list[str] = []
    request = airflow.request

    def execute(statement: str) -> None:
        database = sqlite3.connect(airflow.home / "airflow.db", timeout=60)
        with closing(database), database:
            database.execute(statement)

    def let_the_next_one_pass(method: str, path: str, **arguments: Any) -> Any:
        cancelled.append(f"{method} {path}")
        execute("DROP TRIGGER refuse")
        return request(method, path, **arguments)

    airflow.add_dags(DAG, DAG_ID)
    execute(REFUSE)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(airflow, "request", let_the_next_one_pass)
            airflow.create_backfill(DAG_ID, *SPAN)
    finally:
        execute("DROP TRIGGER IF EXISTS refuse")
    rows = airflow.metadata.query(
        "SELECT backfill.id, COUNT(dag_run.id) FROM backfill LEFT JOIN dag_run ON backfill_id = backfill.id "
        "WHERE backfill.dag_id = ? GROUP BY backfill.id ORDER BY backfill.id",
        DAG_ID,
    )
    (refused, none), (_, runs) = rows
    assert (none, runs) == (0, 2)
    assert cancelled == [f"PUT /backfills/{refused}/cancel"]
