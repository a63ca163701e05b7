"""Filters of the Data API's searches: building and combining them.

Every function returns plain JSON. Times are written in UTC; one without an offset is refused. An area of very
many vertices is warned of where it is given, and not again where filters are joined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from planet_provider.builders import checks, filter_checks
from planet_provider.builders import geometry as geometries
from planet_provider.exceptions import InvalidInputError

Filter = dict[str, Any]

RELATIONS = filter_checks.RELATIONS

search_filter = filter_checks.search_filter


def and_filter(*filters: Mapping[str, Any]) -> Filter:
    """Match items that match all the filters; without any, every item."""
    return search_filter({"type": "AndFilter", "config": filters}, "and_filter", max_vertices=None)


def or_filter(*filters: Mapping[str, Any]) -> Filter:
    """Match items that match at least one of the filters."""
    return search_filter({"type": "OrFilter", "config": filters}, "or_filter", max_vertices=None)


def not_filter(negated: Mapping[str, Any]) -> Filter:
    """Match items that don't match the filter."""
    return search_filter({"type": "NotFilter", "config": negated}, "not_filter", max_vertices=None)


def empty_filter() -> Filter:
    """Match every item."""
    return and_filter()


def date_range_filter(
    field_name: str,
    *,
    gt: datetime | str | None = None,
    gte: datetime | str | None = None,
    lt: datetime | str | None = None,
    lte: datetime | str | None = None,
) -> Filter:
    """Match items by a time among their properties, e.g. ``acquired`` or ``published``.

    :param gt: Later than this aware datetime, or ISO 8601 string with an offset.
    :param gte: At this time or later; not along with ``gt``.
    :param lt: Earlier than this time.
    :param lte: At this time or earlier; not along with ``lt``.
    """
    return _field_filter("DateRangeFilter", field_name, checks.given(gt=gt, gte=gte, lt=lt, lte=lte))


def range_filter(
    field_name: str,
    *,
    gt: float | None = None,
    gte: float | None = None,
    lt: float | None = None,
    lte: float | None = None,
) -> Filter:
    """Match items by a number among their properties, e.g. ``cloud_cover`` (0 to 1) or ``clear_percent``.

    :param gt: Greater than this number.
    :param gte: At least this number; not along with ``gt``.
    :param lt: Less than this number.
    :param lte: At most this number; not along with ``lt``.
    """
    return _field_filter("RangeFilter", field_name, checks.given(gt=gt, gte=gte, lt=lt, lte=lte))


def update_filter(
    field_name: str, *, gt: datetime | str | None = None, gte: datetime | str | None = None
) -> Filter:
    """Match items of which a property was changed by publishing them again.

    :param gt: Changed after this time.
    :param gte: Changed at this time or after; not along with ``gt``.
    """
    return _field_filter("UpdateFilter", field_name, checks.given(gt=gt, gte=gte))


def geometry_filter(
    geometry: object, *, relation: str | None = None, max_vertices: int = geometries.MAX_VERTICES
) -> Filter:
    """Match items by their footprint.

    :param geometry: As :func:`planet_provider.builders.geometry.geometry` takes it, but no feature reference:
        Planet takes those beside the filter, see :func:`criteria`.
    :param relation: One of :data:`RELATIONS`.
    :param max_vertices: Vertices above which to warn, closing ones included.
    """
    area = filter_checks.search_geometry(geometry, "geometry", max_vertices=max_vertices)
    built = {"type": "GeometryFilter", "field_name": "geometry", "config": area}
    if relation is not None:
        built["relation"] = checks.choice(relation, RELATIONS, "relation")
    return built


def number_in_filter(field_name: str, values: Sequence[float]) -> Filter:
    """Match items of which a property is one of these numbers, e.g. ``gsd`` in metres."""
    return _field_filter("NumberInFilter", field_name, values)


def string_in_filter(field_name: str, values: Sequence[str]) -> Filter:
    """Match items of which a property is one of these strings; a boolean is ``"true"`` or ``"false"``."""
    return _field_filter("StringInFilter", field_name, values)


def asset_filter(asset_types: Sequence[str]) -> Filter:
    """Match items that have at least one of these assets."""
    return search_filter({"type": "AssetFilter", "config": asset_types}, "asset_filter")


def permission_filter() -> Filter:
    """Match items of which the account may download an asset."""
    return search_filter({"type": "PermissionFilter", "config": ["assets:download"]}, "permission_filter")


