"""The example DAGs by themselves: they import cleanly, and run to their end by ``airflow dags test``."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
from example_runs import ASSETS, BACKFILL, DAILY, EXAMPLES, LATE, LATE_DAY, NEW, connection

from demo.local_airflow import LocalAirflow
from planet_provider.sandbox import Sandbox, SandboxConfig, run

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # before Airflow 3.2
    from airflow.models.dagbag import DagBag

EVERY = {DAILY, ASSETS, BACKFILL, LATE}
#: Needs an order that ends as partial: test_once_partial_orders.py runs it.
PARTIAL = "planet_partial_orders"


@pytest.fixture
def dagbag(monkeypatch: pytest.MonkeyPatch) -> DagBag:
    """Parse the examples, with every connection refused."""

    def refuse(*_arguments: object) -> None:
        raise AssertionError("a DAG file opened a connection while it was parsed")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return DagBag(dag_folder=EXAMPLES)


def test_examples_import_without_errors_or_warnings(dagbag: DagBag) -> None:
    assert dagbag.import_errors == {}
    assert dagbag.captured_warnings == {}
    assert set(dagbag.dags) == EVERY | {PARTIAL, LATE_DAY, NEW}


def test_examples_are_documented_and_tagged(dagbag: DagBag) -> None:
    for dag in dagbag.dags.values():
        assert dag.doc_md
        assert {"planet", "example"} <= set(dag.tags)


@pytest.fixture(scope="module")
def planet() -> Iterator[Sandbox]:
    """A quick Planet."""
    with run(SandboxConfig(speed=20.0)) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def airflow(planet: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> LocalAirflow:
    """A database and a configuration; no component runs."""
    folder = tmp_path_factory.mktemp("dags-test")
    airflow = LocalAirflow(
        folder / "home",
        EXAMPLES,
        connections={"planet_default": connection(planet)},
        variables={"planet_destination": str(folder / "imagery")},
        extra_environment={"HOME": str(folder)},
    )
    airflow.command("db", "migrate")
    return airflow


@pytest.mark.parametrize("dag_id", sorted(EVERY))
def test_examples_run_to_their_end(airflow: LocalAirflow, dag_id: str) -> None:
    # A run by hand takes the last whole interval before its logical date.
    day = datetime.now(timezone.utc).date() - timedelta(days=1)
    airflow.command("dags", "test", dag_id, day.isoformat())
    rows = airflow.metadata.query(
        "SELECT run_id, state FROM dag_run WHERE dag_id = ? AND date(data_interval_start) = ?",
        dag_id,
        (day - timedelta(days=1)).isoformat(),
    )
    assert [state for _, state in rows] == ["success"]
    [(run_id, _)] = rows
    assert {row.state for row in airflow.metadata.tasks(run_id)} == {"success"}
