"""What the tests' own Airflow does where SQLite refuses it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from demo.local_airflow import LOCKED, LocalAirflow
from demo.processes import ended_by_signals

pytestmark = pytest.mark.integration

DAG_ID = "daily"
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "daily.py").write_text(DAG)
    cancelled: list[str] = []
    with ended_by_signals(), LocalAirflow(tmp_path / "home", tmp_path / "dags") as airflow:
        airflow.wait_for_dag(DAG_ID)
        request = airflow.request

        def execute(statement: str) -> None:
            with closing(sqlite3.connect(tmp_path / "home" / "airflow.db", timeout=60)) as database, database:
                database.execute(statement)

        def let_the_next_one_pass(method: str, path: str, **arguments: Any) -> Any:
            cancelled.append(f"{method} {path}")
            execute("DROP TRIGGER refuse")
            return request(method, path, **arguments)

        execute(REFUSE)
        monkeypatch.setattr(airflow, "request", let_the_next_one_pass)
        airflow.create_backfill(DAG_ID, *SPAN)
        rows = airflow.metadata.query("SELECT id, completed_at IS NULL FROM backfill ORDER BY id")
        runs = airflow.metadata.query("SELECT backfill_id, COUNT(*) FROM dag_run GROUP BY backfill_id")
    assert cancelled == ["PUT /backfills/1/cancel"]
    assert rows == [(1, 0), (2, 1)]
    assert runs == [(2, 2)]
