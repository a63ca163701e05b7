"""A server of one large search, in a process of its own: pages of realistic items, as the Data API gives them."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from multiprocessing.connection import Connection

PAGE_ITEMS = 250

#: Stands in a page for its number, so that no item comes twice.
_NUMBER = b"PAGENO"

#: Pages that differ in more than their number.
_KINDS = 8


@contextmanager
def search_pages(items: int) -> Iterator[str]:
    """Serve a search with as many items, in full pages; yield the API's origin."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, items // PAGE_ITEMS), daemon=True)
    process.start()
    theirs.close()
    try:
        yield str(ours.recv())
    finally:
        process.terminate()
        process.join()


def _bodies(url: str) -> list[bytes]:
    """Return pages of the sandbox's items, which have all that Planet's have, with a mark for the number."""
    from planet_provider.sandbox.catalogue import Catalogue

    catalogue = Catalogue(
        seed=1, items=8 * _KINDS * PAGE_ITEMS, now=datetime(2026, 1, 1, tzinfo=timezone.utc)
    )
    scenes = [item for item in catalogue if item.item_type == "PSScene"]
    bodies = []
    for kind in range(_KINDS):
        features = [item.feature(url) for item in scenes[kind * PAGE_ITEMS : (kind + 1) * PAGE_ITEMS]]
        for feature in features:
            feature["id"] += f"_{_NUMBER.decode()}"
        page = {"features": features, "type": "FeatureCollection"}
        bodies.append(json.dumps(page, separators=(",", ":"))[1:].encode())
    return bodies


def _serve(started: Connection, pages: int) -> None:
    from aiohttp import web

    bodies: list[bytes] = []

    def page(number: int) -> web.Response:
        body = bodies[number % _KINDS].replace(_NUMBER, b"%06d" % number)
        following = f"{origin}/data/v1/searches/0/results?_page={number + 1}"
        links = {"_next": following} if number + 1 < pages else {}
        head = json.dumps({"_links": links})[:-1].encode()
        return web.Response(body=head + b", " + body, content_type="application/json")

    async def first(_: web.Request) -> web.Response:
        return page(0)

    async def later(request: web.Request) -> web.Response:
        return page(int(request.query["_page"]))

    async def main() -> None:
        nonlocal origin, bodies
        app = web.Application()
        app.add_routes(
            [web.post("/data/v1/quick-search", first), web.get("/data/v1/searches/0/results", later)]
        )
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        bodies = _bodies(origin)
        started.send(origin)
        await asyncio.Event().wait()

    origin = ""
    asyncio.run(main())
