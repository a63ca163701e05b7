"""Planet's error answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class ApiError(Exception):
    """An answer that is an error.

    :param status: HTTP status.
    :param payload: JSON body.
    :param headers: Further headers.
    """

    def __init__(self, status: int, payload: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, payload)
        self.status = status
        self.payload = payload
        self.headers = dict(headers or {})


def general(status: int, *messages: str) -> ApiError:
    """Return an error that no one field is the cause of."""
    return fields(status, {}, *messages)


def fields(status: int, field: Mapping[str, Sequence[str]], *messages: str) -> ApiError:
    """Return an error in the form of the Orders and Data APIs.

    :param field: Messages by field.
    :param messages: General messages.
    """
    return ApiError(
        status,
        {
            "field": {name: [{"message": text} for text in texts] for name, texts in field.items()},
            "general": [{"message": text} for text in messages],
        },
    )


def unauthorized() -> ApiError:
    """Return the answer to missing or wrong credentials."""
    return ApiError(401, {"message": "Please enter your API key, or email and password.", "errors": []})
