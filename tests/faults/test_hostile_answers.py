"""Whatever a server answers becomes an error of the tree, within bounds, and shows no secret."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import time
import traceback
import zlib
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from client_support import ANY, NO_ORDER, Connect, limiter_of
from planet_provider.client.api import data, orders
from planet_provider.client.call import Call
from planet_provider.client.config import DOCUMENTED_RATES, PlanetConfig
from planet_provider.client.http.session import PlanetSession
from planet_provider.exceptions import (
    APIError,
    AuthenticationError,
    BadRequestError,
    PlanetError,
    RateLimitError,
    ServerError,
    TransferError,
    TransportError,
    UnexpectedResponseError,
)
from raw_server import Asked, RawServer, answering, head, ok

KEY = "own-key/of+this~test-0123"
SEARCH = data.quick_search(["PSScene"], ANY)


def config_for(server: RawServer, **settings: Any) -> PlanetConfig:
    defaults: dict[str, Any] = {
        "api_key": KEY,
        "base_url": server.url,
        "rate_limits": dict.fromkeys(DOCUMENTED_RATES, 10_000.0),
        "max_attempts": 1,
    }
    return PlanetConfig(**{**defaults, **settings})


def refused(connect: Connect, answer: Any, call: Call[Any], **settings: Any) -> PlanetError:
    with answering(answer) as server, pytest.raises(PlanetError) as caught:
        connect(config_for(server, **settings)).pages(call)
    return caught.value


class TestWhatCannotBeRead:
    @pytest.mark.parametrize(
        "body",
        [
            b'{"a":' * 100_000,
            b"[" * 100_000,
            b"[]",
            b"7",
            b"null",
            b'{"n": ' + b"9" * 5000 + b"}",
            b"\xff\xfe\x00",
        ],
        ids=["objects", "lists", "list", "number", "null", "digits", "bytes"],
    )
    def test_bodies(self, connect: Connect, body: bytes) -> None:
        assert type(refused(connect, ok(body), orders.list_orders())) is UnexpectedResponseError

    @pytest.mark.parametrize("charset", ["hex", "rot13", "utf-7", "no-such-thing", "\xff"])
    def test_charsets(self, connect: Connect, charset: str) -> None:
        answer = ok(b"<p>sorry</p>", f"Content-Type: text/html; charset={charset}", status="500 Oh")
        error = refused(connect, answer, orders.stats())
        assert isinstance(error, ServerError)
        assert error.messages == ("<p>sorry</p>",)

    @pytest.mark.parametrize(
        "value",
        ["Fri, 01 Jan " + "9" * 20 + " 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 -2359", "²", "9" * 10_000],
        ids=["year", "zone", "superscript", "digits"],
    )
    def test_retry_after(self, connect: Connect, value: str) -> None:
        answer = ok(b"{}", f"Retry-After: {value}", status="429 Slow")
        error = refused(connect, answer, orders.stats())
        assert isinstance(error, RateLimitError)
        assert error.retry_after is None or 0 <= error.retry_after <= 86_400

    @pytest.mark.parametrize(
        "link",
        [
            "/a\u0000b",
            "/a\nb",
            "/" + "x" * 64_000,
            "/" + "x" * 70_000,
            "/\ud800",
            ":0/a",
            "@a/b",
            7,
            {},
            ["x"],
        ],
        ids=["nul", "newline", "64kB", "70kB", "surrogate", "port", "user", "number", "object", "list"],
    )
    def test_next_links(self, connect: Connect, link: Any) -> None:
        def answer(asked: Asked) -> Iterator[bytes]:
            url = f"http://{asked.headers['host']}{link}" if isinstance(link, str) else link
            yield ok(json.dumps({"orders": [], "_links": {"next": url}}).encode())

        error = refused(connect, answer, orders.list_orders())
        assert isinstance(error, UnexpectedResponseError)
        assert len(str(error)) < 2000

    @pytest.mark.parametrize(
        "target",
        ["mailto:a@b", "data:text/plain,x", "http://[::1", "//", "", "http://a:b/", "\xff", "x" * 70_000],
    )
    def test_redirects(self, connect: Connect, target: str) -> None:
        answer = ok(b"", f"Location: {target}", status="302 Found")
        assert isinstance(
            refused(connect, answer, orders.stats()), (APIError, TransportError, UnexpectedResponseError)
        )
        with answering(answer) as server, pytest.raises((TransferError, TransportError)):
            download(server, "/x")

    def test_an_odd_order_hides_no_other(self, connect: Connect) -> None:
        good = {"id": "a", "state": "success", "name": "n"}
        rows = [7, {"id": 7}, {"state": "success"}, good, {**good, "products": 7}]
        with answering(ok(json.dumps({"orders": rows}).encode())) as server:
            client = connect(config_for(server))
            assert client.send(orders.list_orders()) == [good, {**good, "products": 7}]
            assert client.send(orders.changes()) == rows[1:], "who watches an order must know that a row came"

    @pytest.mark.parametrize("body", [{"a": object()}, {"a": float("nan")}, {"a": "\ud800"}])
    def test_what_cannot_be_sent(self, connect: Connect, body: Any) -> None:
        with answering(ok(b"{}")) as server:
            with pytest.raises(PlanetError, match="can't be sent"):
                connect(config_for(server)).send(orders.create(body))
            assert server.requests == []


def download(server: RawServer, path: str) -> None:
    config = config_for(server)
    with (
        PlanetSession(config, limiter=limiter_of(config)) as session,
        session.open(f"{server.url}{path}", rate_class="orders.download") as response,
    ):
        response.read()


class TestBounds:
    @pytest.mark.parametrize("encoding", ["identity", "gzip", "br"])
    @pytest.mark.parametrize("chunked", [False, True])
    def test_bodies_without_end(self, connect: Connect, encoding: str, chunked: bool) -> None:
        """It ends because it is not read to its end: there is none."""
        packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
        framing = "Transfer-Encoding: chunked" if chunked else "X: y"

        def answer(_: Asked) -> Iterator[bytes]:
            yield head(f"Content-Encoding: {encoding}", framing)
            for _number in itertools.count():
                piece = b" " * 65_536
                piece = packer.compress(piece) if encoding == "gzip" else piece
                if piece:
                    yield b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece

        error = refused(connect, answer, orders.stats(), max_response_bytes=1_000_000)
        assert type(error) is UnexpectedResponseError
        assert ("Content-Encoding 'br'" if encoding == "br" else "max_response_bytes=1000000") in str(error)

    def test_a_small_body_that_inflates(self, connect: Connect) -> None:
        bomb = gzip.compress(b" " * 40_000_000)
        assert len(bomb) < 50_000
        error = refused(
            connect, ok(bomb, "Content-Encoding: gzip"), orders.stats(), max_response_bytes=60_000
        )
        assert "max_response_bytes=60000" in str(error)

    @pytest.mark.parametrize("inside", [b"", gzip.compress(b"x" * 9_000_000)], ids=["plain", "gzip"])
    def test_the_status_of_an_error_counts_whatever_its_body(self, connect: Connect, inside: bytes) -> None:
        header = "Content-Encoding: gzip" if inside else "X: y"
        answer = ok(inside or b"x" * 9_000_000, header, status="503 No")
        error = refused(connect, answer, orders.stats())
        assert isinstance(error, ServerError)
        assert len(str(error)) < 1000

    def test_compressed_answers_are_read(self, connect: Connect) -> None:
        with answering(
            ok(gzip.compress(b'{"user": {"queued_orders": 3}}'), "Content-Encoding: gzip")
        ) as server:
            assert connect(config_for(server)).send(orders.stats()) == {"user": {"queued_orders": 3}}
            assert server.requests[0].headers["accept-encoding"] == "gzip"

    @pytest.mark.parametrize("part", ["head", "body"])
    def test_what_drips_is_given_up(self, connect: Connect, part: str) -> None:
        def answer(_: Asked) -> Iterator[bytes]:
            yield head("Content-Length: 999999")[: None if part == "body" else -4]
            for _number in range(600):
                yield b"x" if part == "body" else b"\r\nX: y"
                time.sleep(0.05)

        error = refused(connect, answer, orders.stats(), timeout=0.4, max_retry_seconds=0.4)
        assert isinstance(error, (TransportError, UnexpectedResponseError))
        assert error.retryable

    @pytest.mark.parametrize("call", [orders.list_orders(), SEARCH], ids=["orders", "search"])
    def test_pages_without_end(self, connect: Connect, call: Call[Any]) -> None:
        numbers = itertools.count()

        def answer(asked: Asked) -> Iterable[bytes]:
            link = f"http://{asked.headers['host']}/next?page={next(numbers)}"
            yield ok(
                json.dumps({"orders": [], "features": [], "_links": {"next": link, "_next": link}}).encode()
            )

        with answering(answer) as server:
            client = connect(config_for(server, max_pages=12))
            with pytest.raises(UnexpectedResponseError, match=r"12 pages.*no end.*max_pages"):
                client.pages(call)
            assert len(server.requests) == 12


def shown(error: BaseException) -> str:
    """Return all that a task's log may show of an error."""
    told = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return f"{told} {error!r} {error.__dict__}" + (shown(error.__context__) if error.__context__ else "")


