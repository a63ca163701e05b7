"""Data API: item types, items, assets, activation, download."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from planet_provider.sandbox import scenes
from planet_provider.sandbox.activation import AssetRef
from planet_provider.sandbox.auth import Account
from planet_provider.sandbox.catalogue import Item
from planet_provider.sandbox.clock import naive_utc
from planet_provider.sandbox.downloads import open_link, redirect
from planet_provider.sandbox.errors import ApiError, fields
from planet_provider.sandbox.filters import compile_geometry
from planet_provider.sandbox.filtervalues import FilterError
from planet_provider.sandbox.objects import StoredObject
from planet_provider.sandbox.parsing import json_object, not_found
from planet_provider.sandbox.state import STATE, State

_THUMBNAIL_WIDTHS = (256, 512, 1024, 2048)


async def list_item_types(request: web.Request, account: Account) -> web.Response:
    """``GET /data/v1/item-types``."""
    state = request.app[STATE]
    rows = [_item_type(state, name, about) for name, about in state.catalogue.item_types.items()]
    return web.json_response({"_links": {"_self": f"{state.url}/data/v1/item-types/"}, "item_types": rows})


async def get_item_type(request: web.Request, account: Account) -> web.Response:
    """``GET /data/v1/item-types/{item_type}``."""
    state = request.app[STATE]
    name = request.match_info["item_type"]
    if name not in state.catalogue.item_types:
        raise not_found(f"Item type {name}")
    return web.json_response(_item_type(state, name, state.catalogue.item_types[name]))


async def get_item(request: web.Request, account: Account) -> web.Response:
    """``GET /data/v1/item-types/{item_type}/items/{item_id}``."""
    return web.json_response(_item(request).feature(request.app[STATE].url))


async def thumbnail(request: web.Request, account: Account) -> web.Response:
    """``GET /data/v1/item-types/{item_type}/items/{item_id}/thumb``: a PNG."""
    item = _item(request)
    width = request.query.get("width", "256")
    if width not in map(str, _THUMBNAIL_WIDTHS):
        raise fields(400, {"width": [f"must be one of {_THUMBNAIL_WIDTHS}, not {width!r}"]})
    content = await request.app[STATE].in_thread(lambda: scenes.thumbnail(item, int(width)))
    return web.Response(body=content, content_type="image/png")


async def coverage(request: web.Request, account: Account) -> web.Response:
    """``POST /data/v1/item-types/{item_type}/items/{item_id}/coverage``.

    The sandbox takes the clear part of an item to be spread evenly over it.
    """
    item = _item(request)
    geometry = (await json_object(request)).get("geometry")
    try:
        touches = compile_geometry(geometry)(item)
    except FilterError as error:
        raise fields(400, {error.field: [error.message]}) from error
    if not touches:
        raise fields(400, {"geometry": ["does not intersect the item"]})
    return web.json_response({"status": "complete", "clear_percent": item.properties.get("clear_percent", 0)})


async def list_assets(request: web.Request, account: Account) -> web.Response:
    """``GET /data/v1/item-types/{item_type}/items/{item_id}/assets``."""
    state = request.app[STATE]
    item = _item(request)
    now = state.clock.now()
    assets = [AssetRef(item.item_type, item.id, asset_type) for asset_type in item.assets]
    return web.json_response(
        {asset.asset_type: await _asset(state, account.user_id, item, asset, now) for asset in assets}
    )


async def get_asset(request: web.Request, account: Account) -> web.Response:
    """``GET /data/v1/assets/{asset_id}``."""
    state = request.app[STATE]
    item, asset = _known(request)
    return web.json_response(await _asset(state, account.user_id, item, asset, state.clock.now()))


async def activate(request: web.Request, account: Account) -> web.Response:
    """``GET|POST /data/v1/assets/{asset_id}/activate``."""
    state = request.app[STATE]
    item, asset = _known(request)
    if not item.may_download(asset.asset_type):
        raise ApiError(401, {"message": "No permission to activate this asset", "errors": []})
    now = state.clock.now()
    if state.assets.status(asset, now) == "active":
        return web.Response(status=204)
    state.assets.activate(asset, now + timedelta(seconds=state.config.activation_seconds))
    return web.Response(status=202)


async def download(request: web.Request) -> web.StreamResponse:
    """``GET /data/v1/download?token=…``: needs no key, for the token is one."""
    state = request.app[STATE]
    claims = open_link(request, "asset")
    state.limiter.check(claims["user"], "data.download")
    asset = AssetRef.from_id(claims["asset"])
    item = _visible(state, asset.item_type, asset.item_id)
    return redirect(state, await _rendered(state, item, asset), claims["exp"])


def _item_type(state: State, name: str, about: Mapping[str, Any]) -> dict[str, Any]:
    link = f"{state.url}/data/v1/item-types/{name}"
    return {"_links": {"_self": link}, "id": name, **about}


def _item(request: web.Request) -> Item:
    return _visible(request.app[STATE], request.match_info["item_type"], request.match_info["item_id"])


def _visible(state: State, item_type: str, item_id: str) -> Item:
    item = state.catalogue_at(state.clock.now()).get(item_type, item_id)
    if item is None:
        raise not_found(f"Item {item_type}/{item_id}")
    return item


def _known(request: web.Request) -> tuple[Item, AssetRef]:
    try:
        asset = AssetRef.from_id(request.match_info["asset_id"])
    except ValueError:
        raise not_found("Asset") from None
    item = _visible(request.app[STATE], asset.item_type, asset.item_id)
    if asset.asset_type not in item.assets:
        raise not_found("Asset")
    return item, asset


async def _asset(state: State, user_id: int, item: Item, asset: AssetRef, now: datetime) -> dict[str, Any]:
    own = f"{state.url}/data/v1/assets/{asset.id}"
    status = state.assets.status(asset, now)
    document: dict[str, Any] = {
        "_links": {
            "_self": own,
            "activate": f"{own}/activate",
            "type": f"{state.url}/data/v1/asset-types/{asset.asset_type}",
        },
        "_permissions": ["download"] if item.may_download(asset.asset_type) else [],
        "md5_digest": None,
        "status": status,
        "type": asset.asset_type,
    }
    if status == "active":
        stored = await _rendered(state, item, asset)
        expires = now + timedelta(seconds=state.config.link_seconds)
        token = state.links.token({"for": "asset", "asset": asset.id, "user": user_id}, expires)
        document["md5_digest"] = stored.md5
        document["expires_at"] = naive_utc(expires)
        document["location"] = f"{state.url}/data/v1/download?token={token}"
    return document


async def _rendered(state: State, item: Item, asset: AssetRef) -> StoredObject:
    """Return an asset's file, rendered at the first time."""
    known = state.assets.rendered.get(asset)
    if known is not None:
        return known

    def render() -> StoredObject:
        made = scenes.render(item, asset.asset_type, pixels=state.config.scene_pixels)
        return state.objects.put(
            f"assets/{asset.item_type}/{made.file_name}",
            made.content,
            media_type=made.media_type,
            digests={"md5": made.md5, "sha256": made.sha256},
            modified=state.clock.now(),
        )

    stored = await state.in_thread(render)
    state.assets.rendered[asset] = stored
    return stored
