"""The Data API's endpoints, as functions that return a :class:`~planet_provider.client.call.Call`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

from planet_provider.builders import checks, filter_checks, spec
from planet_provider.client.call import Call
from planet_provider.client.parse import (
    JSONObject,
    check_fields,
    json_object,
    next_link,
    nothing,
)
from planet_provider.exceptions import InvalidInputError

_DATA = "/data/v1"

#: Features on a page of a search; Planet's documented maximum.
PAGE_SIZE = 250

Sort = Literal["published desc", "published asc", "acquired desc", "acquired asc"]
SORTS: tuple[str, ...] = ("published desc", "published asc", "acquired desc", "acquired asc")

Interval = Literal["hour", "day", "week", "month", "year"]
INTERVALS: tuple[str, ...] = ("hour", "day", "week", "month", "year")

ListSort = Literal["created desc", "created asc"]
LIST_SORTS: tuple[str, ...] = ("created desc", "created asc")

SearchType = Literal["any", "saved", "quick"]
SEARCH_TYPES: tuple[str, ...] = ("any", "saved", "quick")

#: How Planet finds out an item's coverage: from its UDM2, which it activates for that, or by an estimate.
COVERAGE_MODES: tuple[str, ...] = ("UDM2", "estimate")


def quick_search(
    item_types: Iterable[str],
    search_filter: Mapping[str, Any],
    *,
    geometry: Mapping[str, Any] | None = None,
    name: str | None = None,
    sort: str | None = None,
    page_size: int = PAGE_SIZE,
) -> Call[list[JSONObject]]:
    """Search the catalogue, a page of items (GeoJSON Features) at a time.

    :param item_types: At least one, e.g. ``["PSScene"]``.
    :param search_filter: As :mod:`planet_provider.builders.filters` builds it. It is sent as it is: for one
        written by hand, :func:`planet_provider.builders.filters.search_filter` is the check.
    :param geometry: Area of interest, GeoJSON or feature reference, beside the filter.
    :param name: Name of the search.
    :param sort: One of :data:`SORTS`; Planet's own default is ``published desc``.
    :param page_size: Features a page, 1 to 250.
    """
    body = _search_body(item_types, search_filter, geometry, name)
    return Call(
        method="POST",
        path=f"{_DATA}/quick-search",
        rate_class="data.other",
        parse=_features,
        params=_page_params(sort, page_size),
        json=body,
        next_page=_next_page,
    )


def watched_search(*args: Any, **kwargs: Any) -> Call[list[Any]]:
    """Search as :func:`quick_search` does, with the rows that can't be read: a single one must not hide others."""
    return replace(quick_search(*args, **kwargs), parse=_rows)


def create_search(
    name: str,
    item_types: Iterable[str],
    search_filter: Mapping[str, Any],
    *,
    geometry: Mapping[str, Any] | None = None,
    enable_email: bool = False,
) -> Call[JSONObject]:
    """Save a search. Not repeated after an unclear answer, since that might save it twice.

    :param name: The search's name; others may have it too.
    :param item_types: As for :func:`quick_search`, and so are the filter and the geometry.
    :param enable_email: Have Planet mail new results daily.
    """
    return Call(
        method="POST",
        path=f"{_DATA}/searches",
        rate_class="data.other",
        parse=_saved,
        json=_saved_body(name, item_types, search_filter, geometry, enable_email),
        repeatable=False,
    )


def update_search(
    search_id: str,
    name: str,
    item_types: Iterable[str],
    search_filter: Mapping[str, Any],
    *,
    geometry: Mapping[str, Any] | None = None,
    enable_email: bool = False,
) -> Call[JSONObject]:
    """Replace a saved search; the parameters are those of :func:`create_search`."""
    body = _saved_body(name, item_types, search_filter, geometry, enable_email)
    return Call(method="PUT", path=_search(search_id), rate_class="data.other", parse=_saved, json=body)


def get_search(search_id: str) -> Call[JSONObject]:
    """Get a saved search."""
    return Call(method="GET", path=_search(search_id), rate_class="data.other", parse=_saved)