def std_quality_filter() -> Filter:
    """Match items of standard quality."""
    return string_in_filter("quality_category", ["standard"])


def combine(
    search_filter: Mapping[str, Any] | str | None = None,
    geometry: object = None,
    acquired_start: datetime | str | None = None,
    acquired_end: datetime | str | None = None,
    *,
    published_start: datetime | str | None = None,
    published_end: datetime | str | None = None,
    relation: str | None = None,
    max_vertices: int | None = None,
) -> Filter:
    """Join what is given into one AndFilter; an empty one, which matches every item, if nothing is.

    Windows are half-open, [start, end), so those that follow each other share no item and miss none.

    :param search_filter: A filter of the Data API, as dict or JSON string.
    :param geometry: As for :func:`geometry_filter`.
    :param acquired_start: Acquired at this time or later; aware datetime or ISO 8601 string with an offset.
    :param acquired_end: Acquired before this time; later than the start.
    :param published_start: Published at this time or later.
    :param published_end: Published before this time; later than the start.
    :param relation: How footprints lie to the geometry, one of :data:`RELATIONS`.
    :param max_vertices: Vertices of a geometry above which to warn, closing ones included; by default
        :data:`planet_provider.builders.geometry.MAX_VERTICES` for ``geometry``, and the filter's builder has
        warned of its own.
    :raises InvalidInputError: One of them is malformed, or a window is empty.
    """
    parts = []
    if search_filter is not None:
        parts.append(filter_checks.search_filter(search_filter, "search_filter", max_vertices=max_vertices))
    if geometry is not None:
        parts.append(geometry_filter(geometry, relation=relation, max_vertices=_bound(max_vertices)))
    elif relation is not None:
        remedy = "says how items lie to a geometry; pass a GeoJSON geometry too, or leave it out."
        raise InvalidInputError("relation", relation, remedy)
    parts += _window("acquired", acquired_start, acquired_end)
    parts += _window("published", published_start, published_end)
    return {"type": "AndFilter", "config": parts}


def criteria(
    search_filter: Mapping[str, Any] | str | None = None,
    geometry: object = None,
    acquired_start: datetime | str | None = None,
    acquired_end: datetime | str | None = None,
    *,
    published_start: datetime | str | None = None,
    published_end: datetime | str | None = None,
    relation: str | None = None,
    max_vertices: int | None = None,
) -> dict[str, Any]:
    """Join what is given, with a geometry of any form.

    A feature reference stands beside the filter, for Planet takes none inside; GeoJSON becomes part of it.

    :param search_filter: As for :func:`combine`, and so are the others.
    :param geometry: As :func:`planet_provider.builders.geometry.geometry` takes it.
    :return: ``{"search_filter": filter}``, with ``"geometry"`` too where it is a reference: parameters of
        :func:`planet_provider.client.api.data.quick_search`.
    :raises InvalidInputError: One of them is malformed, or a window is empty.
    """
    search_filter, geometry = checks.read_text(search_filter), checks.read_text(geometry)
    area = None if geometry is None else geometries.geometry(geometry, "geometry", max_vertices=None)
    reference = area if area is not None and geometries.is_reference(area) else None
    combined = combine(
        search_filter,
        None if reference else area,
        acquired_start,
        acquired_end,
        published_start=published_start,
        published_end=published_end,
        relation=relation,
        max_vertices=max_vertices,
    )
    return {"search_filter": combined} | checks.given(geometry=reference)


def _bound(max_vertices: int | None) -> int:
    return geometries.MAX_VERTICES if max_vertices is None else max_vertices


def _window(name: str, start: datetime | str | None, end: datetime | str | None) -> list[Filter]:
    given = {"gte": (start, f"{name}_start"), "lt": (end, f"{name}_end")}
    config = {
        bound: checks.utc_datetime(value, field)
        for bound, (value, field) in given.items()
        if value is not None
    }
    if not config:
        return []
    if (
        start is not None
        and end is not None
        and checks.time_order(config["gte"]) >= checks.time_order(config["lt"])
    ):
        remedy = f"must be later than {name}_start, {config['gte']}."
        if config["gte"] == config["lt"]:
            remedy = f"is the same as {name}_start, so nothing lies between. {checks.NO_WINDOW}"
        raise InvalidInputError(f"{name}_end", config["lt"], remedy)
    return [{"type": "DateRangeFilter", "field_name": name, "config": config}]


def _field_filter(kind: str, field_name: str, config: object) -> Filter:
    return search_filter({"type": kind, "field_name": field_name, "config": config}, kind)
