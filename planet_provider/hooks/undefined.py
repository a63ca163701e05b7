"""Whether a connection is surely not defined anywhere, so that a key from elsewhere may stand in for it.

Airflow says that a connection isn't defined too if it can't be read: a variable that doesn't parse, a secrets
backend that is away, an API server that fails. Then another account's key must not take its place.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from planet_provider.exceptions import ConfigurationError, TransportError

#: What Airflow's environment backend puts before a connection's id in capitals.
_PREFIX = "AIRFLOW_CONN_"

#: Asks the API server, and keeps its failures to itself; so it is asked here.
_API_BACKEND = "ExecutionAPISecretsBackend"


def require_undefined(conn_id: str) -> None:
    """Return if a connection that Airflow didn't find is defined nowhere.

    :raises ConfigurationError: It is defined, and can't be read.
    :raises TransportError: Whether it is defined can't be found out now.
    """
    _ask_backends(conn_id)
    comms = _comms()
    if comms is not None:
        try:
            answer: object = comms.send(_question(conn_id))
        except Exception as error:  # whatever it is, it doesn't say that the connection isn't there
            answer = error
        _require_not_found(conn_id, answer)


async def arequire_undefined(conn_id: str) -> None:
    """Do what :func:`require_undefined` does, without blocking the event loop."""
    await asyncio.to_thread(_ask_backends, conn_id)
    comms = _comms()
    if comms is not None:
        try:
            answer: object = await comms.asend(_question(conn_id))
        except Exception as error:  # as above
            answer = error
        _require_not_found(conn_id, answer)


def may_not_be_read(conn_id: str, error: PermissionError) -> ConfigurationError:
    """Build the error for a connection that Airflow denies to a task."""
    return ConfigurationError(
        f"Connection {conn_id!r}: Airflow doesn't let this task read it ({type(error).__name__}). No other "
        "credential is used in its place."
    )


def _ask_backends(conn_id: str) -> None:
    try:
        from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded
    except ImportError:  # an Airflow that is built differently
        backends: list[Any] = []
    else:
        backends = ensure_secrets_backend_loaded()
    variable = f"{_PREFIX}{conn_id.upper()}"
    for backend in backends:
        name = type(backend).__name__
        if name == _API_BACKEND:
            continue
        try:
            backend.get_connection(conn_id=conn_id)
        except Exception as error:
            # Not in the chain: it may hold the connection, with its password.
            kind = type(error).__name__
        else:
            continue
        if os.environ.get(variable):
            raise ConfigurationError(
                f"Connection {conn_id!r}: the environment variable {variable} defines it, but can't be read "
                f"({kind}). Give it JSON or a URI that Airflow understands, or unset it. No other credential is "
                "used in its place."
            )
        raise TransportError(
            f"Connection {conn_id!r}: whether it is defined can't be found out, because the secrets backend "
            f"{name} fails ({kind}). No other credential is used in its place; try again later.",
            sent=False,
        )


def _comms() -> Any:
    try:
        from airflow.sdk.execution_time import task_runner
    except ImportError:
        return None
    return getattr(task_runner, "SUPERVISOR_COMMS", None)


def _question(conn_id: str) -> Any:
    from airflow.sdk.execution_time.comms import GetConnection

    return GetConnection(conn_id=conn_id)


def _require_not_found(conn_id: str, answer: object) -> None:
    from airflow.sdk.exceptions import ErrorType

    # An error is answered, or raised around its answer.
    inner = getattr(answer, "error", None)
    kind = getattr(inner, "error", inner)
    if kind is ErrorType.CONNECTION_NOT_FOUND:
        return
    said = getattr(kind, "value", None) or type(answer).__name__
    raise TransportError(
        f"Connection {conn_id!r}: Airflow can't read it now ({said}). No other credential is used in its place; "
        "try again later, and see the API server's log.",
        sent=False,
    )
