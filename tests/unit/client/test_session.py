from __future__ import annotations

import datetime
import ipaddress
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from client_support import HASTY, NO_ORDER, config_of, limiter_of, order_request, session_of
from planet_provider import __version__
from planet_provider.client.api import data, orders
from planet_provider.client.http.redirects import MAX_REDIRECTS
from planet_provider.client.http.session import PlanetSession
from planet_provider.exceptions import (
    APIError,
    LinkExpiredError,
    NotFoundError,
    OverQuotaError,
    RateLimitError,
    ServerError,
    TransferError,
    TransportError,
    UnexpectedResponseError,
)
from planet_provider.sandbox import Fault, Sandbox, run

pytestmark = pytest.mark.planet_sandbox(
    rate_limits=False, scene_pixels=64, queued_seconds=0, running_seconds=0
)

DOWNLOAD = "orders.download"


@pytest.fixture
def session(planet_sandbox: Sandbox) -> Iterator[PlanetSession]:
    with session_of(planet_sandbox) as session:
        yield session


class Delivered(NamedTuple):
    link: str
    content: bytes


@pytest.fixture
def file(planet_sandbox: Sandbox, session: PlanetSession) -> Delivered:
    """An order's image: its link, and what is behind it."""
    order = session.send(orders.create(order_request(session)))
    results = session.send(orders.get(order["id"]))["_links"]["results"]
    link = next(result["location"] for result in results if result["name"].endswith("udm2.tif"))
    content = httpx.get(link, follow_redirects=True).content
    assert content
    forget(planet_sandbox)
    return Delivered(link, content)


def forget(sandbox: Sandbox) -> None:
    """Let only what comes now count."""
    sandbox._state.recorder.clear()


def read(session: PlanetSession, link: str, **headers: str) -> bytes:
    with session.open(link, rate_class=DOWNLOAD, headers=headers) as response:
        return b"".join(response.iter_raw())


class TestSend:
    def test_who_asks_and_how(self, planet_sandbox: Sandbox, session: PlanetSession) -> None:
        session.send(orders.list_orders(state=["queued", "running"], name="a & b"))
        request = planet_sandbox.requests[0]
        assert request.headers["authorization"] == f"api-key {planet_sandbox.api_key}"
        assert request.headers["user-agent"] == f"airflow-provider-planet/{__version__}"
        assert request.query["name"] == "a & b"

    def test_a_base_url_with_a_path(self, planet_sandbox: Sandbox) -> None:
        with (
            session_of(planet_sandbox, base_url=f"{planet_sandbox.url}/planet/") as session,
            pytest.raises(NotFoundError),
        ):
            session.send(orders.stats())
        assert planet_sandbox.requests[0].path == "/planet/compute/ops/stats/orders/v2"

    def test_links_stay_at_home(self, planet_sandbox: Sandbox, session: PlanetSession) -> None:
        with run(items=400) as elsewhere:
            for link in (f"{elsewhere.url}/activate?t=s3cr3t", "//127.0.0.1/activate", "http://[::1"):
                with pytest.raises(UnexpectedResponseError) as caught:
                    session.send(data.activate(link))
                assert "s3cr3t" not in str(caught.value)
            assert elsewhere.requests == []
        assert planet_sandbox.requests == []

    def test_threads_share_a_session(self, planet_sandbox: Sandbox) -> None:
        with session_of(planet_sandbox, max_connections=8) as session, ThreadPoolExecutor(8) as pool:
            done = list(pool.map(session.send, [orders.stats()] * 24))
        assert done == [done[0]] * 24
        assert {request.status for request in planet_sandbox.requests} == {200}

    def test_all_connections_busy_is_not_sent(self, planet_sandbox: Sandbox, file: Delivered) -> None:
        with (
            session_of(planet_sandbox, max_connections=1, timeout=5.0, max_attempts=1) as session,
            session.open(file.link, rate_class=DOWNLOAD),
            pytest.raises(TransportError, match="PoolTimeout") as caught,
        ):
            session.send(orders.stats())
        assert not caught.value.sent

    @pytest.mark.guide("session-close")
    @pytest.mark.guide("session-context")
    def test_a_closed_session(self, planet_sandbox: Sandbox) -> None:
        with session_of(planet_sandbox) as session:
            session.send(orders.stats())
        with pytest.raises(RuntimeError, match="closed"):
            session.send(orders.stats())
        other = PlanetSession(config_of(planet_sandbox))
        other.close()
        with pytest.raises(RuntimeError, match="closed"):
            other.send(orders.stats())


