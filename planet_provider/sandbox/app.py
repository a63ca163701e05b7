"""The two origins as aiohttp applications."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from planet_provider.sandbox import (
    auth,
    control,
    data_items,
    data_search,
    orders_api,
    storage,
)
from planet_provider.sandbox.auth import Account
from planet_provider.sandbox.links import BUCKET
from planet_provider.sandbox.pipeline import guarded, json_error, pipeline
from planet_provider.sandbox.state import STATE, State

AccountHandler = Callable[[web.Request, Account], Awaitable[web.StreamResponse]]

_MAX_BODY_BYTES = 64 * 1024**2

_ITEM_TYPES = "/data/v1/item-types"
_ITEM = _ITEM_TYPES + "/{item_type}/items/{item_id}"
_ASSET = "/data/v1/assets/{asset_id}"
_SEARCHES = "/data/v1/searches"
_SEARCH = _SEARCHES + "/{search_id}"
_ORDERS = "/compute/ops/orders/v2"
_ORDER = _ORDERS + "/{order_id}"

# Method, path, handler, rate class. A trailing slash is optional, as at Planet.
_GUARDED: tuple[tuple[str, str, AccountHandler, str], ...] = (
    ("POST", "/data/v1/quick-search", data_search.quick_search, "data.other"),
    ("POST", _SEARCHES, data_search.create_search, "data.other"),
    ("GET", _SEARCHES, data_search.list_searches, "data.other"),
    ("GET", _SEARCH, data_search.get_search, "data.other"),
    ("PUT", _SEARCH, data_search.update_search, "data.other"),
    ("DELETE", _SEARCH, data_search.delete_search, "data.other"),
    ("GET", _SEARCH + "/results", data_search.run_search, "data.other"),
    ("POST", "/data/v1/stats", data_search.stats, "data.other"),
    ("GET", _ITEM_TYPES, data_items.list_item_types, "data.other"),
    ("GET", _ITEM_TYPES + "/{item_type}", data_items.get_item_type, "data.other"),
    ("GET", _ITEM, data_items.get_item, "data.other"),
    ("GET", _ITEM + "/thumb", data_items.thumbnail, "data.other"),
    ("POST", _ITEM + "/coverage", data_items.coverage, "data.other"),
    ("GET", _ITEM + "/assets", data_items.list_assets, "data.other"),
    ("GET", _ASSET, data_items.get_asset, "data.other"),
    ("GET", _ASSET + "/activate", data_items.activate, "data.activation"),
    ("POST", _ASSET + "/activate", data_items.activate, "data.activation"),
    ("POST", _ORDERS, orders_api.create_order, "orders.create"),
    ("GET", _ORDERS, orders_api.list_orders, "orders.list"),
    ("GET", _ORDER, orders_api.get_order, "orders.get"),
    ("PUT", _ORDER, orders_api.cancel_order, "orders.cancel"),
    ("POST", "/compute/ops/bulk/orders/v2/cancel", orders_api.bulk_cancel, "orders.bulk_cancel"),
    ("GET", "/compute/ops/stats/orders/v2", orders_api.stats, "orders.stats"),
)


def api(state: State) -> web.Application:
    """Return the API origin."""
    app = _application(state, pipeline("api", json_error))
    for method, path, handler, rate_class in _GUARDED:
        guard = guarded(handler, rate_class)
        app.router.add_route(method, path, guard)
        app.router.add_route(method, f"{path}/", guard)
    for path in ("/data/v1/download", "/data/v1/download/"):
        app.router.add_get(path, data_items.download)
    for path in ("/compute/ops/download", "/compute/ops/download/"):
        app.router.add_get(path, orders_api.download)
    app.router.add_get("/compute/ops/bundles/spec", orders_api.bundle_spec)
    for path in ("/auth/token", auth.TOKEN_PATH):
        app.router.add_post(path, state.auth.issue_token)
    app.router.add_get(f"{auth.REALM}/.well-known/openid-configuration", state.auth.discovery)
    app.router.add_post("/v0/auth/login", state.auth.login)
    app.router.add_routes(control.routes())
    return app


def store(state: State) -> web.Application:
    """Return the storage origin."""
    app = _application(state, pipeline("storage", storage.xml_error))
    app.router.add_get(f"/{BUCKET}/{{key:.+}}", storage.read_object)
    return app


def _application(state: State, middleware: object) -> web.Application:
    app = web.Application(middlewares=[middleware], client_max_size=_MAX_BODY_BYTES)  # type: ignore[list-item]
    app[STATE] = state
    return app
