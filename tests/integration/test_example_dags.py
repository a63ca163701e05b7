"""The example DAGs import cleanly."""

from __future__ import annotations

import socket

import pytest
from shared_airflow import ASSETS, BACKFILL, DAILY, EXAMPLES, LATE, LATE_DAY, NEW, PARTIAL

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # before Airflow 3.2
    from airflow.models.dagbag import DagBag


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
    assert set(dagbag.dags) == {DAILY, ASSETS, BACKFILL, PARTIAL, LATE, LATE_DAY, NEW}
    for dag in dagbag.dags.values():
        assert dag.doc_md
        assert {"planet", "example"} <= set(dag.tags)
