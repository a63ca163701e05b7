"""What both sensors share: look once, and where that is not enough, wait on the worker or deferred."""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
)

from planet_provider.builders import checks
from planet_provider.exceptions import OrderError, RateLimitQueueError
from planet_provider.hooks import DEFAULT_CONN_ID
from planet_provider.hooks.task_errors import task_errors
from planet_provider.hooks.templates import TemplatedTask
from planet_provider.triggers.deferral import deferral_timeout, is_deferrable, log_deferral

if TYPE_CHECKING:
    from airflow.sdk import Context

    from planet_provider.client.http.session import PlanetSession
    from planet_provider.triggers.base import PlanetTrigger


class PlanetSensor(TemplatedTask, BaseSensorOperator):
    """Wait for something of Planet's; ``subject`` is its key in the trigger's event.

    :param planet_conn_id: Airflow connection of type ``planet``.
    :param deferrable: Wait in the triggerer, without a worker slot. By default what Airflow's setting
        ``[operators] default_deferrable`` says.
    :param poke_interval: Seconds between two looks.
    :param timeout: Seconds to wait in all; then the task fails (or is skipped with ``soft_fail``).
    :param soft_fail: Skip the task if it times out, or if what it waits for ends otherwise than wanted. A refused
        credential, bad input and every other error still fail it.
    """

    subject: ClassVar[str]

    #: What the last look of this process saw.
    _last_seen = ""

    def __init__(
        self,
        *,
        planet_conn_id: str = DEFAULT_CONN_ID,
        deferrable: bool | None = None,
        poke_interval: float | timedelta,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        checks.seconds(poke_interval, "poke_interval")
        if "timeout" in kwargs:
            checks.seconds(kwargs["timeout"], "timeout", or_none=True)
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.planet_conn_id = planet_conn_id
        self.deferrable = is_deferrable(deferrable)

    @abstractmethod
    def check(self) -> None:
        """Refuse wrong parameters before any request; templates are rendered by now."""

    def begin(self, context: Context) -> None:
        """Do what is to be done before the first look; by default nothing."""

    @abstractmethod
    def look(self, session: PlanetSession) -> dict[str, Any] | None:
        """Look once.

        :return: The XCom where the wait is over, else ``None``.
        """

    @abstractmethod
    def trigger(self, deadline: float) -> PlanetTrigger:
        """Return the trigger that goes on waiting."""

    @abstractmethod
    def result(self, found: dict[str, Any]) -> dict[str, Any]:
        """Turn what the trigger saw last into the XCom, or raise what it tells of."""

    @abstractmethod
    def wanted(self) -> str:
        """Say what is waited for, for an error."""

    def tell(self, line: str, *, warn: bool = False) -> None:
        """Log what a look saw, and keep it for the error of a time-out.

        :param warn: Log a warning, once while the line stays the same.
        """
        self.log.log(logging.WARNING if warn and line != self._last_seen else logging.INFO, "%s", line)
        self._last_seen = line

    @task_errors()
    def execute(self, context: Context) -> dict[str, Any]:
        """Wait. What is over at the first look never defers."""
        self.check_flags()
        self.check()
        self.begin(context)
        # Deferred or not, so that soft_fail, never_fail and silent_fail hold for the first look too.
        try:
            with self._skipped_for_its_wait_only():
                waited: dict[str, Any] = super().execute(context)
        except AirflowSensorTimeout:
            raise self._timed_out(self._last_seen) from None
        return waited

    @task_errors()
    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Take over from the triggerer."""
        with self._skipped_for_its_wait_only():
            return super().resume_execution(next_method, next_kwargs, context)

    @contextmanager
    def _skipped_for_its_wait_only(self) -> Iterator[None]:
        """Let ``soft_fail`` skip only what it is for: Airflow's skips a wrong credential too, without a word."""
        try:
            yield
        except AirflowSkipException as skipped:
            cause = skipped.__cause__
            if not self.soft_fail:
                raise
            if cause is None:
                cause = self._timed_out(self._last_seen)
            if not isinstance(cause, (AirflowSensorTimeout, AirflowTaskTimeout, OrderError)):
                raise cause from cause.__cause__
            raise AirflowSkipException(f"Skipped, because soft_fail is set: {cause}") from cause

    @task_errors()
    def poke(self, context: Context) -> PokeReturnValue:
        """Look once, on a worker; defer where that is not enough, and wanted."""
        found = self._look()
        if found is None and self.deferrable:
            deadline = time.time() + self.timeout
            log_deferral(self.log, deadline)
            self.defer(
                trigger=self.trigger(deadline),
                method_name="execute_complete",
                timeout=deferral_timeout(deadline),
            )
        return PokeReturnValue(is_done=found is not None, xcom_value=found)

    def _look(self) -> dict[str, Any] | None:
        from planet_provider.hooks.planet import PlanetHook

        try:
            with PlanetHook(self.planet_conn_id).session() as session:
                return self.look(session)
        except RateLimitQueueError as error:
            if not self.deferrable:
                raise
            # The triggerer can wait for a slot without a worker's.
            self.log.info("%s", error)
            return None

    @task_errors()
    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Take over from the trigger."""

        from planet_provider.triggers.events import last_seen, read_event

        found = read_event(event, self.subject)
        if found is None:
            raise self._timed_out(last_seen(event))
        return self.result(found)

    def _timed_out(self, last: str) -> AirflowSensorTimeout:
        message = (
            f"{self.wanted()} was not reached within timeout={self.timeout:g} s. {last} {self.advice(last)}"
        )
        return AirflowSensorTimeout(" ".join(message.split()))

    def advice(self, last: str) -> str:
        """Return what to do after a time-out.

        :param last: What was seen last.
        """
        return "It goes on at Planet's: raise timeout, or clear this task to wait on."
