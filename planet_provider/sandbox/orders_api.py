"""Orders API: place, get, list, cancel, stats, bundles, download."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from aiohttp import web

from planet_provider.sandbox import bundles, order_list, products
from planet_provider.sandbox.auth import Account
from planet_provider.sandbox.downloads import open_link, redirect
from planet_provider.sandbox.errors import ApiError, fields
from planet_provider.sandbox.order import Order
from planet_provider.sandbox.order_delivery import results, settle
from planet_provider.sandbox.order_validation import check_order
from planet_provider.sandbox.parsing import integer, json_object
from planet_provider.sandbox.quota import area_km2
from planet_provider.sandbox.state import STATE

_MAX_PAGE_SIZE = 250


async def create_order(request: web.Request, account: Account) -> web.Response:
    """``POST /compute/ops/orders/v2``."""
    state = request.app[STATE]
    body = await json_object(request)
    catalogue = state.catalogue_at(state.clock.now())
    lacking = check_order(
        body,
        catalogue,
        max_items=state.config.max_order_items,
        max_vertices=state.config.max_vertices,
    )
    misses = {}
    if body.get("source_type") != "basemaps":
        misses = await state.in_thread(lambda: products.failures(body, catalogue))
    failures = {item_id: f"{item_id}: {reason}" for item_id, reason in misses.items()} | lacking
    area = 0.0
    if state.config.quota_km2 is not None:
        area = await state.in_thread(lambda: area_km2(body, catalogue))
    order = state.orders.place(account.user_id, body, failures=failures, area_km2=area)
    return web.json_response(order.row(order.created_on, state.url), status=202)


async def get_order(request: web.Request, account: Account) -> web.Response:
    """``GET /compute/ops/orders/v2/{order_id}``."""
    state = request.app[STATE]
    order = _order(request, account)
    now = state.clock.now()
    await settle(state, order, now)
    document = order.row(now, state.url)
    document["_links"]["results"] = results(state, order, now)
    return web.json_response(document)


async def list_orders(request: web.Request, account: Account) -> web.Response:
    """``GET /compute/ops/orders/v2``: as it was ``list_lag_seconds`` ago."""
    state = request.app[STATE]
    matches = order_list.matcher(request, account.user_id)
    size = integer(request, "page_size", state.config.orders_page_size, 1, _MAX_PAGE_SIZE)
    moment = state.clock.now() - timedelta(seconds=state.config.list_lag_seconds)
    orders = [order for order in state.orders.snapshot() if order.created_on <= moment]
    # Only tools can make an order fail while it is processed.
    await asyncio.gather(*(settle(state, order, moment) for order in orders if order.request.get("tools")))
    rows = [row for row in ((order, order.at(moment)) for order in orders) if matches(row)]
    rows, links = order_list.page(request, rows, size, state.url)
    return web.json_response({"_links": links, "orders": [order.row(moment, state.url) for order, _ in rows]})


async def cancel_order(request: web.Request, account: Account) -> web.Response:
    """``PUT /compute/ops/orders/v2/{order_id}``."""
    state = request.app[STATE]
    order = _order(request, account)
    moment = state.orders.cancel(order)
    return web.json_response(order.row(moment, state.url))


async def bulk_cancel(request: web.Request, account: Account) -> web.Response:
    """``POST /compute/ops/bulk/orders/v2/cancel``: an empty body cancels every queued order."""
    state = request.app[STATE]
    order_ids = (await json_object(request, optional=True)).get("order_ids")
    if order_ids is None:
        own = [order for order in state.orders.snapshot() if order.user_id == account.user_id]
        order_ids = [order.id for order in own if order.at(state.clock.now()).state == "queued"]
    elif not isinstance(order_ids, list) or not all(isinstance(order_id, str) for order_id in order_ids):
        raise fields(400, {"order_ids": ["must be an array of order ids"]})
    failures = []
    for order_id in order_ids:
        try:
            state.orders.cancel(_owned(state.orders.get(order_id), account))
        except ApiError as error:
            failures.append({"order_id": order_id, "message": error.payload["message"]})
    return web.json_response(
        {
            "result": {
                "succeeded": {"count": len(order_ids) - len(failures)},
                "failed": {"count": len(failures), "failures": failures},
            }
        }
    )


async def stats(request: web.Request, account: Account) -> web.Response:
    """``GET /compute/ops/stats/orders/v2``."""
    orders = request.app[STATE].orders

    def counts(user_id: int | None) -> dict[str, int]:
        return {f"{name}_orders": orders.count(name, user_id) for name in ("queued", "running")}

    return web.json_response({"organization": counts(None), "user": counts(account.user_id)})


async def bundle_spec(request: web.Request) -> web.Response:
    """``GET /compute/ops/bundles/spec``: open to all."""
    return web.json_response(bundles.spec())


async def download(request: web.Request) -> web.StreamResponse:
    """``GET /compute/ops/download/?token=…``: needs no key, for the token is one."""
    state = request.app[STATE]
    claims = open_link(request, "order")
    state.limiter.check(claims["user"], "orders.download")
    order = state.orders.get(claims["order"])
    stored = (order.files or {}).get(claims["path"])
    if stored is None:
        raise ApiError(404, {"message": "The file does not exist"})
    return redirect(state, stored, claims["exp"])


def _order(request: web.Request, account: Account) -> Order:
    return _owned(request.app[STATE].orders.get(request.match_info["order_id"]), account)


def _owned(order: Order, account: Account) -> Order:
    if order.user_id != account.user_id:
        raise ApiError(404, {"message": f"Could not load order ID: {order.id}."})
    return order


def describe(order: Order, document: dict[str, Any]) -> dict[str, Any]:
    """Return an order with what only the sandbox knows."""
    return {**document, "user_id": order.user_id, "area_km2": order.area_km2}
