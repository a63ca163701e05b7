"""The bytes of an answer's body, past httpx where the line is so fast that copying them is what takes time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator

import httpx

from planet_provider.client.http import transport
from planet_provider.transfer.download.hashing import BEHIND
from planet_provider.transfer.download.headers import content_length

#: Bytes of a piece that is read past httpx.
_PIECE_BYTES = 512 << 10

#: Bytes that are read through httpx first, to see how they come.
_SAMPLE_BYTES = 1 << 20

#: Bytes that a read brings on average where bytes lie ready because this process is what limits. Only then is
#: reading past httpx worth the connection, which can't be used again.
_READY_BYTES = 128 << 10

#: Bytes that must be left for it to be worth that.
_WORTH_BYTES = 4 << 20


class _Buffers(threading.local):
    """A thread's, for one body after the other: new memory has to be zeroed first. The next to use comes first."""

    def __init__(self) -> None:
        self.views = deque([memoryview(bytearray(_PIECE_BYTES))])

    def turn(self) -> None:
        """Keep the first for the time being."""
        self.views.rotate(-1)
        if len(self.views) <= BEHIND:
            self.views.appendleft(memoryview(bytearray(_PIECE_BYTES)))


_buffers = _Buffers()


def pieces(
    response: httpx.Response, *, past_httpx: bool, is_kept: Callable[[], bool]
) -> Iterator[bytes | memoryview]:
    """Yield a body's bytes.

    A piece may be a view of memory that is used again: for the next one, or where it is kept, after
    :data:`~planet_provider.transfer.download.hashing.BEHIND` more of them, or by the thread's next body.

    :param past_httpx: Whether a fast body may be read from its connection directly. That builds on how httpx
        buffers, so it is for bodies whose digest is known alone.
    :param is_kept: Whether pieces that were yielded are still in use.
    :raises httpx.TransportError: The body was cut, or stalled.
    """
    chunks = response.iter_raw()  # kept: httpx closes the connection once nobody holds it
    count = 0
    for reads, chunk in enumerate(chunks, 1):
        yield chunk
        count += len(chunk)
        if past_httpx and _comes_fast(count, reads):
            past_httpx = False
            left = (content_length(response.headers) or 0) - count
            stream = transport.stream_of(response) if left >= _WORTH_BYTES else None
            if stream is not None:
                yield from _directly(stream, response, left, is_kept)
                return


def _comes_fast(count: int, reads: int) -> bool:
    return count >= _SAMPLE_BYTES and count >= reads * _READY_BYTES


def _directly(
    stream: transport.Stream, response: httpx.Response, left: int, is_kept: Callable[[], bool]
) -> Iterator[memoryview]:
    while left:
        buffer = _buffers.views[0][:left]
        filled, broken = _fill(stream, buffer, response)
        if filled:
            yield buffer[:filled]
        if broken is not None:
            raise broken
        left -= filled
        if is_kept():
            _buffers.turn()


def _fill(
    stream: transport.Stream, buffer: memoryview, response: httpx.Response
) -> tuple[int, httpx.TransportError | None]:
    """Fill a buffer. What came before the body broke is not lost."""
    filled = 0
    try:
        while filled < len(buffer):
            filled += transport.read_body(stream, buffer[filled:], response)
    except httpx.TransportError as error:
        return filled, error
    return filled, None