class TestOpen:
    def test_streams_from_storage_without_the_key(
        self, planet_sandbox: Sandbox, session: PlanetSession, file: Delivered
    ) -> None:
        assert read(session, file.link) == file.content
        api, storage = planet_sandbox.requests
        assert (api.origin, storage.origin) == ("api", "storage")
        assert (api.authorized, storage.authorized) == (True, False)
        assert planet_sandbox.api_key not in str(storage.headers)
        assert storage.headers["accept-encoding"] == "identity"

    def test_headers_go_all_the_way(
        self, planet_sandbox: Sandbox, session: PlanetSession, file: Delivered
    ) -> None:
        headers = {"Range": "bytes=5-14"}
        with session.open(file.link, rate_class=DOWNLOAD, headers=headers) as response:
            assert (response.status_code, response.read()) == (206, file.content[5:15])
            etag = response.headers["ETag"]
        assert read(session, file.link, **{"Range": "bytes=5-", "If-Range": etag}) == file.content[5:]
        assert all(request.headers["range"].startswith("bytes=5-") for request in planet_sandbox.requests)

    def test_a_range_beyond_the_end_is_an_answer(self, session: PlanetSession, file: Delivered) -> None:
        headers = {"Range": f"bytes={len(file.content)}-"}
        with session.open(file.link, rate_class=DOWNLOAD, headers=headers) as response:
            assert response.status_code == 416

    @pytest.mark.parametrize("origin", ["api", "storage"])
    @pytest.mark.parametrize(
        "fault",
        [{"kind": "drop"}, {"kind": "status", "status": 503}, {"kind": "status", "status": 500}],
        ids=str,
    )
    def test_is_retried_until_an_answer_begins(
        self,
        planet_sandbox: Sandbox,
        session: PlanetSession,
        file: Delivered,
        origin: Any,
        fault: dict[str, Any],
    ) -> None:
        planet_sandbox.faults.add(Fault(origin=origin, times=2, **fault))
        assert read(session, file.link) == file.content
        assert sum(bool(request.faults) for request in planet_sandbox.requests) == 2

    def test_429_of_a_link_is_waited_for(
        self, planet_sandbox: Sandbox, session: PlanetSession, file: Delivered
    ) -> None:
        planet_sandbox.faults.add(
            Fault(kind="status", origin="api", status=429, headers={"Retry-After": "1"})
        )
        assert read(session, file.link) == file.content
        first, second, _ = planet_sandbox.requests
        assert second.at - first.at >= 0.99

    def test_no_longer_than_the_budget(
        self, planet_sandbox: Sandbox, session: PlanetSession, file: Delivered
    ) -> None:
        planet_sandbox.faults.add(
            Fault(kind="status", origin="storage", status=503, times=None, headers={"Retry-After": "0"})
        )
        with pytest.raises(ServerError, match="InternalError"):
            read(session, file.link)
        assert sum(request.origin == "storage" for request in planet_sandbox.requests) == 6

    def test_what_breaks_in_the_body_is_the_caller_s(
        self, planet_sandbox: Sandbox, session: PlanetSession, file: Delivered
    ) -> None:
        planet_sandbox.faults.add(Fault(kind="truncate", origin="storage", after_bytes=10))
        with pytest.raises(httpx.RemoteProtocolError):
            read(session, file.link)
        assert read(session, file.link) == file.content

    def test_a_stalled_body_times_out(self, planet_sandbox: Sandbox, file: Delivered) -> None:
        planet_sandbox.faults.add(
            Fault(kind="stall", origin="storage", seconds=600.0, after_bytes=10, times=None)
        )
        with session_of(planet_sandbox, **HASTY) as session, pytest.raises(httpx.ReadTimeout):
            read(session, file.link)

    def test_a_refusal_whose_body_is_cut(
        self, planet_sandbox: Sandbox, session: PlanetSession, file: Delivered
    ) -> None:
        wrong = file.link[:-4] + "AAAA"
        planet_sandbox.faults.add(Fault(kind="truncate", origin="api", after_bytes=5))
        with pytest.raises(LinkExpiredError):
            read(session, wrong)
        assert len(planet_sandbox.requests) == 2

    def test_rate_limit_that_outlasts(self, planet_sandbox: Sandbox, file: Delivered) -> None:
        planet_sandbox.faults.add(Fault(kind="status", status=429, times=None))
        with session_of(planet_sandbox, max_attempts=1) as session, pytest.raises(RateLimitError):
            read(session, file.link)