def list_searches(
    *, search_type: SearchType = "any", sort: ListSort | None = None, page_size: int = PAGE_SIZE
) -> Call[list[JSONObject]]:
    """List searches, a page at a time.

    :param search_type: ``saved``, ``quick`` or ``any``.
    :param sort: One of :data:`LIST_SORTS`; Planet's own default is ``created desc``.
    :param page_size: Searches a page, 1 to 250.
    """
    kind = checks.choice(search_type, SEARCH_TYPES, "search_type")
    return Call(
        method="GET",
        path=f"{_DATA}/searches",
        rate_class="data.other",
        parse=_searches,
        params=(("search_type", kind), *_page_params(sort, page_size, LIST_SORTS)),
        next_page=_next_page,
    )


def run_search(
    search_id: str, *, sort: str | None = None, page_size: int = PAGE_SIZE
) -> Call[list[JSONObject]]:
    """Run a saved search, a page of items at a time."""
    return Call(
        method="GET",
        path=f"{_search(search_id)}/results",
        rate_class="data.other",
        parse=_features,
        params=_page_params(sort, page_size),
        next_page=_next_page,
    )


def delete_search(search_id: str) -> Call[None]:
    """Delete a saved search. Where an answer was lost and the search is gone at the repetition, it is done.

    :param search_id: As Planet gave it.
    """
    return Call(
        method="DELETE",
        path=_search(search_id),
        rate_class="data.other",
        parse=nothing,
        not_found_is_success=True,
    )


def stats(
    item_types: Iterable[str],
    search_filter: Mapping[str, Any],
    interval: str,
    *,
    geometry: Mapping[str, Any] | None = None,
) -> Call[JSONObject]:
    """Count matching items by the time they were acquired at.

    :param item_types: At least one, e.g. ``["PSScene"]``.
    :param search_filter: As :mod:`planet_provider.builders.filters` builds it.
    :param interval: Width of a bucket, one of :data:`INTERVALS`.
    :param geometry: Area of interest beside the filter: a feature reference, which Planet takes in no filter.
    """
    if interval not in INTERVALS:
        raise InvalidInputError("interval", interval, f"must be one of {', '.join(INTERVALS)}.")
    body = _search_body(item_types, search_filter, geometry, None) | {"interval": interval}
    return Call(method="POST", path=f"{_DATA}/stats", rate_class="data.other", parse=_stats, json=body)


def item(item_type: str, item_id: str) -> Call[JSONObject]:
    """Get an item (a GeoJSON Feature)."""
    return Call(method="GET", path=_item(item_type, item_id), rate_class="data.other", parse=_feature)


def coverage(
    item_type: str,
    item_id: str,
    geometry: Mapping[str, Any],
    *,
    mode: str | None = None,
    band: str | None = None,
) -> Call[JSONObject]:
    """Estimate how clear an item is within a geometry.

    :param geometry: GeoJSON geometry or feature reference.
    :param mode: One of :data:`COVERAGE_MODES`. ``UDM2`` is exact, and may answer the status ``activating``:
        ask again later.
    :param band: Band of the UDM2, e.g. ``clear``, ``cloud`` or ``snow_ice``.
    :return: E.g. ``{"status": "complete", "clear_percent": 97}``.
    """
    wanted = checks.given(
        mode=None if mode is None else checks.choice(mode, COVERAGE_MODES, "mode", fold_case=True),
        band=None if band is None else checks.text(band, "band"),
    )
    return Call(
        method="POST",
        path=f"{_item(item_type, item_id)}/coverage",
        rate_class="data.other",
        parse=_coverage,
        params=tuple(wanted.items()),
        json={"geometry": dict(checks.mapping(geometry, "geometry"))},
    )


def assets(item_type: str, item_id: str) -> Call[dict[str, JSONObject]]:
    """Get an item's assets by asset type. Those that are active hold freshly signed links."""
    return Call(
        method="GET", path=f"{_item(item_type, item_id)}/assets", rate_class="data.other", parse=_assets
    )


