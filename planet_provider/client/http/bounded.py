"""Reading an answer's body within bounds: of bytes, counted after decoding, and of seconds."""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass

import httpx

from planet_provider.exceptions import UnexpectedResponseError

#: What an answer may be encoded as: a decoder whose output has a bound.
ACCEPT_ENCODING = "gzip"

#: Bytes of an error's body that are read: what is said stands at its beginning.
MAX_ERROR_BYTES = 1 << 20

_BODY = "planet_body"
_GZIP = frozenset({"gzip", "x-gzip", "deflate"})


@dataclass(frozen=True)
class Bounds:
    """How much of an answer is read, and for how long.

    :param most: Bytes of the body, after decoding.
    :param seconds: Seconds from sending the request to the end of the answer.
    """

    most: int
    seconds: float


class _Body:
    """Takes the pieces of a body.

    An error's body may be cut or have an encoding that isn't understood: its status says enough.
    """

    def __init__(self, response: httpx.Response, bounds: Bounds) -> None:
        self._bounds = bounds
        self._label = f"{response.request.method} {response.request.url.path[:300]}"
        self._is_error = not response.is_success
        self._most = min(bounds.most, MAX_ERROR_BYTES) if self._is_error else bounds.most
        self._end = time.monotonic() + bounds.seconds
        self._parts: list[bytes] = []
        self._taken = self._size = 0
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower() or "identity"
        self._decoder = zlib.decompressobj(zlib.MAX_WBITS | 32) if encoding in _GZIP else None
        self.ended = False
        if encoding != "identity" and self._decoder is None:
            self._refuse(f"its Content-Encoding {encoding[:40]!r} was not asked for")

    def take(self, raw: bytes) -> bool:
        """Take a piece.

        :return: Whether more is wanted.
        """
        self._taken += len(raw)
        piece = self._decoded(raw)
        self._size += len(piece)
        self._parts.append(piece)
        if max(self._size, self._taken) > self._most:
            self._refuse(f"it has more than max_response_bytes={self._most}")
        if time.monotonic() > self._end:
            self._refuse(f"it was not whole within {self._bounds.seconds:g} s")
        return not self.ended

    def content(self) -> bytes:
        """Return what was taken."""
        return b"".join(self._parts)[: self._most]

    def _decoded(self, raw: bytes) -> bytes:
        if self._decoder is None:
            return raw
        try:
            return self._decoder.decompress(raw, self._most - self._size + 1)
        except zlib.error as error:
            self._refuse(f"its body can't be decompressed: {error}")
            return b""

    def _refuse(self, why: str) -> None:
        if not self._is_error:
            raise UnexpectedResponseError(
                f"{self._label}: the answer is not read: {why}. Check that the connection's host is Planet's "
                "API and that no proxy answers in its stead; the extras max_response_bytes and "
                "max_retry_seconds are the bounds."
            )
        self.ended = True


def read(response: httpx.Response, bounds: Bounds) -> bytes:
    """Read a streamed answer's body and close it. Read again, it is the same.

    :raises UnexpectedResponseError: It is a success beyond the bounds; an error's body is cut instead.
    :raises httpx.TransportError: It was cut, or stalled.
    """
    if _BODY not in response.extensions:
        try:
            body = _Body(response, bounds)
            if not body.ended:
                for piece in response.iter_raw():
                    if not body.take(piece):
                        break
        finally:
            response.close()
        response.extensions[_BODY] = body.content()
    return bytes(response.extensions[_BODY])


async def aread(response: httpx.Response, bounds: Bounds) -> bytes:
    """Do what :func:`read` does, in an event loop."""
    if _BODY not in response.extensions:
        try:
            body = _Body(response, bounds)
            if not body.ended:
                async for piece in response.aiter_raw():
                    if not body.take(piece):
                        break
        finally:
            await response.aclose()
        response.extensions[_BODY] = body.content()
    return bytes(response.extensions[_BODY])
