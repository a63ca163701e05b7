"""One real Airflow for the session, in which every example DAG has run."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from example_runs import EXAMPLES, LINEAGE, SETTINGS, Finished, connection, run_all

from demo.local_airflow import LocalAirflow
from demo.metadata import Recorder
from demo.processes import ended_by_signals
from planet_provider.sandbox import run

#: Seconds for a test, with what it starts: several times what they take where nothing else runs.
TEST_SECONDS = 1200


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests with a real Airflow more time than others have, where they don't say how much they need."""
    for item in items:
        if item.get_closest_marker("integration") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """Run every example in a real Airflow against a sandbox."""
    folder = tmp_path_factory.mktemp("airflow")
    destination = folder / "imagery"
    # In this process, so that tests know the very tokens and signatures that links had.
    with ended_by_signals(), run(SETTINGS) as sandbox:
        airflow = LocalAirflow(
            folder / "home",
            EXAMPLES,
            connections={"planet_default": connection(sandbox)},
            variables={"planet_destination": str(destination)},
            extra_environment={
                "HOME": str(folder),
                "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
                    {"type": "file", "log_file_path": str(folder / LINEAGE), "append": True}
                ),
            },
        )
        with airflow, Recorder(airflow.metadata) as recorder:
            day, days, runs = run_all(airflow)
            yield Finished(sandbox, airflow, recorder.history, destination, day, days, runs)
