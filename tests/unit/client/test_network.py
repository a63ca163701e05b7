"""Reading sockets in large pieces, and stopping a thread that waits for them."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest

from planet_provider.client.config import PlanetConfig
from planet_provider.client.http import transport
from planet_provider.client.http.session import PlanetSession
from planet_provider.coordination.interrupt import interrupted_by, pause

BODY = bytes(range(256)) * (12 << 10)

#: What httpx reads at most at a time by itself.
HTTPX_BYTES = 64 << 10


@contextmanager
def serving(answer: Callable[[socket.socket], None], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Answer one connection after another."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection if context is None else context.wrap_socket(connection, server_side=True) as peer:
                peer.recv(65536)
                answer(peer)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def whole_body(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)


@contextmanager
def client(**options: Any) -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=60.0, **options) as made:
        transport.use_large_reads(made)
        yield made


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def largest_piece(response: httpx.Response) -> int:
    """Read a body once all of it that the system holds has come; return its largest piece."""
    stream = response.extensions["network_stream"].get_extra_info("socket")
    while len(stream.recv(HTTPX_BYTES + 1, socket.MSG_PEEK)) <= HTTPX_BYTES:
        time.sleep(0.001)
    return max(map(len, response.iter_raw()))


def test_a_session_reads_in_large_pieces() -> None:
    with (
        serving(whole_body) as port,
        PlanetSession(
            PlanetConfig(
                api_key="PLAK-0123456789abcdef",  # pragma: allowlist secret
                base_url=f"http://127.0.0.1:{port}",
            )
        ) as session,
        session.open("/file", rate_class=None) as response,
    ):
        assert largest_piece(response) > HTTPX_BYTES


def test_proxies_read_in_large_pieces_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with serving(whole_body) as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        with httpx.Client(timeout=60.0) as made:
            transport.use_large_reads(made)
            with made.stream("GET", "http://planet.invalid/file") as response:
                assert largest_piece(response) > HTTPX_BYTES


def test_bodies_arrive_byte_for_byte_over_one_connection() -> None:
    def answer(peer: socket.socket) -> None:
        whole_body(peer)
        peer.recv(65536)
        whole_body(peer)

    with serving(answer) as port, client() as http:
        for _ in range(2):
            assert http.get(f"http://127.0.0.1:{port}/").content == BODY


def test_a_body_under_tls_comes_in_pieces_larger_than_a_record(certificate: tuple[Path, Path]) -> None:
    sent = threading.Event()

    def answer(peer: socket.socket) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY)
        peer.sendall(head + BODY[: 256 << 10])
        sent.set()
        peer.sendall(BODY[256 << 10 :])

    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*certificate)
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    with (
        serving(answer, server) as port,
        client(verify=trusting) as http,
        http.stream("GET", f"https://127.0.0.1:{port}/") as response,
    ):
        # Several records have arrived by then; or as many as the system holds while nobody reads.
        sent.wait(3)
        pieces = list(response.iter_raw())
    assert b"".join(pieces) == BODY
    assert max(map(len, pieces)) > 32 << 10


def test_the_rest_of_a_body_can_be_read_past_httpx() -> None:
    with serving(whole_body) as port, client() as http:
        with http.stream("GET", f"http://127.0.0.1:{port}/") as response:
            chunks = response.iter_raw()
            content = bytearray(next(chunks))
            stream = transport.stream_of(response)
            assert stream is not None
            buffer = memoryview(bytearray(100_000))
            while len(content) < len(BODY):
                content += buffer[: transport.read_body(stream, buffer, response)]
            with pytest.raises(httpx.RemoteProtocolError):
                transport.read_body(stream, buffer, response)
        assert content == BODY


def test_a_chunked_body_is_not_read_past_httpx() -> None:
    def answer(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")

    with (
        serving(answer) as port,
        client() as http,
        http.stream("GET", f"http://127.0.0.1:{port}/") as response,
    ):
        assert transport.stream_of(response) is None
        assert response.read() == b"abc"


class StoppedError(Exception):
    pass


class Stopper:
    def __init__(self) -> None:
        self.stopped = threading.Event()

    def check(self) -> None:
        if self.stopped.is_set():
            raise StoppedError

    def pause(self, seconds: float) -> None:
        self.stopped.wait(seconds)
        self.check()


def test_a_thread_that_waits_for_bytes_is_stopped() -> None:
    release = threading.Event()

    def answer(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        release.wait(600)

    stopper = Stopper()
    with serving(answer) as port, client() as http:
        threading.Timer(0.3, stopper.stopped.set).start()
        started = time.monotonic()
        try:
            with pytest.raises(StoppedError), interrupted_by(stopper):
                http.get(f"http://127.0.0.1:{port}/", timeout=600.0)
        finally:
            release.set()
        assert time.monotonic() - started < 60


def test_a_pause_ends_when_the_thread_is_stopped() -> None:
    stopper = Stopper()
    threading.Timer(0.1, stopper.stopped.set).start()
    with pytest.raises(StoppedError), interrupted_by(stopper):
        pause(600)
    started = time.monotonic()
    pause(0.01)
    assert time.monotonic() - started >= 0.01


def test_a_silent_connection_times_out_after_the_whole_of_its_time() -> None:
    ours, theirs = socket.socketpair()

    class Plain(httpcore.NetworkStream):
        def get_extra_info(self, info: str) -> Any:
            return ours if info == "socket" else None

    with ours, theirs:
        stream = transport.Stream(Plain())
        started = time.monotonic()
        with pytest.raises(httpcore.ReadTimeout):
            stream.read_into(memoryview(bytearray(10)), 0.6)
        assert 0.55 < time.monotonic() - started < 60