ENCODED = {
    "plain": lambda text: text,
    "percent": lambda text: quote(text, safe=""),
    "all percent": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "basic": lambda text: base64.b64encode(f"me:{text}!".encode()).decode(),
    "urlsafe": lambda text: base64.urlsafe_b64encode(f"m:{text}".encode()).decode().rstrip("="),
}


def parts_of(secret: str) -> list[str]:
    """What would tell a secret: itself and its encodings, without ends that depend on the neighbours."""
    return [encode(secret)[6:16] for encode in ENCODED.values()]


class TestSecrets:
    @pytest.mark.parametrize("place", ["json", "text", "reason", "success", "long"])
    def test_the_key_that_an_answer_repeats(self, connect: Connect, place: str) -> None:
        said = " and ".join(encode(KEY) for encode in ENCODED.values())
        answers = {
            "json": ok(json.dumps({"message": said}).encode(), status="400 No"),
            "text": ok(said.encode(), status="500 No"),
            "reason": ok(b"", status=f"418 {said}"),
            "success": ok(
                json.dumps({"orders": [], "_links": {"next": f"http://elsewhere/{said}"}}).encode()
            ),
            "long": ok(json.dumps({"message": "x" * 985 + said}).encode(), status="400 No"),
        }
        error = refused(connect, answers[place], orders.list_orders())
        assert not [part for part in parts_of(KEY) if part in shown(error)]

    def test_the_request_that_storage_repeats(self, connect: Connect) -> None:
        """Its first line as a status line: httpx's own error shows it whole."""

        def answer(asked: Asked) -> Iterator[bytes]:
            yield f"{asked.line}\r\nAuthorization: {asked.headers.get('authorization')}\r\n\r\n".encode()

        secret = "X-Amz-Signature=" + "s3cr3t" * 3
        with answering(answer) as server, pytest.raises(TransportError) as caught:
            download(server, f"/a.tif?{secret}")
        assert "s3cr3ts3cr3t" not in shown(caught.value)
        error = refused(connect, answer, orders.stats())
        assert isinstance(error, TransportError)
        assert KEY not in shown(error)
        assert error.__cause__ is error.__context__ is None, "nothing of httpx's is left in the chain"

    def test_an_order_s_own_secrets(self, connect: Connect) -> None:
        hook = "https://hooks.example/services/T00/B00/xyzzy123"
        request = {
            "name": "a",
            "delivery": {
                "amazon_s3": {"aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG", "bucket": "mine-alone"}
            },
            "notifications": {"webhook": {"url": hook}},
        }
        said = "bucket mine-alone: wJalrXUtnFEMI/K7MDENG, wJalrXUtnFEMI%2FK7MDENG; POST /services/T00/B00/xyzzy123"
        answer = ok(json.dumps({"message": f"{said} {hook}"}).encode(), status="400 No")
        error = refused(connect, answer, orders.create(request))
        assert isinstance(error, BadRequestError)
        assert error.messages == ("bucket mine-alone: ***, ***; POST *** ***",)

    def test_what_an_order_tells_of_its_webhook(self, connect: Connect) -> None:
        hook = "https://hooks.example/services/T11/B11/plugh4567"
        order = {"id": "a", "state": "failed", "notifications": {"webhook": {"url": hook}}}
        with answering(ok(json.dumps(order).encode())) as server:
            connect(config_for(server)).send(orders.get(NO_ORDER))
        error = refused(connect, ok(f"no answer from {hook}".encode(), status="500 No"), orders.stats())
        assert "plugh" not in shown(error)

    def test_a_refused_key(self, connect: Connect) -> None:
        answer = ok(f"no such key: {KEY}".encode(), status="401 No")
        error = refused(connect, answer, orders.stats())
        assert isinstance(error, AuthenticationError)
        assert error.messages == ("no such key: ***",)
