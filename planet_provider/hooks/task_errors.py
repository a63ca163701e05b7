"""How this package's errors end a task.

Airflow retries a task that fails, unless it fails with ``AirflowFailException``; and a sensor's ``soft_fail``
knows Airflow's exceptions only. So an error that leaves a task becomes one of the same name, a subclass of
the original's class and of Airflow's: ``isinstance(context["exception"], OverQuotaError)`` still holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

# By module, because the errors' names stand for Airflow's kind of them here.
from planet_provider import exceptions


def _task_error(kind: type[exceptions.PlanetError]) -> type[exceptions.PlanetError]:
    airflow_kind = AirflowException if kind.retryable else AirflowFailException
    return type(kind.__name__, (kind, airflow_kind), {"__doc__": kind.__doc__, "__module__": __name__})


_TASK_ERRORS = {
    kind: _task_error(kind)
    for kind in vars(exceptions).values()
    if isinstance(kind, type) and issubclass(kind, exceptions.PlanetError)
}
# By their names in this module, pickle finds them.
globals().update({kind.__name__: kind for kind in _TASK_ERRORS.values()})


@contextmanager
def task_errors() -> Iterator[None]:
    """Turn this package's errors into Airflow's.

    Those that a retry may mend (``retryable``) let Airflow retry; the others fail the task at once.
    """
    try:
        yield
    except exceptions.PlanetError as error:
        raise as_task_error(error).with_traceback(error.__traceback__) from error.__cause__


def as_task_error(error: exceptions.PlanetError) -> exceptions.PlanetError:
    """Return the same error as one of Airflow's too; of a class from elsewhere, as its nearest base here."""
    if isinstance(error, AirflowException):
        return error
    kind = next(_TASK_ERRORS[base] for base in type(error).__mro__ if base in _TASK_ERRORS)
    copy: Any = kind.__new__(kind, *error.args)
    copy.args = error.args
    copy.__dict__.update(error.__dict__)
    return copy  # type: ignore[no-any-return]
