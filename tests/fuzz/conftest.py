"""A sandbox whose orders and assets are ready at once, behind a server that changes its answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from front import Front, front_of
from world import World, made_world

from planet_provider.sandbox import run
from tests.unit.airflow.airflow_support import FakeSupervisor


@pytest.fixture(scope="session")
def front() -> Iterator[Front]:
    settings: dict[str, Any] = {"items": 400, "scene_pixels": 16, "rate_limits": False}
    with (
        run(queued_seconds=0.0, running_seconds=0.0, activation_seconds=0.0, **settings) as sandbox,
        front_of(sandbox) as front,
    ):
        yield front


@pytest.fixture(scope="session")
def world(front: Front, tmp_path_factory: pytest.TempPathFactory) -> World:
    return made_world(front, tmp_path_factory.mktemp("fuzz"))


@pytest.fixture(autouse=True)
def supervisor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Play Airflow's supervisor, and stay where relative paths do no harm."""
    from airflow.sdk.execution_time import task_runner

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", FakeSupervisor(), raising=False)
    monkeypatch.chdir(tmp_path)
