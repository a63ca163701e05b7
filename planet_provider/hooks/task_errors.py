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

#: Before the names of errors that fail a task at once although another kind of task may retry after them.
_FINAL = "Final"


def _task_error(kind: type[exceptions.PlanetError], *, final: bool = False) -> type[exceptions.PlanetError]:
    airflow_kind = AirflowException if kind.retryable and not final else AirflowFailException
    name = f"{_FINAL}{kind.__name__}" if final else kind.__name__
    attributes = {"__doc__": kind.__doc__, "__module__": __name__, "__qualname__": name}
    return type(kind.__name__, (kind, airflow_kind), attributes)


_TASK_ERRORS = {
    kind: _task_error(kind)
    for kind in vars(exceptions).values()
    if isinstance(kind, type) and issubclass(kind, exceptions.PlanetError)
}
_FINAL_TASK_ERRORS = {kind: _task_error(kind, final=True) for kind in _TASK_ERRORS}
# By their names in this module, pickle finds them.
globals().update(
    {kind.__qualname__: kind for kinds in (_TASK_ERRORS, _FINAL_TASK_ERRORS) for kind in kinds.values()}
)


@contextmanager
def task_errors(*, retry: bool = True) -> Iterator[None]:
    """Turn this package's errors into Airflow's.

    Those that a retry may fix (``retryable``) let Airflow retry; the others fail the task at once.

    :param retry: Whether a retry of this task can fix anything at all.
    """
    try:
        yield
    except exceptions.PlanetError as error:
        shown = as_task_error(error, retry=retry).with_traceback(error.__traceback__)
        raise shown from _shown_cause(error)


def _shown_cause(error: BaseException) -> BaseException | None:
    """Return the cause that a task's log may show: of this package or of the system, down to the first other.

    An HTTP client's error may hold a header or a signed link; what of it is worth knowing stands in the message.
    """
    cause = error.__cause__
    if not isinstance(cause, (exceptions.PlanetError, OSError)):
        return None
    cause.__cause__ = _shown_cause(cause)  # setting it hides the context
    return cause


def as_task_error(error: exceptions.PlanetError, *, retry: bool = True) -> exceptions.PlanetError:
    """Return the same error as one of Airflow's too; of a class from elsewhere, as its nearest base here."""
    if isinstance(error, AirflowException):
        return error
    base = next(base for base in type(error).__mro__ if base in _TASK_ERRORS)
    is_final = base.retryable and not (retry and error.retryable)
    kind = (_FINAL_TASK_ERRORS if is_final else _TASK_ERRORS)[base]
    copy: Any = kind.__new__(kind, *error.args)
    copy.args = error.args
    copy.__dict__.update(error.__dict__)
    return copy  # type: ignore[no-any-return]
