"""Where a download link leads, and what the answers on its way mean."""

from __future__ import annotations

from urllib.parse import urljoin

import httpx

from planet_provider.client.redact import origin, redact_url
from planet_provider.client.responses import api_error, transport_error
from planet_provider.exceptions import LinkExpiredError, OverQuotaError, TransferError

#: Redirects that a download follows. Planet's links take one hop to storage.
MAX_REDIRECTS = 5

#: What to do about a link that leads nowhere.
NEW_LINK = "Get the order or the asset again for a new link; if it stays so, report it to Planet."

#: Bytes of a redirect's body that are rather read than paid for with a new connection.
_SHORT_BODY = 64 << 10

#: What storage and Planet answer to a link that is not valid any more.
_EXPIRED = frozenset({401, 403, 404, 410})


def followed(url: str, link: str) -> str:
    """Return where a link or a redirect leads: to http or https, and never from https to http."""
    try:
        target = link if link.isprintable() and all(origin(link)) else urljoin(url, link)
    except ValueError:
        target = ""
    allowed = {"https"} if origin(url)[0] == "https" else {"http", "https"}
    if origin(target)[0] not in allowed:
        raise TransferError(
            f"A link leads from {redact_url(url)} to {redact_url(target) or 'no URL'}: it is not followed. "
            f"{NEW_LINK}"
        )
    return target


def discard(response: httpx.Response) -> None:
    """Close an answer; read its body before, if that is short, so that its connection can be used again."""
    length = response.headers.get("Content-Length", "")
    try:
        if length.isdecimal() and int(length) <= _SHORT_BODY:
            response.read()
    except httpx.HTTPError:
        pass
    finally:
        response.close()


def checked(response: httpx.Response, label: str, *, at_home: bool) -> httpx.Response:
    """Return an answer that has a body to read, or a range to tell of.

    :param at_home: Whether the API gave it, not storage.
    :raises LinkExpiredError: The link is not valid any more.
    :raises APIError: It is another error status.
    """
    if response.status_code in {200, 206, 416}:
        return response
    try:
        response.read()
    except httpx.HTTPError as cause:
        raise transport_error(cause, label) from cause
    finally:
        response.close()
    error = api_error(response, label)
    if response.status_code in _EXPIRED and not isinstance(error, OverQuotaError):
        where = "Planet" if at_home else "storage"
        raise LinkExpiredError(
            f"{label}: {where} answered {response.status_code}: the download link is not valid any more. "
            "Get the order or the asset again for a new one."
        ) from error
    raise error
