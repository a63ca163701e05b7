"""Data API: quick search, saved searches, their results, stats."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from planet_provider.sandbox.auth import Account
from planet_provider.sandbox.catalogue import Item
from planet_provider.sandbox.clock import rfc3339
from planet_provider.sandbox.errors import fields
from planet_provider.sandbox.filtervalues import FilterError, parse_instant
from planet_provider.sandbox.parsing import integer, json_object
from planet_provider.sandbox.searches import Cursor, Search
from planet_provider.sandbox.state import STATE, State

_MAX_PAGE_SIZE = 250
_SORTS = ("published desc", "published asc", "acquired desc", "acquired asc")
_LIST_SORTS = ("created desc", "created asc")
_INTERVALS = ("hour", "day", "week", "month", "year")


async def quick_search(request: web.Request, account: Account) -> web.Response:
    """``POST /data/v1/quick-search``."""
    state = request.app[STATE]
    body = _search_request(state, await json_object(request), required=("item_types", "filter"))
    now = state.clock.now()
    search = Search(account.user_id, body, created=now, updated=now, quick=True)
    page = await _results(request, search)
    state.searches.add(search)
    return web.json_response(page)


async def create_search(request: web.Request, account: Account) -> web.Response:
    """``POST /data/v1/searches``."""
    state = request.app[STATE]
    body = _search_request(state, await json_object(request), required=("item_types", "filter", "name"))
    await _run(state, body)
    now = state.clock.now()
    search = state.searches.add(Search(account.user_id, body, created=now, updated=now, quick=False))
    return web.json_response(search.document(state.url))


async def list_searches(request: web.Request, account: Account) -> web.Response:
    """``GET /data/v1/searches``."""
    state = request.app[STATE]
    kind = request.query.get("search_type", "any")
    sort = request.query.get("_sort", _LIST_SORTS[0])
    if kind not in ("any", "saved", "quick"):
        raise fields(400, {"search_type": [f"{kind!r} is not one of any, saved, quick"]})
    if sort not in _LIST_SORTS:
        raise fields(400, {"_sort": [f"{sort!r} is not one of {', '.join(_LIST_SORTS)}"]})
    searches = [
        search
        for search in state.searches.of(account.user_id)
        if kind == "any" or search.quick == (kind == "quick")
    ]
    if sort == "created desc":
        searches.reverse()
    size = integer(request, "_page_size", _MAX_PAGE_SIZE, 1, _MAX_PAGE_SIZE)
    start = integer(request, "_page", 0, 0, len(searches))
    links: dict[str, str] = {"_self": f"{state.url}{request.path_qs}"}
    if start + size < len(searches):
        query = {**request.query, "_page": str(start + size), "_page_size": str(size)}
        links["_next"] = f"{state.url}{request.path}?{urlencode(query)}"
    rows = [search.document(state.url) for search in searches[start : start + size]]
    return web.json_response({"_links": links, "searches": rows})


async def get_search(request: web.Request, account: Account) -> web.Response:
    """``GET /data/v1/searches/{id}``."""
    state = request.app[STATE]
    return web.json_response(_search(request, account).document(state.url))


async def update_search(request: web.Request, account: Account) -> web.Response:
    """``PUT /data/v1/searches/{id}``."""
    state = request.app[STATE]
    search = _search(request, account)
    body = _search_request(state, await json_object(request), required=("item_types", "filter", "name"))
    await _run(state, body)
    search = dataclasses.replace(search, request=body, updated=state.clock.now(), quick=False)
    return web.json_response(state.searches.add(search).document(state.url))


async def delete_search(request: web.Request, account: Account) -> web.Response:
    """``DELETE /data/v1/searches/{id}``."""
    request.app[STATE].searches.delete(_search(request, account))
    return web.Response(status=204)


async def run_search(request: web.Request, account: Account) -> web.Response:
    """``GET /data/v1/searches/{id}/results``."""
    return web.json_response(await _results(request, _search(request, account)))


async def stats(request: web.Request, account: Account) -> web.Response:
    """``POST /data/v1/stats``."""
    state = request.app[STATE]
    body = await json_object(request)
    interval = body.get("interval")
    if interval not in _INTERVALS:
        raise fields(400, {"interval": [f"{interval!r} is not one of {', '.join(_INTERVALS)}"]})
    items = await _run(state, _search_request(state, body, required=("item_types", "filter")))
    counts = Counter(_floor(parse_instant(item.properties["acquired"]), interval) for item in items)
    buckets = [{"count": counts[start], "start_time": rfc3339(start)} for start in sorted(counts)]
    return web.json_response({"buckets": buckets, "interval": interval, "utc_offset": "+0h"})


def _search(request: web.Request, account: Account) -> Search:
    return request.app[STATE].searches.get(request.match_info["search_id"], account.user_id)


def _search_request(state: State, body: dict[str, Any], required: Sequence[str]) -> dict[str, Any]:
    missing = {name: ["required field"] for name in required if not body.get(name)}
    if missing:
        raise fields(400, missing)
    item_types = body["item_types"]
    if not isinstance(item_types, list) or not all(isinstance(name, str) for name in item_types):
        raise fields(400, {"item_types": ["must be an array of item types"]})
    unknown = [name for name in item_types if name not in state.catalogue.item_types]
    if unknown:
        raise fields(400, {"item_types": [f"{name!r} is not a valid item type" for name in unknown]})
    known = ("item_types", "filter", "name", "geometry", "__daily_email_enabled")
    return {name: body[name] for name in known if body.get(name) is not None}


async def _run(state: State, body: Mapping[str, Any]) -> list[Item]:
    """Search the catalogue as it is now.

    :raises ApiError: 400: the filter or the geometry is no good.
    """
    catalogue = state.catalogue_at(state.clock.now())
    try:
        return await state.in_thread(
            lambda: catalogue.search(body["item_types"], body["filter"], body.get("geometry"))
        )
    except FilterError as error:
        raise fields(400, {error.field: [error.message]}) from error


async def _results(request: web.Request, search: Search) -> dict[str, Any]:
    """Return a page of a search's results; the first one runs the search."""
    state = request.app[STATE]
    size = integer(request, "_page_size", state.config.search_page_size, 1, _MAX_PAGE_SIZE)
    sort = request.query.get("_sort", _SORTS[0]).lower()
    if sort not in _SORTS:
        raise fields(400, {"_sort": [f"{sort!r} is not one of {', '.join(_SORTS)}"]})
    if "_page" in request.query:
        try:
            cursor = Cursor.from_token(request.query["_page"])
        except (ValueError, TypeError):
            raise fields(400, {"_page": ["is not a page of this search"]}) from None
        items = state.searches.results(cursor.run)
    else:
        items = _sorted(await _run(state, search.request), sort)
        cursor = Cursor(state.searches.keep(items))
        search.last_executed = state.clock.now()
    return _page(state, search, items, cursor, {"_page_size": str(size), "_sort": sort})


