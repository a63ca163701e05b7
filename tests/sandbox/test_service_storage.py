"""The storage origin over plain HTTP: ranges, validators, signatures."""

from __future__ import annotations

import hashlib

import httpx
import pytest
from plain_http import Api

from planet_provider.sandbox import Fault, run
from planet_provider.sandbox.config import ExpiredStorageLink

pytestmark = pytest.mark.planet_sandbox(rate_limits=False, scene_pixels=64)


@pytest.fixture
def url(api: Api) -> str:
    return api.signed_url()


@pytest.fixture
def whole(url: str) -> httpx.Response:
    answer = httpx.get(url)
    assert answer.status_code == 200
    return answer


def test_whole_file(whole: httpx.Response) -> None:
    assert int(whole.headers["Content-Length"]) == len(whole.content) > 1000
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert whole.headers["ETag"].strip('"') == hashlib.md5(whole.content).hexdigest()
    assert whole.headers["Last-Modified"].endswith("GMT")
    assert whole.headers["Content-Type"] == "image/tiff"
    assert "filename=" in whole.headers["Content-Disposition"]


def test_head_has_the_headers_of_get(url: str, whole: httpx.Response) -> None:
    answer = httpx.head(url)
    assert answer.status_code == 200
    assert answer.content == b""
    assert answer.headers["Content-Length"] == whole.headers["Content-Length"]
    assert answer.headers["ETag"] == whole.headers["ETag"]


@pytest.mark.parametrize(
    ("asked", "span"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=10-19", slice(10, 20)),
        ("bytes=500-", slice(500, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=20-99999999", slice(20, None)),
    ],
)
def test_range(url: str, whole: httpx.Response, asked: str, span: slice) -> None:
    answer = httpx.get(url, headers={"Range": asked})
    start, stop, _ = span.indices(len(whole.content))
    assert answer.status_code == 206
    assert answer.content == whole.content[span]
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(whole.content)}"
    assert answer.headers["ETag"] == whole.headers["ETag"]


def test_unsatisfiable_range(url: str, whole: httpx.Response) -> None:
    answer = httpx.get(url, headers={"Range": f"bytes={len(whole.content)}-"})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(whole.content)}"
    assert "<Code>InvalidRange</Code>" in answer.text


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=9-3", "lines=1-2", "bytes=-"])
def test_ranges_it_does_not_know_are_ignored(url: str, whole: httpx.Response, asked: str) -> None:
    answer = httpx.get(url, headers={"Range": asked})
    assert answer.status_code == 200
    assert answer.content == whole.content


@pytest.mark.parametrize("validator", ["ETag", "Last-Modified"])
def test_if_range_that_holds(url: str, whole: httpx.Response, validator: str) -> None:
    answer = httpx.get(url, headers={"Range": "bytes=5-", "If-Range": whole.headers[validator]})
    assert answer.status_code == 206
    assert answer.content == whole.content[5:]


@pytest.mark.parametrize("validator", ['"another"', "Sat, 01 Jan 2000 00:00:00 GMT"])
def test_if_range_that_does_not_hold(url: str, whole: httpx.Response, validator: str) -> None:
    answer = httpx.get(url, headers={"Range": "bytes=5-", "If-Range": validator})
    assert answer.status_code == 200
    assert answer.content == whole.content


def test_preconditions(url: str, whole: httpx.Response) -> None:
    etag = whole.headers["ETag"]
    assert httpx.get(url, headers={"If-None-Match": etag}).status_code == 304
    assert httpx.get(url, headers={"If-None-Match": '"another"'}).status_code == 200
    assert httpx.get(url, headers={"If-Match": '"another"'}).status_code == 412
    assert httpx.get(url, headers={"If-Match": etag}).status_code == 200


def test_expired_signature(api: Api, url: str) -> None:
    api.sandbox.clock.advance(api.sandbox.config.link_seconds)
    answer = httpx.get(url)
    assert answer.status_code == 400, "as Google's, where Planet delivers"
    assert answer.headers["Content-Type"].startswith("application/xml")
    assert "<Code>ExpiredToken</Code>" in answer.text
    assert "expired" in answer.text


@pytest.mark.parametrize(
    ("store", "status", "code"),
    [
        ("s3", 403, "AccessDenied"),
        ("s3_temporary", 400, "ExpiredToken"),
        ("azure", 403, "AuthenticationFailed"),
    ],
)
def test_expired_signature_elsewhere(store: ExpiredStorageLink, status: int, code: str) -> None:
    with run(rate_limits=False, scene_pixels=64, expired_storage_link=store) as sandbox:
        sandbox.faults.add(Fault(kind="expire", origin="storage"))
        answer = httpx.get(f"{sandbox.storage_url}/planet-sandbox-delivery/a.tif")
    assert answer.status_code == status
    assert f"<Code>{code}</Code>" in answer.text


@pytest.mark.parametrize(
    "altered", [("Signature=", "Signature=0"), ("Expires=", "Expires=9"), (".tif", ".xml")]
)
def test_altered_url(url: str, altered: tuple[str, str]) -> None:
    answer = httpx.get(url.replace(*altered))
    assert answer.status_code == 403
    assert "signature" in answer.text


def test_file_that_is_gone(api: Api, url: str) -> None:
    api.sandbox.reset()
    answer = httpx.get(url)
    assert answer.status_code == 404
    assert "<Code>NoSuchKey</Code>" in answer.text


def test_method_that_is_not_allowed(url: str) -> None:
    answer = httpx.put(url, content=b"x")
    assert answer.status_code == 405
    assert "<Code>MethodNotAllowed</Code>" in answer.text


def test_authorization_that_arrives_is_recorded(api: Api, url: str) -> None:
    httpx.get(url)
    httpx.get(url, headers={"Authorization": "api-key SECRET-OF-A-USER"})
    without, with_key = (one for one in api.sandbox.requests if one.origin == "storage")
    assert not without.authorized
    assert with_key.authorized
    assert "SECRET-OF-A-USER" not in repr(with_key)


@pytest.mark.slow
def test_large_body_arrives_whole(api: Api) -> None:
    api.sandbox.reset(rate_limits=False, scene_pixels=1024)
    answer = httpx.get(api.signed_url())
    assert len(answer.content) > 1_000_000
    assert answer.headers["ETag"].strip('"') == hashlib.md5(answer.content).hexdigest()
