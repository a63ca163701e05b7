"""What a log, an error or an XCom may show of a URL, a header or a body."""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from urllib.parse import urlsplit, urlunsplit

from planet_provider.known_secrets import REDACTED, SENSITIVE_NAMES, without_known

#: Characters of a text that are looked at and shown. More than any message has, and little enough to look at.
MAX_CHARACTERS = 16_000

#: Characters that known secrets are looked for in, so that none is cut in what is shown.
_READ_CHARACTERS = 4 * MAX_CHARACTERS

#: Characters of the longest secret.
_LONGEST_SECRET = 8_000

#: Query parameters that are safe to show. Whatever else stands in a query may be a token or a signature.
_SHOWN_PARAMETERS = frozenset(
    {"_page_size", "_sort", "page_size", "sort_by", "state", "source_type", "name", "name__contains"}
    | {"created_on", "last_modified", "hosting", "search_type", "limit"}
)
#: A character of a URL. Quotes and brackets count where the URL goes on behind them, not where they close it.
_URL_CHARACTER = r"(?:[^\s\"'<>\\)\]}]|['\)\]}](?=[\w%&=+/~@?-]))"
_URL = re.compile(rf"\b(?:https?|rediss?)://{_URL_CHARACTER}+", re.IGNORECASE)
#: All that follows a question mark. It is taken whole, or a text of question marks would be read again for each.
_QUERY = re.compile(rf"(?P<head>[?&])(?P<query>{_URL_CHARACTER}+)")
#: A value: a string, which may be cut; one inside of a JSON string; a list or object; or a bare word. Each kind
#: matches up to the end of the text, so that nothing is read twice.
_VALUE = (
    r"b?\"(?:\\.|[^\"\\])*(?:\"|\\?\Z)"
    r"|b?'(?:\\.|[^'\\])*(?:'|\\?\Z)"
    r"|(?P<escape>\\+)\"(?:.*?(?<!\\)(?P=escape)\"|.*)"
    r"|\[[^\]]*(?:\]|\Z)|\{[^}]*(?:\}|\Z)"
    r"|[^\s,;&}\]]+"
)
_NAMED_SECRET = re.compile(
    rf"(?P<name>(?:{SENSITIVE_NAMES})(?:\\*[\"']?\s*[:=]|[\"']\s*,)\s*)(?!\*\*\*)(?:{_VALUE})",
    re.IGNORECASE | re.DOTALL,
)
#: A header as it goes over the wire: all of the line, for it may hold several values.
_HEADER = re.compile(r"(?P<name>\b(?:authorization|cookie)\s*[:=]\s*)[^\s\"'][^\r\n]*", re.IGNORECASE)
#: Credentials by their own look: a scheme with what is no plain word, Planet's API keys, JSON web tokens.
_SCHEME = re.compile(
    r"\b(?P<scheme>(?i:basic)\s+(?=\S*[A-Z0-9=])(?=[A-Za-z0-9+/]{6,}=*(?![\w.-]))"
    r"|(?i:api-key|bearer)\s+(?=\S*[A-Z0-9=]))[A-Za-z0-9._~+/=-]{6,}"
)
_CREDENTIAL = re.compile(r"\bPLAK[\w-]{8,}|\beyJ[\w-]{10,}(?:\.[\w-]+)*")

_LOGGERS = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)


@lru_cache(maxsize=256)  # of a link and of where it leads, several times each
def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL, lower case and with the scheme's default port filled in.

    A malformed URL has none of them, and so no origin that anything else has.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", "", 0
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), port or {"http": 80, "https": 443}.get(scheme, 0)


def redact_url(url: str) -> str:
    """Return a URL without known secrets, user, password and fragment; of its query only harmless values stay."""
    try:
        url = without_known(url)
        parts = urlsplit(url)
        parts.port  # noqa: B018 - a port that is none may be the beginning of a password
        netloc = parts.netloc.rsplit("@", 1)[-1]
    except ValueError:
        return REDACTED
    return urlunsplit((parts.scheme, netloc, parts.path, _redact_query(parts.query), ""))


def redact_text(text: str, most: int = MAX_CHARACTERS) -> str:
    """Return a text without the secrets that this process knows, nor those that URLs, headers and JSON hold.

    Takes time in proportion to the text's length, of which no more is read than can be shown.

    :param most: Characters that are shown.
    """
    known = without_known(text[:_READ_CHARACTERS])
    if len(text) > _READ_CHARACTERS:
        known = known[:-_LONGEST_SECRET]  # a secret may be cut at the end
    cut = len(text) > _READ_CHARACTERS or len(known) > most
    shown = known[:most]
    shown = _URL.sub(lambda match: redact_url(match[0]), shown)
    shown = _QUERY.sub(lambda match: match["head"] + _redact_text_query(match["query"]), shown)
    shown = _HEADER.sub(lambda match: f"{match['name']}{REDACTED}", shown)
    shown = _NAMED_SECRET.sub(lambda match: f"{match['name']}{REDACTED}", shown)
    shown = _SCHEME.sub(lambda match: f"{match['scheme']}{REDACTED}", shown)
    shown = _CREDENTIAL.sub(REDACTED, shown)
    return f"{shown[:most]}…" if cut else shown


def _redact_text_query(query: str) -> str:
    return _redact_query(query) if "=" in query else query


def _redact_query(query: str) -> str:
    pairs = []
    for pair in query.split("&") if query else []:
        name, equals, value = pair.partition("=")
        shown = name in _SHOWN_PARAMETERS or (equals and not value)
        # Without a name, the whole of it may be a token.
        pairs.append(pair if shown else f"{name}={REDACTED}" if equals else REDACTED)
    return "&".join(pairs)


class RedactingFilter(logging.Filter):
    """Redact a log record's message before any handler sees it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace message and arguments by the redacted text; drop nothing."""
        record.msg, record.args = redact_text(record.getMessage()), None
        return True


def install_log_redaction() -> None:
    """Redact what httpx and httpcore log: at INFO the former writes whole URLs, at DEBUG the latter headers.

    Loggers don't hand their filters down, so each gets its own. Safe to call any number of times.
    """
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(existing, RedactingFilter) for existing in logger.filters):
            logger.addFilter(RedactingFilter())
