"""What all operators share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from planet_provider.exceptions import TransferKilledError
from planet_provider.hooks import DEFAULT_CONN_ID
from planet_provider.hooks.templates import TemplatedTask

if TYPE_CHECKING:
    from planet_provider.hooks.planet import PlanetHook


class PlanetOperator(TemplatedTask, BaseOperator):
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

        from planet_provider.hooks.planet import PlanetHook

        return PlanetHook(self.planet_conn_id)


class PlanetTransferOperator(PlanetOperator):
    """Move files, in a way that ends in good order where Airflow kills the task."""

    _is_transferring = False

    @contextmanager
    def transferring(self) -> Iterator[None]:
        """Let :meth:`on_kill` end what runs in the block."""
        self._is_transferring = True
        try:
            yield
        finally:
            self._is_transferring = False

    def on_kill(self) -> None:
        """End the transfer, so that its uploads are aborted and what arrived on a disk is kept.

        Airflow calls this in the task's main thread, from a signal's handler, and ends the process seconds later.

        :raises TransferKilledError: In the midst of the transfer, if there is one.
        """
        if self._is_transferring:
            self._is_transferring = False  # once only: what cleans up is not to be interrupted
            raise TransferKilledError(
                f"{self.task_id}: Airflow ended the task in the midst of a transfer. Uploads were aborted; what "
                "has arrived on a local disk is kept for the next try."
            )