class TestLinks:
    @pytest.mark.parametrize("status", [401, 403, 404, 410])
    @pytest.mark.parametrize(("origin", "where"), [("api", "Planet"), ("storage", "storage")])
    def test_that_are_not_valid_any_more(
        self,
        planet_sandbox: Sandbox,
        session: PlanetSession,
        file: Delivered,
        status: int,
        origin: Any,
        where: str,
    ) -> None:
        planet_sandbox.faults.add(Fault(kind="status", origin=origin, status=status, times=None))
        with pytest.raises(LinkExpiredError) as caught:
            read(session, file.link)
        assert f"{where} answered {status}" in str(caught.value)
        assert "Get the order or the asset again" in str(caught.value)
        assert caught.value.retryable
        assert len(planet_sandbox.requests) == (1 if origin == "api" else 2)

    def test_that_did_expire(self, planet_sandbox: Sandbox, session: PlanetSession, file: Delivered) -> None:
        planet_sandbox.clock.advance(86_401)
        with pytest.raises(LinkExpiredError):
            read(session, file.link)

    def test_over_quota_is_something_else(
        self, planet_sandbox: Sandbox, session: PlanetSession, file: Delivered
    ) -> None:
        body = '{"message": "Download quota has been exceeded."}'
        planet_sandbox.faults.add(Fault(kind="status", origin="api", status=403, body=body))
        with pytest.raises(OverQuotaError):
            read(session, file.link)

    @pytest.mark.parametrize(("status", "kind"), [(204, APIError), (304, APIError)])
    def test_other_answers_are_errors(
        self,
        planet_sandbox: Sandbox,
        session: PlanetSession,
        file: Delivered,
        status: int,
        kind: type[APIError],
    ) -> None:
        planet_sandbox.faults.add(Fault(kind="status", origin="storage", status=status, body=""))
        with pytest.raises(kind, match=f"-> {status}"):
            read(session, file.link)

    @pytest.mark.parametrize("link", ["ftp://127.0.0.1/x", "http://[::1", "http://host:port/x", "mailto:a@b"])
    def test_that_are_none(self, planet_sandbox: Sandbox, session: PlanetSession, link: str) -> None:
        with pytest.raises(TransferError, match="it is not followed"):
            read(session, link)
        assert planet_sandbox.requests == []


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_relative_ones(
        self, planet_sandbox: Sandbox, session: PlanetSession, file: Delivered, status: int
    ) -> None:
        target = file.link.removeprefix(planet_sandbox.url)
        planet_sandbox.faults.add(Fault(kind="status", status=status, headers={"Location": target}))
        assert read(session, f"{planet_sandbox.url}/somewhere") == file.content
        assert [request.authorized for request in planet_sandbox.requests] == [True, True, False]

    def test_a_foreign_hop_drops_the_key_for_good(
        self, planet_sandbox: Sandbox, session: PlanetSession, file: Delivered
    ) -> None:
        planet_sandbox.faults.add(
            Fault(kind="status", origin="storage", status=302, headers={"Location": file.link})
        )
        assert read(session, f"{planet_sandbox.storage_url}/somewhere") == file.content
        assert [request.authorized for request in planet_sandbox.requests] == [False, False, False]

    def test_too_many(self, planet_sandbox: Sandbox, session: PlanetSession) -> None:
        link = f"{planet_sandbox.url}/round?token=s3cr3t"
        planet_sandbox.faults.add(Fault(kind="status", status=302, headers={"Location": link}, times=None))
        with pytest.raises(TransferError, match=f"more than {MAX_REDIRECTS} redirects") as caught:
            read(session, link)
        assert "s3cr3t" not in str(caught.value)
        assert len(planet_sandbox.requests) == MAX_REDIRECTS + 1

    @pytest.mark.parametrize("target", ["ftp://127.0.0.1/x?token=s3cr3t", "file:///etc/passwd"])
    def test_to_nowhere(self, planet_sandbox: Sandbox, session: PlanetSession, target: str) -> None:
        planet_sandbox.faults.add(Fault(kind="status", status=302, headers={"Location": target}))
        with pytest.raises(TransferError, match="it is not followed") as caught:
            read(session, f"{planet_sandbox.url}/x")
        assert "s3cr3t" not in str(caught.value)
        assert len(planet_sandbox.requests) == 1

    def test_to_what_is_no_url(self, planet_sandbox: Sandbox, session: PlanetSession) -> None:
        planet_sandbox.faults.add(
            Fault(kind="status", status=302, headers={"Location": "http://[::1"}, times=None)
        )
        with pytest.raises(TransportError, match="location header"):
            read(session, f"{planet_sandbox.url}/x")

    def test_without_a_target(self, planet_sandbox: Sandbox, session: PlanetSession) -> None:
        planet_sandbox.faults.add(Fault(kind="status", status=302))
        with pytest.raises(APIError, match="-> 302"):
            read(session, f"{planet_sandbox.url}/x")


