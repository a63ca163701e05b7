"""The sandbox's own HTTP interface, for tests and demos in another process. It asks for no key."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from aiohttp import web

from planet_provider.sandbox.clock import rfc3339
from planet_provider.sandbox.errors import fields
from planet_provider.sandbox.faults import Fault
from planet_provider.sandbox.order import without_credentials
from planet_provider.sandbox.orders_api import describe
from planet_provider.sandbox.outcomes import Outcome
from planet_provider.sandbox.parsing import json_object
from planet_provider.sandbox.recorder import RecordedRequest
from planet_provider.sandbox.state import STATE, State

PREFIX = "/sandbox/v1"

_ACCOUNT_PAGE = """<!DOCTYPE html>
<title>Planet sandbox: orders</title>
<style>body { font-family: sans-serif } td, th { padding: 0.3em 1em; text-align: left }
:target { background: gold }</style>
<h1>Orders of the Planet sandbox</h1>
<table>
<tr><th>Name<th>Id<th>State<th>Last message<th>Last modified
"""

_SECRET_HEADERS = frozenset({"authorization", "cookie"})
_SECRET_QUERY = frozenset({"api_key", "token", "Signature"})


def routes() -> list[web.RouteDef]:
    """Return the routes below ``/sandbox/v1``, and the pages at ``/`` and ``/account/``."""
    return [
        web.get("/", overview),
        web.get("/account/", account_page),
        web.get(f"{PREFIX}/health", health),
        web.get(f"{PREFIX}/faults", list_faults),
        web.post(f"{PREFIX}/faults", add_faults),
        web.delete(f"{PREFIX}/faults", clear_faults),
        web.get(f"{PREFIX}/requests", list_requests),
        web.delete(f"{PREFIX}/requests", clear_requests),
        web.get(f"{PREFIX}/orders", list_orders),
        web.post(f"{PREFIX}/outcomes", add_outcome),
        web.get(f"{PREFIX}/clock", get_clock),
        web.post(f"{PREFIX}/clock", set_clock),
        web.post(f"{PREFIX}/reset", reset),
    ]


async def health(request: web.Request) -> web.Response:
    """``GET /sandbox/v1/health``."""
    state = request.app[STATE]
    return web.json_response({"status": "ok", "items": len(state.catalogue), **_clock(state)})


async def overview(request: web.Request) -> web.Response:
    """``GET /``: the latest orders, for people."""
    state = request.app[STATE]
    now = state.clock.now()
    orders = state.orders.snapshot()[:-51:-1]
    rows = [f"{order.id}  {order.at(now).state:<9}  {order.name}" for order in orders]
    head = f"Planet sandbox, {rfc3339(now)} at {state.clock.speed:g} seconds a second"
    return web.Response(
        text="\n".join([head, f"API {state.url}  storage {state.storage_url}", "", *rows, ""])
    )


async def account_page(request: web.Request) -> web.Response:
    """``GET /account/``: all orders, the latest first. The link ``/account/#/orders/<id>`` marks one of them."""
    state = request.app[STATE]
    now = state.clock.now()
    rows = []
    for order in reversed(state.orders.snapshot()):
        shown = order.row(now, state.url)
        cells = (shown["name"], order.id, shown["state"], shown["last_message"], shown["last_modified"])
        texts = "".join(f"<td>{escape(str(cell))}" for cell in cells)
        rows.append(f'<tr id="/orders/{order.id}">{texts}')
    return web.Response(text=_ACCOUNT_PAGE + "\n".join(rows), content_type="text/html")


async def list_faults(request: web.Request) -> web.Response:
    """``GET /sandbox/v1/faults``: each with how many requests it hit."""
    return web.json_response(_faults(request.app[STATE]))


async def add_faults(request: web.Request) -> web.Response:
    """``POST /sandbox/v1/faults``: a fault, or ``{"faults": [...]}``."""
    state = request.app[STATE]
    body = await json_object(request)
    try:
        state.faults.add(*(Fault.from_json(fault) for fault in body.get("faults", [body])))
    except ValueError as error:
        raise fields(400, {"fault": [str(error)]}) from error
    return web.json_response(_faults(state), status=201)


