"""What the headers of an answer say of the piece of a file that follows (RFC 9110, sections 8 and 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx

_CONTENT_RANGE = re.compile(
    r"bytes (?:(?P<start>\d{1,18})-(?P<end>\d{1,18})|\*)/(?P<total>\d{1,18}|\*)", re.IGNORECASE | re.ASCII
)

#: Visible ASCII, as long as headers may be that storages take.
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,1024}"')


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
    return sendable_etag(headers.get("ETag", "").strip())


def sendable_etag(value: object) -> str | None:
    """Return a strong ETag that can be sent back in ``If-Range``; ``None`` for anything else."""
    return value if isinstance(value, str) and _STRONG_ETAG.fullmatch(value) else None


def has_end(response: httpx.Response) -> bool:
    """Tell whether the body's end can be told from a cut connection."""
    return (
        content_length(response.headers) is not None
        or "chunked" in response.headers.get("Transfer-Encoding", "").lower()
        or response.http_version == "HTTP/2"
    )
