"""Reading requests."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from planet_provider.sandbox.errors import ApiError, fields, general


async def json_object(request: web.Request, *, optional: bool = False) -> dict[str, Any]:
    """Return a request's body.

    :param optional: Whether an empty body stands for an empty object.
    :raises ApiError: 400: not a JSON object.
    """
    content = await request.read()
    if optional and not content.strip():
        return {}
    try:
        body = json.loads(content)
    except ValueError:
        raise general(400, "The request body is not valid JSON") from None
    if not isinstance(body, dict):
        raise general(400, "The request body must be a JSON object")
    return body


def integer(request: web.Request, name: str, default: int, lowest: int, highest: int) -> int:
    """Return a query parameter.

    :raises ApiError: 400: not an integer of the range.
    """
    text = request.query.get(name, str(default))
    if not text.isdigit() or not lowest <= int(text) <= highest:
        raise fields(400, {name: [f"must be an integer of {lowest} to {highest}, not {text!r}"]})
    return int(text)


def boolean(request: web.Request, name: str) -> bool | None:
    """Return a query parameter, if it is given.

    :raises ApiError: 400: neither true nor false.
    """
    text = request.query.get(name, "").lower()
    if text in ("", "true", "false"):
        return None if not text else text == "true"
    raise fields(400, {name: [f"must be true or false, not {text!r}"]})


def not_found(what: str) -> ApiError:
    """Return the Data API's answer for what doesn't exist."""
    return ApiError(404, {"message": f"{what} does not exist", "errors": []})
