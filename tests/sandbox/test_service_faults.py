"""Every kind of fault as a plain HTTP client meets it."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest
from plain_http import Api

from planet_provider.sandbox import Fault

pytestmark = pytest.mark.planet_sandbox(rate_limits=False, scene_pixels=64)

ORDERS = "/compute/ops/orders/v2"


@pytest.fixture
def url(api: Api) -> str:
    return api.signed_url()


@pytest.fixture
def content(url: str) -> bytes:
    return httpx.get(url).content


def read(url: str, **headers: str) -> tuple[httpx.Response, bytes, Exception | None]:
    """Read a body as far as it comes."""
    received = b""
    with httpx.stream("GET", url, headers=headers) as answer:
        try:
            for chunk in answer.iter_raw():
                received += chunk
        except httpx.TransportError as error:
            return answer, received, error
    return answer, received, None


class TestStatus:
    def test_answers_without_handling(self, api: Api) -> None:
        body = api.request_body()
        api.sandbox.faults.add(
            Fault(kind="status", path=r"/orders/v2$", method="POST", status=503, headers={"Retry-After": "7"})
        )
        answer = api.post(body)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
        assert answer.json()["message"] == "Service Unavailable"
        assert api.sandbox.orders == {}
        assert api.post(body).status_code == 202

    def test_body_as_given(self, api: Api) -> None:
        api.sandbox.faults.add(Fault(kind="status", status=502, body="<html>bad gateway</html>"))
        answer = api.http.get(ORDERS)
        assert (answer.status_code, answer.text) == (502, "<html>bad gateway</html>")
        assert answer.headers["Content-Type"].startswith("text/plain")
        api.sandbox.faults.add(Fault(kind="status", status=500, body='{"message": "oops"}'))
        assert api.http.get(ORDERS).json() == {"message": "oops"}

    def test_at_storage_it_is_xml(self, api: Api, url: str) -> None:
        api.sandbox.faults.add(Fault(kind="status", origin="storage", status=500))
        answer = httpx.get(url)
        assert answer.status_code == 500
        assert "<Code>InternalError</Code>" in answer.text


class TestConnection:
    def test_drop(self, api: Api) -> None:
        body = api.request_body()
        api.sandbox.faults.add(Fault(kind="drop", method="POST", path="/orders/v2$"))
        with pytest.raises(httpx.RemoteProtocolError):
            api.post(body)
        assert api.sandbox.orders == {}
        dropped = api.sandbox.requests[-1]
        assert (dropped.status, dropped.faults) == (None, ("drop",))

    def test_drop_after(self, api: Api) -> None:
        body = api.request_body("placed all the same")
        api.sandbox.faults.add(Fault(kind="drop_after", method="POST", path="/orders/v2$"))
        with pytest.raises(httpx.RemoteProtocolError):
            api.post(body)
        assert [order["name"] for order in api.sandbox.orders.values()] == ["placed all the same"]

    def test_delay_handles_first(self, api: Api) -> None:
        body = api.request_body("placed before the answer")
        api.sandbox.faults.add(Fault(kind="delay", method="POST", seconds=600))
        with pytest.raises(httpx.ReadTimeout):
            # Longer than a busy machine keeps the sandbox from handling it.
            api.http.post(ORDERS, json=body, timeout=5)
        assert [order["name"] for order in api.sandbox.orders.values()] == ["placed before the answer"]

    def test_delay_answers_in_the_end(self, api: Api) -> None:
        api.sandbox.faults.add(Fault(kind="delay", seconds=0.3))
        started = time.monotonic()
        assert api.http.get(ORDERS).status_code == 200
        assert time.monotonic() - started >= 0.3


class TestBody:
    @pytest.mark.parametrize("after_bytes", [0, 1, 1000])
    def test_truncate(self, api: Api, url: str, content: bytes, after_bytes: int) -> None:
        api.sandbox.faults.add(Fault(kind="truncate", origin="storage", after_bytes=after_bytes))
        answer, received, error = read(url)
        assert answer.status_code == 200
        assert int(answer.headers["Content-Length"]) == len(content)
        assert received == content[:after_bytes]
        assert isinstance(error, httpx.RemoteProtocolError)
        assert httpx.get(url).content == content

    def test_truncate_is_half_by_default_and_resumes(self, api: Api, url: str, content: bytes) -> None:
        api.sandbox.faults.add(Fault(kind="truncate", origin="storage"))
        answer, received, _ = read(url)
        assert received == content[: len(content) // 2]
        rest = httpx.get(
            url, headers={"Range": f"bytes={len(received)}-", "If-Range": answer.headers["ETag"]}
        )
        assert rest.status_code == 206
        assert received + rest.content == content

    def test_truncate_without_length(self, api: Api, url: str, content: bytes) -> None:
        api.sandbox.faults.add(
            Fault(kind="truncate", origin="storage", after_bytes=1000),
            Fault(kind="no_length", origin="storage"),
        )
        answer, received, error = read(url)
        assert "Content-Length" not in answer.headers
        assert received == content[:1000]
        assert isinstance(error, httpx.RemoteProtocolError)

    def test_truncated_json(self, api: Api) -> None:
        api.sandbox.faults.add(Fault(kind="truncate", path="/orders/v2", after_bytes=5))
        with pytest.raises(httpx.RemoteProtocolError):
            api.http.get(ORDERS)

    def test_stall(self, api: Api, url: str, content: bytes) -> None:
        api.sandbox.faults.add(Fault(kind="stall", origin="storage", after_bytes=1000, seconds=0.4))
        started = time.monotonic()
        received, resumed = b"", None
        with httpx.stream("GET", url) as answer:
            for chunk in answer.iter_raw():
                received += chunk
                if resumed is None and len(received) > 1000:
                    resumed = time.monotonic()
        assert received == content
        assert resumed is not None
        assert resumed - started >= 0.4

    @pytest.mark.parametrize("after_bytes", [0, 1000])
    def test_stall_comes_after_the_headers_and_so_many_bytes(
        self, url: str, api: Api, content: bytes, after_bytes: int
    ) -> None:
        api.sandbox.faults.add(Fault(kind="stall", origin="storage", after_bytes=after_bytes, seconds=600))
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
            asked = f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n"
            connection.sendall(asked.encode())
            received = b""
            while (end := received.find(b"\r\n\r\n") + 4) < 4 or len(received) < end + after_bytes:
                received += connection.recv(65536)
            assert received.startswith(b"HTTP/1.1 200 ")
            assert received[end:] == content[:after_bytes]
            connection.settimeout(0.3)
            with pytest.raises(TimeoutError):
                connection.recv(1)

    @pytest.mark.parametrize(("after_bytes", "at"), [(7, 7), (None, None), (10**9, -1)])
    def test_corrupt(
        self, api: Api, url: str, content: bytes, after_bytes: int | None, at: int | None
    ) -> None:
        api.sandbox.faults.add(Fault(kind="corrupt", origin="storage", after_bytes=after_bytes))
        answer = httpx.get(url)
        assert answer.status_code == 200
        wrong = [index for index, value in enumerate(answer.content) if value != content[index]]
        expected = len(content) // 2 if at is None else at % len(content)
        assert wrong == [expected]
        assert len(answer.content) == len(content)

    def test_no_length(self, api: Api, url: str, content: bytes) -> None:
        api.sandbox.faults.add(Fault(kind="no_length", origin="storage"))
        answer = httpx.get(url)
        assert "Content-Length" not in answer.headers
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert answer.content == content


def test_clients_that_go_away_are_no_errors(
    api: Api, url: str, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for kind in ("delay", "stall", "truncate", "drop"):
        api.sandbox.faults.add(Fault(kind=kind, path=f"x={kind}", seconds=600, after_bytes=10))
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}&x={kind}", timeout=0.2)
    with httpx.stream("GET", url) as answer:
        next(answer.iter_raw(10))
    # Longer than the server takes to notice.
    time.sleep(0.3)
    assert httpx.get(url).content == content
    assert [record for record in caplog.records if record.name.startswith("aiohttp")] == []


class TestStorage:
    def test_no_range(self, api: Api, url: str, content: bytes) -> None:
        api.sandbox.faults.add(Fault(kind="no_range"))
        answer = httpx.get(url, headers={"Range": "bytes=10-"})
        assert answer.status_code == 200
        assert answer.content == content

    def test_etag(self, api: Api, url: str, content: bytes) -> None:
        etag = httpx.head(url).headers["ETag"]
        api.sandbox.faults.add(Fault(kind="etag", origin="storage", times=2))
        other = httpx.get(url)
        assert other.headers["ETag"] != etag
        assert len(other.content) == len(content)
        assert other.content != content
        resumed = httpx.get(url, headers={"Range": "bytes=10-", "If-Range": etag})
        assert resumed.status_code == 200
        assert resumed.content == other.content
        assert httpx.get(url).content == content

    def test_expire_at_storage(self, api: Api, url: str) -> None:
        api.sandbox.faults.add(Fault(kind="expire", origin="storage"))
        assert httpx.get(url).status_code == 400
        assert httpx.get(url).status_code == 200

    def test_expire_of_the_link(self, api: Api) -> None:
        link = api.results()[0]["location"]
        api.sandbox.faults.add(Fault(kind="expire", path="/download/"))
        answer = httpx.get(link)
        assert answer.status_code == 403
        assert "expired" in answer.json()["message"]
        assert httpx.get(link).status_code == 302


class TestMatching:
    def statuses(self, api: Api, count: int) -> list[int]:
        return [api.http.get(ORDERS).status_code for _ in range(count)]

    def test_skip_and_times(self, api: Api) -> None:
        api.sandbox.faults.add(Fault(kind="status", status=500, skip=1, times=2))
        assert self.statuses(api, 5) == [200, 500, 500, 200, 200]

    def test_always_until_cleared(self, api: Api) -> None:
        api.sandbox.faults.add(Fault(kind="status", status=500, times=None))
        assert self.statuses(api, 3) == [500] * 3
        api.sandbox.faults.clear()
        assert self.statuses(api, 1) == [200]

    def test_one_after_the_other(self, api: Api) -> None:
        api.sandbox.faults.add(Fault(kind="status", status=503), Fault(kind="status", status=429))
        assert self.statuses(api, 3) == [503, 429, 200]

    def test_kinds_combine(self, api: Api, url: str, content: bytes) -> None:
        api.sandbox.faults.add(
            Fault(kind="no_range", origin="storage"), Fault(kind="truncate", origin="storage", after_bytes=9)
        )
        answer, received, error = read(url, Range="bytes=100-")
        assert (answer.status_code, received) == (200, content[:9])
        assert error is not None

    @pytest.mark.parametrize(
        "elsewhere",
        [
            Fault(kind="status", origin="storage"),
            Fault(kind="status", method="POST"),
            Fault(kind="status", path="/orders/v2/.+"),
            Fault(kind="status", path=r"state=failed"),
        ],
    )
    def test_meant_for_others(self, api: Api, elsewhere: Fault) -> None:
        api.sandbox.faults.add(elsewhere)
        assert self.statuses(api, 1) == [200]

    def test_the_query_is_part_of_the_path(self, api: Api) -> None:
        api.sandbox.faults.add(Fault(kind="status", path=r"/orders/v2\?state=failed"))
        assert api.http.get(ORDERS, params={"state": "failed"}).status_code == 503

    def test_the_control_plane_is_spared(self, api: Api) -> None:
        api.sandbox.faults.add(Fault(kind="drop", times=None))
        assert httpx.get(f"{api.sandbox.url}/sandbox/v1/health").status_code == 200


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "explode"},
        {"kind": "drop", "origin": "moon"},
        {"kind": "drop", "times": 0},
        {"kind": "drop", "skip": -1},
        {"kind": "drop", "path": "("},
        {"kind": "status", "status": 99},
    ],
)
def test_faults_that_make_no_sense(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(name for name in reversed(settings))):
        Fault(**settings)  # type: ignore[arg-type]
