"""Points in time and spans between them, as lists of Planet's take them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias

from planet_provider.builders import checks
from planet_provider.exceptions import InvalidInputError

#: A point in time, a pair of which either side may be open, a :class:`pendulum.Interval`, or Planet's text.
Span: TypeAlias = "datetime | str | Sequence[datetime | str | None] | Any"

_OPEN = ".."
_FORMS = (
    "must be a point in time with an offset, a pair (start, end) of such with None for an open side, a "
    "pendulum interval, or text such as 2024-01-01T00:00:00Z/.."
)


def span(value: Span, field: str) -> str:
    """Turn a point in time or a span into what Planet's lists take; the start is inclusive, the end is not.

    :param value: An aware datetime or its RFC 3339 text; a pair ``(start, end)`` of those, with ``None`` for
        an open side; a :class:`pendulum.Interval`; or text ``start/end`` with ``..`` for an open side.
    :param field: The parameter's name, for errors.
    :return: E.g. ``2024-01-01T00:00:00Z/..``.
    :raises InvalidInputError: It is none of these, has no offset, is open on both sides, or ends before it
        starts.
    """
    sides = _sides(value, field)
    if len(sides) == 1:
        return checks.utc_datetime(sides[0], field)
    if len(sides) != 2:
        raise InvalidInputError(field, value, _FORMS)
    start, end = (_side(side, field) for side in sides)
    if start is None and end is None:
        raise InvalidInputError(field, value, "is open on both sides; leave it out.")
    if start is not None and end is not None and checks.time_order(start) >= checks.time_order(end):
        remedy = "must start before it ends."
        raise InvalidInputError(field, value, f"{remedy} {checks.NO_WINDOW}" if start == end else remedy)
    return f"{start or _OPEN}/{end or _OPEN}"


def _sides(value: Any, field: str) -> Sequence[Any]:
    if isinstance(value, str):
        return value.split("/")
    if isinstance(value, datetime):
        return (value,)
    # pendulum's intervals are timedeltas that know both of their ends.
    if hasattr(value, "start") and hasattr(value, "end"):
        return value.start, value.end
    if isinstance(value, Sequence):
        return value
    raise InvalidInputError(field, value, _FORMS)


def _side(value: Any, field: str) -> str | None:
    return None if value is None or value in (_OPEN, "") else checks.utc_datetime(value, field)
