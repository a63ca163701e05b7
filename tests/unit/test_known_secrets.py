from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planet_provider.known_secrets import (
    MIN_CHARACTERS,
    REDACTED,
    remember,
    secrets_of,
)
from planet_provider.redact import MAX_CHARACTERS, redact_text, redact_url

SECRET = 'wJalr/K7+MDENG "bPx" ÿ€-key'


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:"])
@pytest.mark.parametrize("after", ["", "z", "yz"])
def test_base64_wherever_it_begins(before: str, after: str) -> None:
    remember([SECRET])
    raw = f"{before}{SECRET}{after}".encode()
    for encoded in (base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode().rstrip("=")):
        for text in (encoded, quote(encoded, safe="")):
            shown = redact_text(f"got {text}, sorry")
            assert REDACTED in shown
            assert len(shown) <= len("got , sorry") + len(REDACTED) + 20, (
                "only what the neighbours share is left"
            )


@pytest.mark.parametrize(
    "encode",
    [
        str,
        html.escape,
        lambda text: json.dumps(text)[1:-1],
        lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
        lambda text: repr(text)[1:-1],
        quote,
        quote_plus,
        lambda text: (
            quote(text, safe="").lower().replace("w%", "W%") if text.islower() else quote(text, safe="")
        ),
        lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
        lambda text: text.replace("/", "%2f"),
    ],
)
def test_encodings(encode: object) -> None:
    remember([SECRET])
    assert redact_text(f"x {encode(SECRET)} y") == f"x {REDACTED} y"  # type: ignore[operator]
    assert redact_url(f"https://h.example/{quote(SECRET, safe='')}/b") == f"https://h.example/{REDACTED}/b"


@settings(max_examples=30)
@given(st.text(min_size=MIN_CHARACTERS).filter(lambda text: len(text.strip()) >= MIN_CHARACTERS), st.text())
def test_any_secret(secret: str, around: str) -> None:
    remember([secret])
    assert secret not in redact_text(f"{around}<{secret}>").replace(REDACTED, "\0")


def test_a_secret_at_the_end_of_what_is_shown_is_not_cut() -> None:
    remember([SECRET])
    for room in (5, 10, len(SECRET)):
        shown = redact_text("x" * (300 - room) + SECRET + "y" * 100, 300)
        assert SECRET[:5] not in shown
    for length in (MAX_CHARACTERS, 4 * MAX_CHARACTERS):
        assert SECRET[:5] not in redact_text("x" * (length - 7) + SECRET * 3)
        assert SECRET[:5] not in redact_text(SECRET * 10_000)


def test_what_is_short_is_no_secret() -> None:
    remember(["abc", "  d  "])
    assert redact_text("abcd") == "abcd"


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "x",
        {"delivery": [1], "notifications": 7},
        {"notifications": {"webhook": {"url": "http://[x"}}},
    ],
)
def test_orders_of_any_shape(body: object) -> None:
    assert len(list(secrets_of(body))) <= 1
