"""What a trigger tells its task: plain JSON without links, and errors that keep their class."""

from __future__ import annotations

from typing import Any

from planet_provider import exceptions
from planet_provider.exceptions import PlanetError, TriggerEventError

DONE = "done"
TIMEOUT = "timeout"
ERROR = "error"


def done_event(**facts: Any) -> dict[str, Any]:
    """Say that the wait is over."""
    return {"status": DONE, **facts}


def timeout_event(**facts: Any) -> dict[str, Any]:
    """Say that the deadline has passed.

    :param facts: Ids, and as ``last`` a line about what was seen last.
    """
    return {"status": TIMEOUT, **facts}


def error_event(error: PlanetError) -> dict[str, Any]:
    """Say that the wait can't go on."""
    facts = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(error).items()}
    # Of a class from elsewhere, its nearest base in the tree.
    kinds = (kind.__name__ for kind in type(error).__mro__ if vars(exceptions).get(kind.__name__) is kind)
    return {"status": ERROR, "error": next(kinds), "message": str(error), "facts": facts}


def read_event(event: object, subject: str) -> dict[str, Any] | None:
    """Read a trigger's event.

    :param event: As Airflow hands it on.
    :param subject: Key of the id in the event of a wait that is over.
    :return: What was waited for, as last seen; ``None`` if the deadline has passed.
    :raises PlanetError: The error that the event tells of.
    :raises TriggerEventError: There is no event, or it can't be understood.
    """
    if isinstance(event, dict):
        status = event.get("status")
        if status == DONE and isinstance(found := event.get(subject), dict):
            return found
        if status == TIMEOUT:
            return None
        if status == ERROR:
            raise _error(event)
    raise TriggerEventError(
        f"The trigger ended with the event {event!r}, which is not understood. "
        "Does the triggerer run another version of this provider?"
    )


def last_seen(event: object) -> str:
    """Return the line about what was seen last before a deadline passed; empty if there is none."""
    return str(event.get("last") or "") if isinstance(event, dict) else ""


def _error(event: dict[str, Any]) -> PlanetError:
    kind = getattr(exceptions, str(event.get("error")), None)
    if not (isinstance(kind, type) and issubclass(kind, PlanetError)):
        return TriggerEventError(f"{event.get('error')}: {event.get('message')}")
    error = kind.__new__(kind)
    error.args = (event.get("message"),)
    facts = event.get("facts")
    if not isinstance(facts, dict):
        facts = {}
    error.__dict__.update(
        {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
    )
    return error
