"""Everything a local Airflow is told through its environment."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

JWT_SECRET_BYTES = 64
"""Airflow signs with HS512, whose key should not be shorter than its digest."""

_DROPPED_PREFIXES = ("AIRFLOW", "PL_", "PLANET_", "_AIRFLOW")
_DROPPED = (
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPATH",
)  # without bytecode every task imports Airflow twice as slowly


def clean_environment() -> dict[str, str]:
    """Return this process's environment without anything of another Airflow, or of a real Planet account."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_DROPPED_PREFIXES) and name not in _DROPPED
    }
    loopback = "127.0.0.1,localhost"
    return kept | {"NO_PROXY": loopback, "no_proxy": loopback, "PYTHONUNBUFFERED": "1"}


def airflow_environment(
    home: Path,
    dags: Path,
    *,
    database: Mapping[str, object],
    port: int,
    execution_port: int,
    unused_ports: tuple[int, int],
    parallelism: int = 4,
) -> dict[str, str]:
    """Return the environment of an Airflow with the LocalExecutor, and its api-servers on loopback.

    :param home: AIRFLOW_HOME: logs, generated configuration.
    :param dags: Folder with the DAG files.
    :param database: Airflow's section ``[database]``.
    :param port: Port of the api-server for users.
    :param execution_port: Port of the api-server for tasks.
    :param unused_ports: Ports where nobody listens. Components run without log servers, which would bind all
        interfaces: the api-server reads the files from disk, and mustn't ask a stranger on the default ports.
    :param parallelism: Task processes at a time.
    """
    settings: Mapping[str, Mapping[str, object]] = {
        "core": {
            "dags_folder": dags,
            "load_examples": False,
            "executor": "LocalExecutor",
            "parallelism": parallelism,
            "execution_api_server_url": f"http://127.0.0.1:{execution_port}/execution/",
            "simple_auth_manager_all_admins": True,
            # Nothing confidential is stored in this database; what lies in it should be visible to tests.
            "fernet_key": "",
        },
        "database": database,
        "api": {
            "host": "127.0.0.1",
            "port": port,
            "base_url": f"http://127.0.0.1:{port}",
            "workers": 1,
            "secret_key": secrets.token_hex(JWT_SECRET_BYTES),
        },
        "api_auth": {"jwt_secret": secrets.token_hex(JWT_SECRET_BYTES)},
        "scheduler": {
            # Runs are started by hand or by a backfill; unpausing must not add one for yesterday.
            "use_job_schedule": False,
        },
        "dag_processor": {"refresh_interval": 10},
        # A task's supervisor lingers for a heartbeat after its task deferred: no trigger should fire sooner.
        "workers": {"min_heartbeat_interval": 1},
        "logging": {
            "base_log_folder": home / "logs",
            "worker_log_server_port": unused_ports[0],
            "trigger_log_server_port": unused_ports[1],
        },
        "usage_data_collection": {"enabled": False},
    }
    return clean_environment() | {"AIRFLOW_HOME": str(home)} | as_environment(settings)


def as_environment(settings: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """Return Airflow settings as environment variables.

    :param settings: Values by section and key.
    """
    return {
        f"AIRFLOW__{section.upper()}__{key.upper()}": str(value)
        for section, options in settings.items()
        for key, value in options.items()
    }