@pytest.fixture
def secure_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Start an origin with TLS that redirects every request to a place of the test's choice."""
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(self_signed())
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    servers = []

    def start(location: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(302)
                self.send_header("Location", location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Be quiet."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return f"https://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def self_signed() -> bytes:
    """A certificate for 127.0.0.1 and its key, as PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


class TestDowngrades:
    def test_from_https_to_http_is_refused(
        self, planet_sandbox: Sandbox, session: PlanetSession, secure_origin: Callable[[str], str]
    ) -> None:
        plain = f"{planet_sandbox.storage_url}/x?Signature=s3cr3t"
        secure = secure_origin(plain)
        with session_of(planet_sandbox) as fresh, pytest.raises(TransferError) as caught:
            read(fresh, f"{secure}/file?token=s3cr3t")
        message = str(caught.value)
        assert f"from {secure}/file?token=*** to {planet_sandbox.storage_url}/x?Signature=***" in message
        assert planet_sandbox.requests == []

    def test_https_to_https_is_fine(
        self, planet_sandbox: Sandbox, secure_origin: Callable[[str], str]
    ) -> None:
        last = secure_origin("http://127.0.0.1:9/never")
        first = secure_origin(f"{last}/second")
        with session_of(planet_sandbox) as session, pytest.raises(TransferError) as caught:
            read(session, f"{first}/first")
        assert f"from {last}/second to http://127.0.0.1:9/never" in str(caught.value)

    def test_an_api_with_tls_gives_no_plain_links(self, planet_sandbox: Sandbox) -> None:
        with (
            session_of(planet_sandbox, base_url="https://127.0.0.1:9") as session,
            pytest.raises(TransferError, match="it is not followed"),
        ):
            read(session, f"{planet_sandbox.url}/x")
        assert planet_sandbox.requests == []


def test_the_log_tells_of_retries(
    planet_sandbox: Sandbox, session: PlanetSession, caplog: pytest.LogCaptureFixture
) -> None:
    planet_sandbox.faults.add(Fault(kind="drop"))
    with caplog.at_level(logging.WARNING, logger="planet_provider"):
        session.send(orders.stats())
    [record] = [one for one in caplog.records if one.name == "planet_provider.client.http.retry"]
    assert record.getMessage().startswith("GET /compute/ops/stats/orders/v2: attempt 1 of 6 failed, next in ")


def test_another_limiter_than_the_configured_one(planet_sandbox: Sandbox) -> None:
    config = config_of(planet_sandbox, rate_limits={"orders.get": 2.0})
    with PlanetSession(config, limiter=limiter_of(config)) as session:
        started = time.monotonic()
        for _ in range(2):
            with pytest.raises(NotFoundError):
                session.send(orders.get(NO_ORDER))
    assert time.monotonic() - started >= 0.49
