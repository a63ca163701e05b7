"""What a log, an error or an XCom may show of a URL, a header or a body."""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from urllib.parse import urlsplit, urlunsplit

REDACTED = "***"

#: Query parameters that are safe to show. Whatever else stands in a query may be a token or a signature.
_SHOWN_PARAMETERS = frozenset(
    {"_page_size", "_sort", "page_size", "sort_by", "state", "source_type", "name", "name__contains"}
    | {"created_on", "last_modified", "hosting", "search_type", "limit"}
)
#: Ends of the names whose values are secrets wherever they stand, in JSON or as header.
_SENSITIVE_NAMES = (
    "token|secret|password|signature|credentials?|api[_-]?key|access[_-]?key(?:[_-]?id)?"
    "|secret[_-]?key|account[_-]?key|private[_-]?key|authorization|cookie"
)
#: A character of a URL. Quotes and brackets count where the URL goes on behind them, not where they close it.
_URL_CHARACTER = r"(?:[^\s\"'<>\\)\]}]|['\)\]}](?=[\w%&=+/~@?-]))"
_URL = re.compile(rf"\b(?:https?|rediss?)://{_URL_CHARACTER}+", re.IGNORECASE)
_QUERY = re.compile(rf"(?P<head>[?&])(?P<query>{_URL_CHARACTER}*={_URL_CHARACTER}*)")
#: A value: a string, which may be cut; one inside of a JSON string; a list or object; or a bare word.
_VALUE = (
    r"b?\"(?:\\.|[^\"\\])*(?:\"|\\?\Z)"
    r"|b?'(?:\\.|[^'\\])*(?:'|\\?\Z)"
    r"|(?P<escape>\\+)\".*?(?<!\\)(?P=escape)\""
    r"|\[[^\]]*\]|\{[^}]*\}"
    r"|[^\s,;&}\]]+"
)
_NAMED_SECRET = re.compile(
    rf"(?P<name>(?:{_SENSITIVE_NAMES})(?:\\*[\"']?\s*[:=]|[\"']\s*,)\s*)(?!\*\*\*)(?:{_VALUE})",
    re.IGNORECASE | re.DOTALL,
)
#: A header as it goes over the wire: all of the line, for it may hold several values.
_HEADER = re.compile(r"(?P<name>\b(?:authorization|cookie)\s*[:=]\s*)[^\s\"'][^\r\n]*", re.IGNORECASE)
#: Credentials by their own look: a scheme with what is no plain word, Planet's API keys, JSON web tokens.
_SCHEME = re.compile(
    r"\b(?P<scheme>(?i:basic)\s+(?=\S*[A-Z0-9=])(?=[A-Za-z0-9+/]{6,}=*(?![\w.-]))"
    r"|(?i:api-key|bearer)\s+(?=\S*[A-Z0-9=]))[A-Za-z0-9._~+/=-]{6,}"
)
_CREDENTIAL = re.compile(r"\bPLAK[\w-]{8,}|\beyJ[\w-]+\.[\w-]+\.[\w-]*")

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
    """Return a URL without user, password, fragment and the values of its query but harmless ones."""
    try:
        parts = urlsplit(url)
        netloc = parts.netloc.rsplit("@", 1)[-1]
    except ValueError:
        return REDACTED
    return urlunsplit((parts.scheme, netloc, parts.path, _redact_query(parts.query), ""))


def redact_text(text: str) -> str:
    """Return a text without the secrets that URLs, headers and JSON in it may hold."""
    text = _URL.sub(lambda match: redact_url(match[0]), text)
    text = _QUERY.sub(lambda match: match["head"] + _redact_query(match["query"]), text)
    text = _HEADER.sub(lambda match: f"{match['name']}{REDACTED}", text)
    text = _NAMED_SECRET.sub(lambda match: f"{match['name']}{REDACTED}", text)
    text = _SCHEME.sub(lambda match: f"{match['scheme']}{REDACTED}", text)
    return _CREDENTIAL.sub(REDACTED, text)


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
