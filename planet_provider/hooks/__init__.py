"""Hooks: from an Airflow connection to sessions with Planet."""

from __future__ import annotations

#: The connection that tasks use by default.
DEFAULT_CONN_ID = "planet_default"
