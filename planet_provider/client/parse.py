"""Readers of decoded bodies that several endpoints share."""

from __future__ import annotations

from typing import Any, TypeAlias

JSONObject: TypeAlias = dict[str, Any]


def json_object(body: Any) -> JSONObject:
    """Return the body, which must be a JSON object."""
    if not isinstance(body, dict):
        raise TypeError(f"expected a JSON object, got {type(body).__name__}")
    return body


def next_link(body: JSONObject, name: str) -> str | None:
    """Return the link to the next page, or ``None`` on the last one."""
    links = body.get("_links")
    link = None if links is None else json_object(links).get(name)
    if link is None or isinstance(link, str):
        return link or None
    raise TypeError(f"expected the link {name} to be a string, got {type(link).__name__}")


def nothing(body: Any) -> None:
    """Ignore the body."""
