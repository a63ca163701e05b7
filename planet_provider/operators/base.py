"""What all operators share."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator

from planet_provider.hooks.connection import DEFAULT_CONN_ID
from planet_provider.hooks.planet import PlanetHook


class PlanetOperator(BaseOperator):
    """Do something with Planet.

    :param planet_conn_id: Airflow connection of type ``planet``.
    """

    ui_color: str = "#cfe8e6"

    def __init__(self, *, planet_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.planet_conn_id = planet_conn_id

    @property
    def hook(self) -> PlanetHook:
        """The hook with this task's connection."""
        return PlanetHook(self.planet_conn_id)
