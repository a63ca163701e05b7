"""Lists of orders: filters, order, pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from aiohttp import web

from planet_provider.sandbox.clock import rfc3339
from planet_provider.sandbox.errors import fields
from planet_provider.sandbox.filtervalues import parse_instant
from planet_provider.sandbox.order import Order, Transition
from planet_provider.sandbox.parsing import boolean

_STATES = ("queued", "running", "success", "partial", "failed", "cancelled")
_SOURCES = ("all", "scenes", "basemaps")
_OFFSET = "offset:"

Row = tuple[Order, Transition]


@dataclass(frozen=True)
class Interval:
    """A span of time: start inclusive, end exclusive; ``None`` is open."""

    start: datetime | None
    end: datetime | None

    @classmethod
    def parse(cls, name: str, text: str) -> Interval:
        """Parse a date-time or an interval with ``..`` for an open end.

        :raises ApiError: 400.
        """
        # A "+" of an offset that was not encoded arrives as a space.
        parts = text.strip().replace(" ", "+").split("/")
        try:
            if len(parts) == 1:
                at = parse_instant(parts[0])
                return cls(at, at)
            start, end = (None if part in ("", "..") else parse_instant(part) for part in parts)
        except ValueError:
            raise fields(400, {name: [f"{text!r} is no RFC 3339 date-time or interval"]}) from None
        if start is None and end is None:
            raise fields(400, {name: [f"{text!r} is open at both ends"]})
        return cls(start, end)

    def __contains__(self, moment: datetime) -> bool:
        if self.start is not None and self.start == self.end:
            return moment == self.start
        return (self.start is None or self.start <= moment) and (self.end is None or moment < self.end)


def matcher(request: web.Request, user_id: int) -> Callable[[Row], bool]:
    """Return whether an order, in the state it is shown in, passes a request's filters.

    :param user_id: Who asks.
    :raises ApiError: 400: a filter is no good.
    """
    query = request.query
    states = query.getall("state", [])
    for state in states:
        if state not in _STATES:
            raise fields(400, {"state": [f"{state!r} is not one of {', '.join(_STATES)}"]})
    source = query.get("source_type", "scenes")
    if source not in _SOURCES:
        raise fields(400, {"source_type": [f"{source!r} is not one of {', '.join(_SOURCES)}"]})
    created, modified = (
        Interval.parse(name, query[name]) if name in query else None
        for name in ("created_on", "last_modified")
    )
    hosting = boolean(request, "hosting")
    owner = _owner(query.get("user_id"), user_id)

    def matches(row: Row) -> bool:
        order, step = row
        destination = (order.request.get("delivery") or {}).get("destination") or {}
        return (
            (owner is None or order.user_id == owner)
            and (not states or step.state in states)
            and source in ("all", order.source_type)
            and ("name" not in query or order.name == query["name"])
            and query.get("name__contains", "") in order.name
            and (created is None or order.created_on in created)
            and (modified is None or step.at in modified)
            and (hosting is None or bool(order.request.get("hosting")) == hosting)
            and query.get("destination_ref", destination.get("ref")) == destination.get("ref")
        )

    return matches


def page(request: web.Request, rows: list[Row], size: int, base_url: str) -> tuple[list[Row], dict[str, str]]:
    """Sort rows and cut a page.

    :param rows: Oldest first.
    :return: The page's rows and its links.
    :raises ApiError: 400: ``sort_by`` or ``page_marker`` is no good.
    """
    links = {"_self": f"{base_url}{request.path_qs}"}
    marker = request.query.get("page_marker")
    if "sort_by" in request.query:
        rows = _sorted(rows, request.query["sort_by"])
        start = _offset(marker)
        following = f"{_OFFSET}{start + size}"
    else:
        # Pages are cut by the time of creation: orders placed meanwhile don't shift them.
        rows = rows[::-1]
        before = _before(marker)
        start = 0 if before is None else sum(order.created_on >= before for order, _ in rows)
        following = rfc3339(rows[min(start + size, len(rows)) - 1][0].created_on) if rows else ""
    if start + size < len(rows):
        query = [(name, value) for name, value in request.query.items() if name != "page_marker"]
        links["next"] = f"{base_url}{request.path}?{urlencode([*query, ('page_marker', following)])}"
    return rows[start : start + size], links


def _owner(text: str | None, user_id: int) -> int | None:
    if text is None:
        return user_id
    if text == "all":
        return None
    if not text.isdigit():
        raise fields(400, {"user_id": [f"must be 'all' or a user's number, not {text!r}"]})
    return int(text)


def _sorted(rows: list[Row], sort_by: str) -> list[Row]:
    keys: dict[str, Callable[[Row], object]] = {
        "name": lambda row: row[0].name,
        "created_on": lambda row: row[0].created_on,
        "state": lambda row: row[1].state,
        "last_modified": lambda row: row[1].at,
    }
    # Sorting is stable: by the last field first.
    for term in reversed(sort_by.split(",")):
        name, _, direction = term.strip().partition(" ")
        if name not in keys or direction.upper() not in ("", "ASC", "DESC"):
            raise fields(400, {"sort_by": [f"{term!r} is not one of {', '.join(keys)} with ASC or DESC"]})
        rows = sorted(rows, key=keys[name], reverse=direction.upper() == "DESC")  # type: ignore[arg-type]
    return rows


def _offset(marker: str | None) -> int:
    if marker is None:
        return 0
    digits = marker.removeprefix(_OFFSET)
    if not digits.isdigit():
        raise fields(400, {"page_marker": [f"{marker!r} is not a page of this list"]})
    return int(digits)


def _before(marker: str | None) -> datetime | None:
    if marker is None:
        return None
    try:
        return parse_instant(marker)
    except ValueError:
        raise fields(400, {"page_marker": [f"{marker!r} is not a page of this list"]}) from None
