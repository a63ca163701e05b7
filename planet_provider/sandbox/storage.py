"""The storage origin: signed URLs, ranges, validators; a cloud store as far as a download sees one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import Any
from xml.sax.saxutils import escape

from aiohttp import hdrs, web

from planet_provider.sandbox.body import Content
from planet_provider.sandbox.config import ExpiredStorageLink
from planet_provider.sandbox.errors import ApiError
from planet_provider.sandbox.links import LinkError
from planet_provider.sandbox.objects import StoredObject
from planet_provider.sandbox.pipeline import current_faults
from planet_provider.sandbox.state import STATE

_CODES = {403: "AccessDenied", 404: "NoSuchKey", 405: "MethodNotAllowed", 416: "InvalidRange"}

#: Status, code, message and further elements of the answer to an expired link. Sources: Google Cloud Storage,
#: "HTTP status and error codes" (ExpiredToken); Amazon S3, "Error responses"; Azure, "SAS error codes".
_EXPIRED: Mapping[ExpiredStorageLink, tuple[int, Mapping[str, str]]] = {
    "google": (
        400,
        {
            "Code": "ExpiredToken",
            "Message": "The provided token has expired.",
            "Details": "Request signature expired at: {expiry}",
        },
    ),
    "s3": (403, {"Code": "AccessDenied", "Message": "Request has expired", "Expires": "{expiry}"}),
    "s3_temporary": (400, {"Code": "ExpiredToken", "Message": "The provided token has expired."}),
    "azure": (
        403,
        {
            "Code": "AuthenticationFailed",
            "Message": "Server failed to authenticate the request. Make sure the value of Authorization header "
            "is formed correctly including the signature.",
            "AuthenticationErrorDetail": "Signature not valid in the specified time frame: Expiry [{expiry}]",
        },
    ),
}
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_INVERT = bytes(255 - value for value in range(256))


async def read_object(request: web.Request) -> web.StreamResponse:
    """``GET|HEAD /{bucket}/{key}?Expires=…&Signature=…``."""
    state = request.app[STATE]
    key = request.match_info["key"]
    try:
        if "expire" in current_faults():
            raise LinkError(expired=True)
        state.links.check(key, request.query)
    except LinkError as error:
        if error.expired:
            raise _expired(state.config.expired_storage_link, request.query.get("Expires", "")) from None
        raise ApiError(403, {"message": "The request signature does not match"}) from None
    stored = state.objects.get(key)
    if stored is None:
        raise ApiError(404, {"message": "The specified key does not exist."})
    return _serve(request, stored)


def xml_error(status: int, payload: Any, headers: Mapping[str, str]) -> web.Response:
    """Render an error as cloud stores do."""
    code = _CODES.get(status, "InternalError")
    elements = payload if "Code" in payload else {"Code": code, "Message": payload["message"]}
    text = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in elements.items())
    return web.Response(
        status=status,
        text=f"{_XML}<Error>{text}</Error>",
        headers={**headers, hdrs.CONTENT_TYPE: "application/xml; charset=utf-8"},
    )


def _expired(store: ExpiredStorageLink, expires: str) -> ApiError:
    moment = datetime.fromtimestamp(int(expires) if expires.isdigit() else 0, timezone.utc)
    status, elements = _EXPIRED[store]
    return ApiError(status, {name: text.format(expiry=moment.isoformat()) for name, text in elements.items()})


def _serve(request: web.Request, stored: StoredObject) -> web.StreamResponse:
    other = "etag" in current_faults()
    etag = f'"{stored.md5[::-1] if other else stored.md5}"'
    headers: dict[str, str] = {
        hdrs.ACCEPT_RANGES: "bytes",
        hdrs.ETAG: etag,
        hdrs.LAST_MODIFIED: _http_date(stored.modified),
        hdrs.CONTENT_TYPE: stored.media_type,
        hdrs.CONTENT_DISPOSITION: f'attachment; filename="{stored.file_name}"',
    }
    if _matches(request.headers.get(hdrs.IF_NONE_MATCH), etag):
        return web.Response(status=304, headers=headers)
    if hdrs.IF_MATCH in request.headers and not _matches(request.headers[hdrs.IF_MATCH], etag):
        raise ApiError(412, {"message": "At least one of the preconditions did not hold"})
    view = stored.view()
    span = _range(request, stored, etag)
    if span is not None:
        headers[hdrs.CONTENT_RANGE] = f"bytes {span.start}-{span.stop - 1}/{stored.size}"
        view = view[span.start : span.stop]
    if other:
        view = memoryview(bytes(view).translate(_INVERT))
    return Content(view, status=200 if span is None else 206, headers=headers)


def _range(request: web.Request, stored: StoredObject, etag: str) -> range | None:
    """Return the bytes asked for; ``None`` is all of them.

    :raises ApiError: 416.
    """
    if "no_range" in current_faults() or not _current(request, stored, etag):
        return None
    try:
        asked = request.http_range
    except ValueError:
        # Several ranges, or none that can be read: a server may ignore them (RFC 9110, 14.2).
        return None
    if asked.start is None and asked.stop is None:
        return None
    start, stop, _ = asked.indices(stored.size)
    if start >= stop:
        raise ApiError(
            416,
            {"message": "The requested range is not satisfiable"},
            {hdrs.CONTENT_RANGE: f"bytes */{stored.size}"},
        )
    return range(start, stop)


def _current(request: web.Request, stored: StoredObject, etag: str) -> bool:
    """Tell whether ``If-Range`` lets the range hold (RFC 9110, 13.1.5)."""
    validator = request.headers.get(hdrs.IF_RANGE)
    return validator is None or validator in (etag, _http_date(stored.modified))


def _matches(header: str | None, etag: str) -> bool:
    if header is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in tags or etag in tags


def _http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(timezone.utc).replace(microsecond=0), usegmt=True)
