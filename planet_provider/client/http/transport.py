"""How a sync session reads its sockets: in large pieces, and so that a thread that waits can be stopped.

httpx reads 64 KiB at a time into fresh memory, which is what limits a download on a fast line. It has no
public setting for that, so :func:`use_large_reads` gives its connection pools another network backend; a
httpx that is built differently keeps its own, and is slower.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable
from typing import Any, cast

import httpcore
import httpx

from planet_provider.coordination import interrupt
from planet_provider.coordination.interrupt import LOOK_SECONDS

#: Bytes of one read: with more, the memory falls out of the processor's cache before it is used.
READ_BYTES = 256 << 10

#: Reads that ask for less than this are not for bodies.
_SMALL_READ = 32 << 10


class _Buffers(threading.local):
    """One buffer a thread: readers copy from it at once."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(READ_BYTES))


_buffers = _Buffers()


class Stream(httpcore.NetworkStream):
    """A connection that is read in large pieces.

    :param stream: As httpcore made it.
    """

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._socket = stream.get_extra_info("socket")
        self._secure = isinstance(self._socket, ssl.SSLSocket)
        self._timeout: float | None = -1.0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has come, at least a byte; nothing at the stream's end. It may be more than asked for.

        Large pieces are views of memory that the next read of this thread overwrites: httpcore hands them to
        h11, which copies them before that.
        """
        if max_bytes < _SMALL_READ:
            self._timeout = -1.0
            return self._stream.read(max_bytes, timeout)
        view = _buffers.view
        return cast("bytes", view[: self.read_into(view, timeout)])

    def read_into(self, buffer: memoryview, timeout: float | None = None) -> int:
        """Read what has come into a buffer.

        :param timeout: Seconds to wait for the first byte.
        :return: Bytes read; 0 at the stream's end.
        """
        waited = 0.0
        while True:
            left = interrupt.seconds_left()
            if left <= 0.0:
                raise httpcore.ReadTimeout("no whole answer came in time, although some of it did")
            step = min(LOOK_SECONDS, left) if timeout is None else min(LOOK_SECONDS, timeout - waited, left)
            self._wait_at_most(step)
            try:
                return self._receive(buffer)
            except TimeoutError as error:
                waited += step
                interrupt.check()
                if timeout is not None and waited >= timeout:
                    raise httpcore.ReadTimeout(f"no byte came for {timeout:g} s") from error
            except OSError as error:
                raise httpcore.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send bytes."""
        self._timeout = -1.0
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Return the connection with TLS on it."""
        stream = self._stream.start_tls(ssl_context, server_hostname, timeout)
        # Inside of another TLS connection, that to a proxy, the socket's own bytes are not the stream's.
        return stream if self._secure else Stream(stream)

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore's stream tells."""
        return self._stream.get_extra_info(info)

    def _wait_at_most(self, seconds: float) -> None:
        if seconds != self._timeout:
            self._socket.settimeout(seconds)
            self._timeout = seconds

    def _receive(self, buffer: memoryview) -> int:
        count = int(self._socket.recv_into(buffer))
        if self._secure and 0 < count < len(buffer):
            count += self._more(buffer[count:])
        return count

    def _more(self, buffer: memoryview) -> int:
        """Take what else is there: a TLS socket gives no more than one record of 16 KiB at a time."""
        self._wait_at_most(0.0)
        count = 0
        while count < len(buffer):
            try:
                read = int(self._socket.recv_into(buffer[count:]))
            except OSError:  # nothing there yet, or an error that the next read meets again
                break
            if not read:
                break
            count += read
        return count


class Backend(httpcore.NetworkBackend):
    """Makes connections that are read in large pieces."""

    def __init__(self) -> None:
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect."""
        return Stream(self._backend.connect_tcp(host, port, timeout, local_address, socket_options))


def use_large_reads(client: httpx.Client) -> None:
    """Have a client's connections read in large pieces, those through proxies too."""
    for transport in (client._transport, *client._mounts.values()):
        pool: Any = getattr(transport, "_pool", None)
        if hasattr(pool, "_network_backend"):
            pool._network_backend = Backend()


def stream_of(response: httpx.Response) -> Stream | None:
    """Return the connection below an answer whose body is being read, if its bytes can be had directly.

    That they are the body's own, and how many, is the caller's to know. Read past httpx, the connection can't
    be used again: it is closed with the answer.
    """
    stream = response.extensions.get("network_stream")
    plain = response.http_version == "HTTP/1.1" and "Transfer-Encoding" not in response.headers
    return stream if plain and isinstance(stream, Stream) else None


def read_body(stream: Stream, buffer: memoryview, response: httpx.Response) -> int:
    """Read some of a body.

    :param stream: From :func:`stream_of`.
    :raises httpx.TransportError: It was cut, or stalled.
    """
    timeouts = response.request.extensions.get("timeout", {})
    try:
        count = stream.read_into(buffer, timeouts.get("read"))
    except httpcore.ReadTimeout as error:
        raise httpx.ReadTimeout(str(error), request=response.request) from error
    except httpcore.ReadError as error:
        raise httpx.ReadError(str(error), request=response.request) from error
    if not count:
        raise httpx.RemoteProtocolError("the connection was closed in the body", request=response.request)
    return count