def activate(link: str) -> Call[None]:
    """Ask for an asset to be made ready for download. Harmless to repeat.

    :param link: The asset's ``_links.activate``.
    """
    return Call(method="GET", path=link, rate_class="data.activate", parse=nothing)


def _item(item_type: str, item_id: str) -> str:
    return f"{_DATA}/item-types/{checks.item_type(item_type)}/items/{checks.item_id(item_id)}"


def _search(search_id: str) -> str:
    return f"{_DATA}/searches/{checks.search_id(search_id)}"


def _search_body(
    item_types: Iterable[str],
    search_filter: Mapping[str, Any],
    geometry: Mapping[str, Any] | None,
    name: str | None,
) -> JSONObject:
    body: JSONObject = {
        "item_types": checks.item_types(item_types),
        "filter": dict(checks.mapping(search_filter, "search_filter")),
    }
    for item_type in body["item_types"]:
        spec.check_item_type(item_type, "item_types")
    for path, asset_types in filter_checks.asset_filters(body["filter"], "search_filter"):
        spec.check_assets_of(asset_types, body["item_types"], path)
    if geometry is not None:
        body["geometry"] = dict(checks.mapping(geometry, "geometry"))
    if name is not None:
        body["name"] = checks.text(name, "name")
    return body


def _saved_body(
    name: object,
    item_types: Iterable[str],
    search_filter: Mapping[str, Any],
    geometry: Mapping[str, Any] | None,
    enable_email: object,
) -> JSONObject:
    return _search_body(item_types, search_filter, geometry, checks.text(name, "name")) | {
        "__daily_email_enabled": checks.flag(enable_email, "enable_email")
    }


def _page_params(
    sort: str | None, page_size: int, sorts: tuple[str, ...] = SORTS
) -> tuple[tuple[str, str], ...]:
    if checks.whole_number(page_size, "page_size") > PAGE_SIZE:
        raise InvalidInputError("page_size", page_size, f"must be from 1 to {PAGE_SIZE}.")
    if sort is None:
        return (("_page_size", str(page_size)),)
    if sort not in sorts:
        raise InvalidInputError("sort", sort, f"must be one of {', '.join(sorts)}.")
    return ("_sort", sort), ("_page_size", str(page_size))


def _features(body: Any) -> list[JSONObject]:
    return [_feature(feature) for feature in _rows(body)]


def _rows(body: Any) -> list[Any]:
    rows = json_object(body)["features"]
    if not isinstance(rows, list):
        raise TypeError(f"expected a list of features, got {type(rows).__name__}")
    return rows


def _feature(body: Any) -> JSONObject:
    feature = check_fields(json_object(body), geometry=dict)
    if not isinstance(feature["id"], str) or not isinstance(feature["properties"]["item_type"], str):
        raise TypeError("an item's id and item_type must be strings")
    return feature


def _searches(body: Any) -> list[JSONObject]:
    return [_saved(search) for search in json_object(body)["searches"]]


def _saved(body: Any) -> JSONObject:
    search = json_object(body)
    if not isinstance(search["id"], str):
        raise TypeError("a search's id must be a string")
    return search


def _stats(body: Any) -> JSONObject:
    found = check_fields(json_object(body), interval=str, utc_offset=str)
    for bucket in found["buckets"]:
        if isinstance(bucket["count"], bool) or not isinstance(bucket["count"], int):
            raise TypeError("a bucket's count must be a whole number")
        if not isinstance(bucket["start_time"], str):
            raise TypeError("a bucket's start_time must be a string")
    return found


def _coverage(body: Any) -> JSONObject:
    found = check_fields(json_object(body), status=str)
    for name, value in found.items():
        if name.endswith("_percent"):
            check_fields({name: value}, **{name: (int, float)})
    return found


def _assets(body: Any) -> dict[str, JSONObject]:
    return {
        asset_type: check_fields(
            json_object(asset), _links=dict, _permissions=list, status=str, md5_digest=str, location=str
        )
        for asset_type, asset in json_object(body).items()
    }


def _next_page(body: Any) -> str | None:
    return next_link(body, "_next")
