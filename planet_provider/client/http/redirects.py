"""Where a download link leads, and what the answers on its way mean."""

from __future__ import annotations

import re
from urllib.parse import urljoin

import httpx

from planet_provider.client.http.responses import api_error
from planet_provider.exceptions import (
    LinkExpiredError,
    OverQuotaError,
    PlanetError,
    TransferError,
)
from planet_provider.redact import origin, redact_url

#: Redirects that a download follows. Planet's links take one hop to storage.
MAX_REDIRECTS = 5

#: What to do about a link that leads nowhere.
NEW_LINK = "Get the order or the asset again for a new link; if it stays so, report it to Planet."

#: Statuses of an answer that is what was asked for, or says how long the file is.
OPENED = frozenset({200, 206, 416})

#: Bytes of a redirect's body that are rather read than paid for with a new connection.
_SHORT_BODY = 64 << 10

#: What Planet answers to a link that is not valid any more.
_EXPIRED = frozenset({401, 403, 404, 410})

#: Client errors of a storage that are no fault of the link.
_NOT_THE_LINK = frozenset({416, 429})

#: The name of a storage's error, in its XML.
_STORAGE_CODE = re.compile(r"<Code>(\w{1,64})</Code>")


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
        if length.isascii() and length.isdecimal() and int(length[:9]) <= _SHORT_BODY:
            for _ in response.iter_raw():
                pass
    except (httpx.HTTPError, httpx.StreamError):
        pass
    finally:
        response.close()


def refusal(response: httpx.Response, label: str, *, at_home: bool) -> PlanetError:
    """Return the error for an answer that has neither a body to read nor a range to tell of.

    :param response: With its body read.
    :param at_home: Whether the API gave it, not storage.
    :return: :class:`LinkExpiredError` if the link is not valid any more, else the error of its status.
    """
    error = api_error(response, label)
    if _is_expired(response.status_code, error, at_home=at_home):
        code = None if at_home else _STORAGE_CODE.search(response.text[:_SHORT_BODY])
        return LinkExpiredError(
            f"{label}: {'Planet' if at_home else 'storage'} answered {response.status_code}"
            f"{f' ({code[1]})' if code else ''}: the download link is not valid any more. "
            "Get the order or the asset again for a new one."
        )
    return error


def _is_expired(status: int, error: PlanetError, *, at_home: bool) -> bool:
    if at_home:
        return status in _EXPIRED and not isinstance(error, OverQuotaError)
    # Each store has its own status for an expired signature: 400 at Google, 403 at S3 and Azure. The request
    # is the link and nothing else, so whatever a store has against it, a new link is the remedy.
    return 400 <= status < 500 and status not in _NOT_THE_LINK
