"""One real Airflow for the session; what runs in it is what tests ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from shared_airflow import SETTINGS, Examples, Finished, SharedAirflow

from planet_provider.sandbox import run

#: Seconds for a test, with what it starts: several times what they take where nothing else runs.
TEST_SECONDS = 1200


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests with a real Airflow more time than others."""
    for item in items:
        shared = "airflow" in getattr(item, "fixturenames", ())
        if (shared or item.get_closest_marker("integration")) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedAirflow]:
    """Run an Airflow without DAGs, and the Planet of its connection ``planet_default``."""
    # The sandbox runs in this process, so that tests know the very tokens and signatures that links had.
    with run(SETTINGS) as sandbox, SharedAirflow(tmp_path_factory.mktemp("airflow"), sandbox) as airflow:
        yield airflow


@pytest.fixture(scope="session")
def examples(airflow: SharedAirflow) -> Examples:
    """Run example DAGs, each once."""
    return Examples(airflow)


@pytest.fixture
def finished(examples: Examples, request: pytest.FixtureRequest) -> Finished:
    """Return what the example left that the test names: ``@pytest.mark.parametrize(..., indirect=True)``."""
    return examples.finished(request.param)


@pytest.fixture(scope="module")
def scheduling(airflow: SharedAirflow) -> Iterator[None]:
    """Let the scheduler start runs by itself: of DAGs that are unpaused from now on."""
    airflow.pause_all()
    airflow.restart("scheduler", {"scheduler": {"use_job_schedule": True}})
    yield
    airflow.pause_all()
    airflow.restart("scheduler")
