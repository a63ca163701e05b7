"""A gateway before the sandbox that has mishaps with orders: answers get lost, late or wrong on their way."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, get_args

import aiohttp
from aiohttp import web

Mishap = Literal["none", "drop", "drop_after", "delay", "500", "502", "503", "429", "hang"]
MISHAPS = get_args(Mishap)[1:-1]

_CREATE = "/compute/ops/orders/v2"
_ACCEPTED_FIRST = frozenset({"none", "drop_after", "delay", "500", "502", "503", "hang"})
#: Seconds without an answer, after which nobody waits any more.
_HANG_SECONDS = 3600.0
#: Of one connection, and so not handed on.
_HOP_HEADERS = frozenset({"host", "connection", "content-length", "transfer-encoding"})


@dataclass
class Gateway:
    """A running gateway.

    ========== ==================================================
    mishap     what becomes of an order's POST
    ========== ==================================================
    none       handed on
    drop       cut, and not handed on
    drop_after handed on, then cut without an answer
    delay      handed on, and answered ``late_seconds`` later
    500 … 503  handed on, and answered with that status
    429        not handed on, and answered with that status
    hang       handed on, and never answered
    ========== ==================================================

    :param upstream: The sandbox's origin.
    :param choose: Chooses a mishap by the order's name and how often it was sent before.
    :param late_seconds: Seconds of ``delay``.
    :param hold_seconds: Seconds between what becomes of a POST with a mishap and its answer.
    :param lists_fail: Lists by names that contain this answer 503, once orders of that name were sent.
    :param list_seconds: Seconds that a list of orders takes.
    :param sent: How often each name was sent.
    :param settled: POSTs of which it is decided what becomes of them.
    """

    upstream: str
    choose: Callable[[str, int], Mishap]
    late_seconds: float = 1.0
    hold_seconds: float = 0.0
    lists_fail: str | None = None
    list_seconds: float = 0.0
    sent: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    settled: int = 0
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Hand a request on, or don't."""
        self.requests += 1
        body = await request.read()
        if request.path != _CREATE or request.method != "POST":
            listed = request.query.get("name", "") if request.path == _CREATE else ""
            if self.lists_fail is not None and self.lists_fail in listed and self.sent[listed]:
                return web.json_response({"message": "no list now"}, status=503)
            answer = await self._handed_on(request, body)
            await asyncio.sleep(self.list_seconds if listed else 0.0)
            return answer
        name = json.loads(body)["name"]
        mishap = self.choose(name, self.sent[name])
        self.sent[name] += 1
        answer = await self._handed_on(request, body) if mishap in _ACCEPTED_FIRST else web.Response()
        self.settled += 1
        if mishap == "none":
            return answer
        await asyncio.sleep(self.hold_seconds)
        if mishap in ("drop", "drop_after"):
            if request.transport is not None:
                request.transport.abort()
        elif mishap in ("delay", "hang"):
            await asyncio.sleep(self.late_seconds if mishap == "delay" else _HANG_SECONDS)
        else:
            headers = {"Retry-After": "0"} if mishap == "429" else {}
            answer = web.json_response({"message": "mishap"}, status=int(mishap), headers=headers)
        return answer

    async def _handed_on(self, request: web.Request, body: bytes) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_HEADERS}
        client = request.app[_CLIENT]
        async with client.request(
            request.method, f"{self.upstream}{request.path_qs}", data=body, headers=headers
        ) as answer:
            kept = {"Content-Type": answer.headers.get("Content-Type", "application/json")}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)


_CLIENT = web.AppKey("client", aiohttp.ClientSession)


@contextmanager
def gateway(
    upstream: str, choose: Callable[[str, int], Mishap], late_seconds: float = 1.0
) -> Iterator[Gateway]:
    """Run a gateway in a thread of its own."""
    served = Gateway(upstream, choose, late_seconds)
    ready = threading.Event()
    loop: asyncio.AbstractEventLoop | None = None
    stop: asyncio.Event | None = None

    async def serve() -> None:
        nonlocal loop, stop
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_route("*", "/{path:.*}", served.handle)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
            app[_CLIENT] = client
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            ready.set()
            await stop.wait()
            await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="gateway", daemon=True)
    thread.start()
    ready.wait()
    try:
        yield served
    finally:
        assert loop is not None
        assert stop is not None
        loop.call_soon_threadsafe(stop.set)
        thread.join()
