"""An HTTP server that notes when each request arrives, in a process of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import NamedTuple

import httpx


class Arrival(NamedTuple):
    """One request.

    :param at: Monotonic seconds.
    :param caller: Its query parameter ``caller``.
    """

    at: float
    caller: str


class CountingServer:
    """A running server.

    :param url: Its origin; ``GET /hit?caller=...`` is what it counts, and not
        ``GET /warm``.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def arrivals(self) -> list[Arrival]:
        """Return all arrivals, oldest first."""
        answer = httpx.get(f"{self.url}/arrivals", trust_env=False).raise_for_status()
        return [Arrival(at, caller) for at, caller in answer.json()]


@contextmanager
def counting_server() -> Iterator[CountingServer]:
    """Start a server for the length of the block."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield CountingServer(f"http://127.0.0.1:{ours.recv()}")
    finally:
        process.terminate()
        process.join()


def _serve(started: Connection) -> None:
    from aiohttp import web

    arrivals: list[Arrival] = []

    async def hit(request: web.Request) -> web.Response:
        arrivals.append(Arrival(time.monotonic(), request.query["caller"]))
        return web.json_response({})

    async def warm(_: web.Request) -> web.Response:
        return web.json_response({})

    async def listing(_: web.Request) -> web.Response:
        return web.json_response(arrivals)

    async def main() -> None:
        app = web.Application()
        app.add_routes([web.get("/hit", hit), web.get("/warm", warm), web.get("/arrivals", listing)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        started.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(main())
