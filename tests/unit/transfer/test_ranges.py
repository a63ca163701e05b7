"""Headers of storages that lie, or are odd."""

from __future__ import annotations

import httpx
import pytest

from planet_provider.transfer.download.headers import ContentRange, content_range, strong_etag


@pytest.mark.parametrize(
    ("header", "parsed"),
    [
        ("bytes 5-9/10", ContentRange(5, 10)),
        ("bytes */10", ContentRange(None, 10)),
        ("bytes 5-9/*", ContentRange(5, None)),
        ("bytes 5-9/" + "9" * 5000, None),
        ("bytes " + "1" * 5000 + "-9/10", None),
        ("bytes \u0665-9/10", None),
    ],
)
def test_content_range(header: str, parsed: ContentRange | None) -> None:
    assert content_range(httpx.Headers([(b"Content-Range", header.encode())])) == parsed


@pytest.mark.parametrize(
    ("header", "etag"),
    [
        (b'"abc"', '"abc"'),
        (b'W/"abc"', None),
        (b'""', None),
        (b"abc", None),
        (b'"\xc3\xa9"', None),
        (b'"\xff"', None),
        (b'"a\x01b"', None),
        (b'"' + b"a" * 5000 + b'"', None),
    ],
)
def test_only_an_etag_that_can_be_sent_back_is_a_validator(header: bytes, etag: str | None) -> None:
    assert strong_etag(httpx.Headers([(b"ETag", header)])) == etag
