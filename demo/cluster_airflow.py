"""A real Airflow as on several machines: PostgreSQL, Redis, the CeleryExecutor, some workers and triggerers.

Each worker and each triggerer calls itself by its component's name where Airflow asks for the host's, so that
the metadata database tells them apart.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from demo.local_airflow import COMPONENTS, LocalAirflow
from demo.postgres import PostgresMetadata
from demo.settings import as_environment

NAME_VARIABLE = "DEMO_COMPONENT"
HEARTBEAT_TIMEOUT_SECONDS = 30
"""Silence after which a task is tried again. Airflow's default is 300 s; a busy CI machine may stall for some."""
TRIGGERER_TIMEOUT_SECONDS = 20
"""Silence after which another triggerer takes over; Airflow's default is 30 s."""
VISIBILITY_SECONDS = 60
"""After as long, Redis hands a message that nobody has acknowledged to another worker; default a day."""


def component_name() -> str:
    """Return the name of the component that this process belongs to: Airflow's ``hostname_callable``."""
    return os.environ.get(NAME_VARIABLE, "command")


class ClusterAirflow(LocalAirflow):
    """Context manager: a running Airflow of several workers and triggerers.

    :param home: AIRFLOW_HOME; made if missing.
    :param dags: Folder with the DAG files.
    :param metadata: An empty PostgreSQL database.
    :param broker: URL of a database of a Redis, for Celery's messages.
    :param workers: How many workers: ``worker-1``, ``worker-2``, ...
    :param triggerers: How many triggerers: ``triggerer-1``, ``triggerer-2``, ...
    :param concurrency: Tasks at a time on each worker.
    :param variables: Airflow variables, by environment: {name: value}.
    :param connections: Airflow connections, by environment: {conn_id: JSON or URI}.
    :param extra_environment: Further environment variables for every component.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        *,
        metadata: PostgresMetadata,
        broker: str,
        workers: int = 2,
        triggerers: int = 2,
        concurrency: int = 2,
        variables: Mapping[str, str] | None = None,
        connections: Mapping[str, str] | None = None,
        extra_environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            home,
            dags,
            variables=variables,
            connections=connections,
            components=_components(home.resolve(), workers, triggerers),
            metadata=metadata,
            extra_environment={
                **_environment(metadata.url, broker, slots=workers * concurrency, concurrency=concurrency),
                **(extra_environment or {}),
            },
        )

    def _environment(self, name: str) -> Mapping[str, str]:
        return {**super()._environment(name), NAME_VARIABLE: name}


def _components(home: Path, workers: int, triggerers: int) -> Mapping[str, Sequence[str]]:
    single = {name: command for name, command in COMPONENTS.items() if name != "triggerer"}
    many = {f"triggerer-{number}": COMPONENTS["triggerer"] for number in range(1, triggerers + 1)}
    for number in range(1, workers + 1):
        name = f"worker-{number}"
        own = ("--celery-hostname", f"{name}@%h", "--pid", str(home / f"{name}.pid"))
        many[name] = ("celery", "worker", *own, "--skip-serve-logs")
    return {**single, **many}


def _environment(database_url: str, broker: str, *, slots: int, concurrency: int) -> dict[str, str]:
    settings: Mapping[str, Mapping[str, object]] = {
        "core": {
            "executor": "CeleryExecutor",
            "parallelism": slots,
            "hostname_callable": f"{__name__}.{component_name.__name__}",
        },
        "celery": {
            "broker_url": broker,
            "result_backend": f"db+{database_url}",
            "worker_concurrency": concurrency,
            "sync_parallelism": 1,
        },
        "celery_broker_transport_options": {"visibility_timeout": VISIBILITY_SECONDS},
        "scheduler": {
            "task_instance_heartbeat_timeout": HEARTBEAT_TIMEOUT_SECONDS,
            "task_instance_heartbeat_timeout_detection_interval": 3,
            "task_queued_timeout": VISIBILITY_SECONDS,
            "task_queued_timeout_check_interval": 5,
        },
        "triggerer": {"triggerer_health_check_threshold": TRIGGERER_TIMEOUT_SECONDS},
    }
    return as_environment(settings)
