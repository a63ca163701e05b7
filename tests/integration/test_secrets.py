"""No key, token or signed link is left anywhere by a run."""

from __future__ import annotations

from pathlib import Path

import leaks
import pytest
from shared_airflow import ASSETS, BACKFILL, DAILY, Finished

from demo.local_airflow import COMPONENTS
from demo.metadata import History, TriggerRow

pytestmark = pytest.mark.integration

SINGLE, MONTH = (pytest.param(dag_id, marks=pytest.mark.ci) for dag_id in (ASSETS, BACKFILL))


@pytest.mark.parametrize("finished", [DAILY, SINGLE, MONTH], indirect=True)
def test_a_run_leaves_no_secret(finished: Finished) -> None:
    secrets = leaks.Secrets.of(finished.sandbox)
    assert {"API key", "token of a link", "Signature of a link"} <= {*secrets.values.values()}
    assert leaks.everywhere(secrets, finished.airflow, finished.history) == []
    assert leaks.in_files(secrets, [finished.destination]) == []
    lineage = finished.airflow.lineage.read_bytes()
    assert len(lineage) > 1000
    assert list(secrets.found("OpenLineage's events", lineage)) == []


@pytest.mark.parametrize("finished", [DAILY], indirect=True)
def test_the_search_covers_logs_xcoms_triggers_and_templates(finished: Finished) -> None:
    logs, components = finished.airflow.log_folders
    assert len(list(logs.rglob("attempt=1.log"))) >= 10
    assert {path.stem for path in components.glob("*.log")} >= COMPONENTS.keys()
    # Airflow 3.1 logs fewer events than later ones.
    least = {"xcom": 10, "rendered_task_instance_fields": 10, "task_instance": 10, "log": 3}
    for table, expected in least.items():
        [(rows,)] = finished.airflow.metadata.query(f"SELECT count(*) FROM {table}")
        assert rows >= expected, table
    assert finished.history.triggers


@pytest.mark.parametrize("finished", [DAILY], indirect=True)
@pytest.mark.parametrize("content", ["the key", "a link"])
def test_the_search_finds_what_is_there(finished: Finished, tmp_path: Path, content: str) -> None:
    """The other tests here could not fail if it didn't."""
    secrets = leaks.Secrets.of(finished.sandbox)
    texts = {
        "the key": f"sent {finished.sandbox.api_key} to",
        "a link": f"GET {finished.sandbox.url}/compute/ops/download/?token=eyJhbGciOiJIUzI1NiJ9.e30.x",
    }
    (tmp_path / "some.log").write_text(texts[content])
    assert len(leaks.in_files(secrets, [tmp_path])) == 1
    history = History(triggers={1: TriggerRow(1, "some.Trigger", texts[content], 1)})
    assert len(leaks.in_history(secrets, history)) == 1
