"""The secrets that this process knows, and how they are removed from a text that repeats them.

A credential, a token, a delivery's secret or a webhook's URL may have no look of its own. So what is known is
removed by its value: as it is, escaped, percent-encoded in any way, and as base64, alone or inside of more.
"""

from __future__ import annotations

import base64
import html
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, unquote_plus, urlsplit

REDACTED = "***"

#: Characters that a secret has at least: what is shorter occurs in other words, and is guessed anyway.
MIN_CHARACTERS = 6

#: Characters of a path that is taken for a secret of its own, because it has a webhook's token in it.
_MIN_PATH = 12

#: Secrets that are remembered, the latest: a triggerer fetches tokens for as long as it runs.
_MOST = 128

#: Ends of the names whose values are secrets wherever they stand, in JSON or as header.
SENSITIVE_NAMES = (
    "token|secret|password|signature|credentials?|api[_-]?key|access[_-]?key(?:[_-]?id)?"
    "|secret[_-]?key|account[_-]?key|private[_-]?key|authorization|cookie"
)
_SENSITIVE = re.compile(rf"(?:{SENSITIVE_NAMES})\Z", re.IGNORECASE)

_known: dict[str, None] = {}
_forms: tuple[str, ...] = ()
_lock = threading.RLock()


def remember(secrets: Iterable[str]) -> None:
    """Remove these from every text that is redacted from now on in this process.

    :param secrets: What is too short to be told from other words is left out.
    """
    given = [secret for secret in secrets if len(secret.strip()) >= MIN_CHARACTERS]
    if all(secret in _known for secret in given):
        return
    global _forms  # noqa: PLW0603 - replaced as a whole, so that reading takes no lock
    with _lock:
        for secret in given:
            _known.pop(secret, None)
            _known[secret] = None
        while len(_known) > _MOST:
            _known.pop(next(iter(_known)))
        # The longest first: one secret may be part of another.
        _forms = tuple(sorted({form for one in _known for form in _encoded(one)}, key=len, reverse=True))


def without_known(text: str) -> str:
    """Return a text without the secrets that are known. Takes time in proportion to the text's length."""
    for form in _forms:
        if form in text:
            text = text.replace(form, REDACTED)
    if "%" in text:
        decoded = unquote(text), unquote_plus(text)
        for form in _forms:
            if form in decoded[0] or form in decoded[1]:
                text = _percent_encoded(form).sub(REDACTED, text)
    return text


def secrets_of(body: Any) -> Iterator[str]:
    """Yield the secrets of an order: of its delivery, and the URL that its notifications go to.

    :param body: A request for an order, or what Planet answers; it may have any shape.
    """
    if not isinstance(body, Mapping):
        return
    yield from _named_secrets(body.get("delivery"))
    notifications = body.get("notifications")
    webhook = notifications.get("webhook") if isinstance(notifications, Mapping) else None
    url = webhook.get("url") if isinstance(webhook, Mapping) else None
    if isinstance(url, str):
        yield url
        try:
            parts = urlsplit(url)
        except ValueError:
            return
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        if len(path) >= _MIN_PATH:
            yield path


def _named_secrets(value: Any, depth: int = 4) -> Iterator[str]:
    if not isinstance(value, Mapping) or not depth:
        return
    for name, entry in value.items():
        if isinstance(entry, str) and _SENSITIVE.search(str(name)):
            yield entry
        else:
            yield from _named_secrets(entry, depth - 1)


def _encoded(secret: str) -> Iterator[str]:
    yield from (secret, html.escape(secret), repr(secret)[1:-1])
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    raw = secret.encode("utf-8", "surrogatepass")
    for whole in (base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()):
        yield from (whole, whole.rstrip("="))
    # Inside of a longer text, such as "user:password", base64 has one of three looks. Its ends depend on the
    # neighbours, and are left out.
    for before in range(3):
        shifted = base64.b64encode(bytes(before) + raw).decode()
        inner = shifted[-(-before * 4 // 3) : (before + len(raw)) * 8 // 6]
        if len(inner) >= MIN_CHARACTERS:
            yield inner
            yield inner.replace("+", "-").replace("/", "_")


@lru_cache(maxsize=256)
def _percent_encoded(secret: str) -> re.Pattern[str]:
    """Return a pattern for a secret any characters of which may be percent-encoded."""

    def either(character: str) -> str:
        encoded = "".join(f"%{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
        return rf"(?:{re.escape(character)}|(?i:{encoded}){'|[+]' if character == ' ' else ''})"

    return re.compile("".join(map(either, secret)))
