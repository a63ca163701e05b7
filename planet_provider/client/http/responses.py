"""From an HTTP answer, or the lack of one, to a result or an error of the tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any, TypeVar

import httpx

from planet_provider.client.call import Call
from planet_provider.client.http.environment import proxy_to
from planet_provider.client.parse import decoded
from planet_provider.exceptions import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    OrderConcurrencyError,
    OrderNotCancellableError,
    OverQuotaError,
    PermissionDeniedError,
    PlanetError,
    RateLimitError,
    ServerError,
    TransportError,
    UnexpectedResponseError,
)
from planet_provider.redact import redact_text, redact_url

T = TypeVar("T")

_BY_STATUS: dict[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    410: NotFoundError,
    422: BadRequestError,
    429: RateLimitError,
}

_HINTS: dict[type[APIError], str] = {
    BadRequestError: "Correct the request; sending it again as it is won't help.",
    AuthenticationError: "Check the API key in the Airflow connection (with auth=oauth or login: its login and "
    "password), or PL_API_KEY, or ~/.planet.json.",
    PermissionDeniedError: "The account may not do this; ask your Planet administrator or account manager.",
    OverQuotaError: "The account's quota is used up; it is not retried. Ask your Planet account manager.",
    NotFoundError: "Check the id, and that the connection's account may see it.",
    ConflictError: "Its present state doesn't allow this.",
    OrderConcurrencyError: "Too many orders are queued or running; wait until some have ended.",
    OrderNotCancellableError: "Only queued orders can be cancelled.",
    RateLimitError: "Run fewer tasks at once, or lower rate_limits in the connection.",
    ServerError: "Planet has trouble; try again later.",
}

#: Longest wait in seconds that Retry-After is believed. Then one asks again.
MAX_RETRY_AFTER_SECONDS = 86_400.0

#: Errors before a byte of the request was sent.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)

#: What reading an answer of another form than expected may raise.
MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)

#: What sending a request and reading its answer may raise. That a session is closed is the caller's fault.
EXCHANGE_ERRORS = (httpx.HTTPError, httpx.InvalidURL, *MALFORMED)

#: Headers about how a body was sent, not about its content.
_OF_THE_WIRE = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})

#: What tells a quota of requests from one of imagery.
_RATE = re.compile(r"\brates?\b|\brequests?\b|\bper[ _-]?(second|minute|hour)\b|/ ?(s|sec|min|hour)\b")

#: Characters of a text that an error message shows: of one that Planet means to be read, and of others.
_SHOWN_MESSAGE = 1000
_SHOWN_TEXT = 300

#: Characters of all messages together.
_SHOWN_SAID = 4000

#: Messages of an answer that are shown. An order of 500 items may have one for each.
_MOST_MESSAGES = 50

#: Levels of lists and objects that messages are looked for in.
_DEPTH = 12

#: Characters of the longest date of HTTP, with room for an odd zone.
_DATE_CHARACTERS = 60


#: Where Planet's error bodies hold what they say.
_MESSAGE_KEYS = frozenset(
    {"message", "msg", "detail", "title", "reason", "error", "errors", "general", "error_hints"}
)

_NO_JSON = object()


def result(call: Call[T], response: httpx.Response) -> tuple[T, Any]:
    """Read the answer to a call.

    :return: The parsed result, and the decoded body.
    :raises APIError: An error status.
    :raises UnexpectedResponseError: A success that cannot be understood.
    """
    if not response.is_success:
        raise api_error(response, call.label)
    try:
        body = decoded(response.content) if response.content else None
        return call.parse(body), body
    except PlanetError:
        raise
    except MALFORMED as error:
        raise not_understood(f"{call.label} -> {response.status_code}", error) from None


def whole(response: httpx.Response, content: bytes) -> httpx.Response:
    """Return an answer with its decoded body, which was read past httpx.

    :param response: The answer, with its body unread.
    """
    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _OF_THE_WIRE]
    return httpx.Response(
        response.status_code,
        headers=headers,
        content=content,
        request=response.request,
        extensions=response.extensions,
    )


def exchange_error(error: Exception, label: str) -> PlanetError:
    """Build the error for a request that was sent and not answered, or answered in a way that httpx can't take.

    :param error: One of :data:`EXCHANGE_ERRORS`. Raise what is returned where it is not being handled any more.
    :param label: Method and path of the request.
    """
    if isinstance(error, PlanetError):
        return error
    if isinstance(error, httpx.HTTPError):
        return transport_error(error, label)
    return not_understood(label, error)


def not_understood(label: str, error: Exception) -> UnexpectedResponseError:
    """Build the error for a success whose content is malformed.

    :param label: Method and path of the request.
    :param error: What the reader of the content raised.
    """
    what = redact_text(f"{type(error).__name__}: {error}", _SHOWN_TEXT).rstrip(".")
    return UnexpectedResponseError(
        f"{label}: the answer cannot be understood: {what}. Check that the connection's host is Planet's API "
        "and that no proxy answers in its stead; if so, a newer version of this provider may understand it."
    )


def api_error(response: httpx.Response, label: str) -> APIError:
    """Build the error for an answer with an error status. Its body must have been read.

    :param label: Method and path of the request.
    """
    messages = _messages(response)
    status = response.status_code
    kind = _kind(status, " ".join(messages), is_json=_is_json(response))
    said = (
        "; ".join(messages)[:_SHOWN_SAID] or redact_text(response.reason_phrase, _SHOWN_TEXT) or "no message"
    )
    hint = _HINTS.get(kind, "This answer is not documented by Planet.")
    return kind(
        f"{label} -> {status}: {said.rstrip('.')}. {hint}",
        status=status,
        request=label,
        messages=messages,
        retry_after=retry_after(response),
    )


def transport_error(error: httpx.HTTPError, label: str) -> TransportError:
    """Build the error for a request without an answer.

    Raise it where ``error`` is not being handled any more: in a chain of exceptions, it would show what it holds,
    and that may be a header or a signed link.

    :param label: Method and path of the request.
    """
    sent = not isinstance(error, _NOT_SENT)
    # What our own side refuses to send may be a header, which such an error shows in full.
    text = "" if isinstance(error, httpx.LocalProtocolError) else redact_text(str(error), _SHOWN_TEXT)
    what = type(error).__name__ + (f": {text}" if text else "")
    where, proxy = _way(error)
    if proxy is not None and not sent:
        hint = "Check that this proxy can be reached from this host, or correct the variable."
    elif sent:
        hint = "Try again later; if it always takes too long, raise the connection's timeout."
    else:
        hint = f"Check that {where} can be reached from this host, and the connection's host."
    through = f" through {proxy}" if proxy is not None else ""
    return TransportError(f"{label}: no answer from {where}{through}: {what.rstrip('.')}. {hint}", sent=sent)


def retry_after(response: httpx.Response) -> float | None:
    """Read Retry-After, in seconds or as HTTP date. A date is compared with the answer's own, if it has one.

    :return: Seconds from now, from 0 to a day; ``None`` where there is none, or it cannot be understood.
    """
    value = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", value, re.ASCII):
        return min(float(value), MAX_RETRY_AFTER_SECONDS)
    until = _http_date(value)
    if until is None:
        return None
    now = server_time(response) or datetime.now(timezone.utc)
    return min(max(0.0, (until - now).total_seconds()), MAX_RETRY_AFTER_SECONDS)


def server_time(response: httpx.Response) -> datetime | None:
    """Return the server's clock when it answered, to the second; ``None`` if the answer doesn't say."""
    return _http_date(response.headers.get("Date", ""))


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value[:_DATE_CHARACTERS])
    except MALFORMED:
        return None
    return date.replace(tzinfo=timezone.utc) if date.tzinfo is None else date


def _way(error: httpx.HTTPError) -> tuple[str, str | None]:
    """Return the origin that a request went to, and the proxy on the way."""
    try:
        url = error.request.url
    except RuntimeError:  # httpx knows no request where it failed before building one
        return "Planet", None
    return redact_url(str(url.copy_with(raw_path=b"/"))).rstrip("/"), proxy_to(str(url))


def _kind(status: int, said: str, *, is_json: bool) -> type[APIError]:
    said = said.lower()
    # Planet has answered "over quota" with 403 and, in older days, with 429: only the message tells. Gateways
    # and proxies call a rate limit a quota, too.
    rate_limited = status == 429 and (not is_json or _RATE.search(said))
    if status in {403, 429} and "quota" in said and not rate_limited:
        return OverQuotaError
    if status == 409 and "concurrency limit" in said:
        return OrderConcurrencyError
    if status == 409 and "cancellable" in said:
        return OrderNotCancellableError
    if status >= 500:
        return ServerError
    return _BY_STATUS.get(status, APIError)


def _is_json(response: httpx.Response) -> bool:
    return _decoded(response) is not _NO_JSON


def _decoded(response: httpx.Response) -> Any:
    try:
        return decoded(response.content)
    except (RecursionError, ValueError):
        return _NO_JSON


def _messages(response: httpx.Response) -> tuple[str, ...]:
    body = _decoded(response)
    if body is _NO_JSON:
        # Whatever charset it claims to have.
        text = redact_text(response.content.decode("utf-8", "replace").strip(), _SHOWN_TEXT)
        return (text,) if text else ()
    found = dict.fromkeys(islice(_walk(body, "", _DEPTH), _MOST_MESSAGES))
    return tuple(dict.fromkeys(redact_text(message, _SHOWN_MESSAGE) for message in found))


def _walk(body: Any, path: str, depth: int) -> Iterator[str]:
    """Find the messages in Planet's error bodies, which come in several shapes.

    Orders: ``{"field": {"Products": [{"message"}]}, "general": [{"message"}]}``; Data: the same, or
    ``{"message"}``, or ``{"error": ...}``; gateways: strings.
    """
    if isinstance(body, str):
        yield f"{path}: {body}" if path else body
    elif isinstance(body, list) and depth:
        for entry in body:
            yield from _walk(entry, path, depth - 1)
    elif isinstance(body, dict) and depth:
        for key, value in body.items():
            if key in _MESSAGE_KEYS:
                yield from _walk(value, path, depth - 1)
            elif key == "field" and isinstance(value, dict):
                for name, entries in value.items():
                    yield from _walk(entries, str(name), depth - 1)
