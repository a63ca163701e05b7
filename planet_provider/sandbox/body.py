"""Writing answers, whole or as a fault will have it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from aiohttp import hdrs, web

from planet_provider.sandbox.faults import Fault, FaultKind

Faults = Mapping[FaultKind, Fault]

_CHUNK = 256 * 1024
_POLL_SECONDS = 0.05
_BODY_FAULTS = frozenset({"truncate", "stall", "corrupt", "no_length"})


class Content(web.Response):
    """An answer whose body is a view of bytes that live elsewhere, such as a mapped file."""

    def __init__(self, view: memoryview, *, status: int = 200, headers: Mapping[str, str]) -> None:
        super().__init__(status=status, headers=headers)
        self.view = view


async def write(request: web.Request, answer: web.StreamResponse, faults: Faults) -> web.StreamResponse:
    """Send an answer, with what the faults do to its body.

    :return: What the server is to send on: the answer, or one that is sent already.
    """
    if isinstance(answer, Content):
        view = answer.view
    elif isinstance(answer, web.Response) and isinstance(answer.body, (bytes, bytearray)):
        view = memoryview(answer.body)
    elif isinstance(answer, web.Response) and answer.body is None:
        view = memoryview(b"")
    else:
        return answer
    if request.method == "HEAD" or answer.status in (204, 304):
        return _bodiless(request, answer, view)
    if not isinstance(answer, Content) and not faults.keys() & _BODY_FAULTS:
        return answer
    stream = web.StreamResponse(status=answer.status, reason=answer.reason, headers=answer.headers)
    if "no_length" in faults:
        stream.headers.popall(hdrs.CONTENT_LENGTH, None)
        stream.enable_chunked_encoding()
    else:
        stream.content_length = len(view)
    # A client that went away is no error of the server's.
    with contextlib.suppress(ConnectionError):
        await stream.prepare(request)
        if await _send(request, stream, _corrupt(view, faults), faults):
            await stream.write_eof()
    return stream


def _bodiless(request: web.Request, answer: web.Response, view: memoryview) -> web.Response:
    headers = answer.headers.copy()
    if request.method == "HEAD":
        headers[hdrs.CONTENT_LENGTH] = str(len(view))
    return web.Response(status=answer.status, headers=headers)


def _corrupt(view: memoryview, faults: Faults) -> memoryview:
    fault = faults.get("corrupt")
    if fault is None or not view:
        return view
    content = bytearray(view)
    at = len(content) // 2 if fault.after_bytes is None else min(fault.after_bytes, len(content) - 1)
    content[at] ^= 0x01
    return memoryview(content)


async def _send(request: web.Request, stream: web.StreamResponse, view: memoryview, faults: Faults) -> bool:
    """Write a body; return whether it may be ended in order."""
    fault = faults.get("truncate") or faults.get("stall")
    if fault is None:
        await _write(stream, view)
        return True
    at = len(view) // 2 if fault.after_bytes is None else min(fault.after_bytes, len(view))
    await _write(stream, view[:at])
    if fault.kind == "truncate":
        close(request, flush=True)
        return False
    await pause(request, fault.seconds)
    await _write(stream, view[at:])
    return True


async def _write(stream: web.StreamResponse, view: memoryview) -> None:
    for start in range(0, len(view), _CHUNK):
        await stream.write(view[start : start + _CHUNK])


def close(request: web.Request, *, flush: bool = False) -> None:
    """Close the request's connection.

    :param flush: Whether what was written goes out first.
    """
    if request.transport is not None:
        if flush:
            request.transport.close()
        else:
            request.transport.abort()


async def pause(request: web.Request, seconds: float) -> None:
    """Wait, as long as the client does.

    :param seconds: Real seconds.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    # aiohttp has no event for a client that went away.
    while (left := until - loop.time()) > 0 and request.transport is not None:  # noqa: ASYNC110
        await asyncio.sleep(min(left, _POLL_SECONDS))
