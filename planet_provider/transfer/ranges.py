"""What the headers of an answer say of the piece of a file that follows (RFC 9110, sections 8 and 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx

_CONTENT_RANGE = re.compile(r"bytes (?:(?P<start>\d+)-(?P<end>\d+)|\*)/(?P<total>\d+|\*)", re.IGNORECASE)


@dataclass(frozen=True)
class ContentRange:
    """A parsed ``Content-Range``.

    :param start: First byte; ``None`` where the range asked for was not satisfiable.
    :param total: Bytes of the whole file, where the server says.
    """

    start: int | None
    total: int | None


def content_range(headers: httpx.Headers) -> ContentRange | None:
    """Read ``Content-Range``; ``None`` if it is missing or malformed."""
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if match is None:
        return None
    start, total = match["start"], match["total"]
    return ContentRange(None if start is None else int(start), None if total == "*" else int(total))


def content_length(headers: httpx.Headers) -> int | None:
    """Read ``Content-Length``."""
    value = headers.get("Content-Length", "").strip()
    return int(value) if re.fullmatch(r"[0-9]{1,18}", value) else None


def strong_etag(headers: httpx.Headers) -> str | None:
    """Read ``ETag`` if it is a strong one: only such vouches for the same bytes."""
    value = str(headers.get("ETag", "")).strip()
    return value if len(value) > 2 and value.startswith('"') and value.endswith('"') else None


def has_end(response: httpx.Response) -> bool:
    """Tell whether the body's end can be told from a cut connection."""
    return (
        content_length(response.headers) is not None
        or "chunked" in response.headers.get("Transfer-Encoding", "").lower()
        or response.http_version == "HTTP/2"
    )
