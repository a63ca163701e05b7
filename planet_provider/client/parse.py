"""Readers of bodies that several endpoints share."""

from __future__ import annotations

import json
import re
from typing import Any, TypeAlias

JSONObject: TypeAlias = dict[str, Any]

_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def decoded(content: bytes) -> Any:
    """Decode JSON.

    Half of a surrogate pair, which JSON can hold as an escape, becomes U+FFFD: UTF-8 can't hold it, so neither
    can logs, XComs and files.

    :raises ValueError: It is not JSON.
    :raises RecursionError: It is nested too deeply.
    """
    text = content.decode(json.detect_encoding(content))
    found = json.loads(text)
    if _ESCAPED_SURROGATE.search(text):
        text = json.dumps(found, ensure_ascii=False)
        found = json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    return found


def json_object(body: Any) -> JSONObject:
    """Return the body, which must be a JSON object."""
    if not isinstance(body, dict):
        raise TypeError(f"expected a JSON object, got {type(body).__name__}")
    return body


def check_fields(body: JSONObject, **kinds: type | tuple[type, ...]) -> JSONObject:
    """Check the kinds of fields that an object may have. Absent or ``null``, a field is of any kind.

    :return: The object.
    """
    for name, kind in kinds.items():
        value = body.get(name)
        if value is not None and (
            not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
        ):
            raise TypeError(f"the field {name} is {type(value).__name__}, which is not what it should be")
    return body


def objects(value: Any) -> list[JSONObject]:
    """Return a list of objects; none of them where there is no list."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise TypeError(f"expected a list of objects, got {type(value).__name__}")
    return [json_object(entry) for entry in value]


def next_link(body: JSONObject, name: str) -> str | None:
    """Return the link to the next page, or ``None`` on the last one."""
    links = body.get("_links")
    link = None if links is None else json_object(links).get(name)
    if link is None or isinstance(link, str):
        return link or None
    raise TypeError(f"expected the link {name} to be a string, got {type(link).__name__}")


def nothing(body: Any) -> None:
    """Ignore the body."""