def _page(
    state: State, search: Search, items: Sequence[Item], cursor: Cursor, query: Mapping[str, str]
) -> dict[str, Any]:
    every = state.config.empty_page_every
    size = 0 if every and cursor.number % every == 0 else int(query["_page_size"])
    end = cursor.offset + size
    own = f"{state.url}/data/v1/searches/{search.id}/results"

    def link(to: Cursor) -> str:
        return f"{own}?{urlencode({'_page': to.token(), **query})}"

    links = {"_self": link(cursor), "_first": link(Cursor(cursor.run))}
    if end < len(items):
        links["_next"] = link(Cursor(cursor.run, end, cursor.number + 1))
    return {
        "_links": links,
        "features": [item.feature(state.url) for item in items[cursor.offset : end]],
        "type": "FeatureCollection",
    }


def _sorted(items: Sequence[Item], sort: str) -> list[Item]:
    name, _, direction = sort.partition(" ")
    return sorted(
        items,
        key=lambda item: (parse_instant(item.properties[name]), item.id),
        reverse=direction == "desc",
    )


def _floor(moment: datetime, interval: str) -> datetime:
    moment = moment.replace(minute=0, second=0, microsecond=0)
    if interval == "hour":
        return moment
    moment = moment.replace(hour=0)
    if interval == "day":
        return moment
    if interval == "week":
        return moment - timedelta(days=moment.weekday())
    return moment.replace(day=1) if interval == "month" else moment.replace(month=1, day=1)