async def clear_faults(request: web.Request) -> web.Response:
    """``DELETE /sandbox/v1/faults``."""
    request.app[STATE].faults.clear()
    return web.Response(status=204)


async def list_requests(request: web.Request) -> web.Response:
    """``GET /sandbox/v1/requests``: without credentials and tokens; ``json`` is an API's body."""
    recorded = request.app[STATE].recorder.snapshot()
    return web.json_response({"requests": [_shown(one) for one in recorded]})


async def clear_requests(request: web.Request) -> web.Response:
    """``DELETE /sandbox/v1/requests``."""
    request.app[STATE].recorder.clear()
    return web.Response(status=204)


async def list_orders(request: web.Request) -> web.Response:
    """``GET /sandbox/v1/orders``: every account's, by id, oldest first, without any lag."""
    state = request.app[STATE]
    return web.json_response({"orders": orders_by_id(state)})


async def add_outcome(request: web.Request) -> web.Response:
    """``POST /sandbox/v1/outcomes``."""
    try:
        request.app[STATE].outcomes.add(Outcome.from_json(await json_object(request)))
    except ValueError as error:
        raise fields(400, {"outcome": [str(error)]}) from error
    return web.Response(status=204)


async def get_clock(request: web.Request) -> web.Response:
    """``GET /sandbox/v1/clock``."""
    return web.json_response(_clock(request.app[STATE]))


async def set_clock(request: web.Request) -> web.Response:
    """``POST /sandbox/v1/clock``: ``{"advance": seconds}``, ``{"speed": seconds a second}`` or both."""
    state = request.app[STATE]
    body = await json_object(request)
    if not body or set(body) - {"advance", "speed"}:
        raise fields(400, {"clock": [f"takes advance and speed, not {sorted(body)}"]})
    try:
        if "speed" in body:
            state.clock.speed = float(body["speed"])
        if "advance" in body:
            state.clock.advance(float(body["advance"]))
    except (TypeError, ValueError, OverflowError) as error:
        raise fields(400, {"clock": [str(error)]}) from error
    return web.json_response(_clock(state))


async def reset(request: web.Request) -> web.Response:
    """``POST /sandbox/v1/reset``: start afresh with the settings in force."""
    state = request.app[STATE]
    state.reset(state.config)
    return web.Response(status=204)


def orders_by_id(state: State) -> dict[str, dict[str, Any]]:
    """Return every order as it is now, oldest first."""
    now = state.clock.now()
    return {order.id: describe(order, order.row(now, state.url)) for order in state.orders.snapshot()}


def _clock(state: State) -> dict[str, Any]:
    return {"now": rfc3339(state.clock.now()), "speed": state.clock.speed}


def _faults(state: State) -> dict[str, Any]:
    return {"faults": [{**fault.to_json(), "hits": hits} for fault, hits in state.faults.snapshot()]}


def _shown(request: RecordedRequest) -> dict[str, Any]:
    return {
        "origin": request.origin,
        "method": request.method,
        "path": request.path,
        "query": _masked(dict(request.query), _SECRET_QUERY),
        "headers": _masked(dict(request.headers), _SECRET_HEADERS),
        "body_bytes": len(request.body),
        "json": _json(request),
        "status": request.status,
        "at": request.at,
        "authorized": request.authorized,
        "faults": list(request.faults),
    }


def _json(request: RecordedRequest) -> dict[str, Any] | None:
    # The log-ins' bodies are credentials.
    if not request.path.startswith(("/data/", "/compute/")):
        return None
    try:
        body = json.loads(request.body)
    except ValueError:
        return None
    return without_credentials(body) if isinstance(body, dict) else None


def _masked(values: dict[str, str], secret: frozenset[str]) -> dict[str, str]:
    return {name: "***" if name in secret else value for name, value in values.items()}
