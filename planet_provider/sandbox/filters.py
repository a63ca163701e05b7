"""Evaluation of the Data API's search filters.

A filter is compiled once into a predicate and then asked about every item, so that the work on the
filter itself (parsing dates, preparing geometries) is not repeated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from operator import ge, gt, le, lt
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from planet_provider.sandbox.filtervalues import (
    RFC3339,
    FilterError,
    parse_geometry,
    parse_instant,
)
from planet_provider.sandbox.items import Item

MAX_DEPTH = 50

Predicate = Callable[[Item], bool]

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {"gt": gt, "gte": ge, "lt": lt, "lte": le}
_PERMISSION = re.compile(r"assets(\.[A-Za-z0-9_]+)?:download")


def matches(search_filter: Mapping[str, Any], item: Item) -> bool:
    """Tell whether one item passes a filter.

    :raises FilterError: The filter is malformed.
    """
    return compile(search_filter)(item)


def compile(search_filter: Mapping[str, Any], path: str = "filter") -> Predicate:
    """Turn a filter into a predicate.

    :param search_filter: Filter as sent to the Data API: ``{"type", "field_name"?, "config"}``.
    :param path: Where the filter stands in the request, for error messages.
    :raises FilterError: The filter, or one nested in it, is malformed.
    """
    if path.count(".config") > MAX_DEPTH:
        raise FilterError(f"filters may be nested {MAX_DEPTH} deep", path)
    if not isinstance(search_filter, Mapping):
        raise FilterError(f"a filter must be an object, not {search_filter!r}", path)
    kind = search_filter.get("type")
    build = _BUILDERS.get(kind) if isinstance(kind, str) else None
    if build is None:
        raise FilterError(f"{kind!r} is not a filter type, use one of {sorted(_BUILDERS)}", f"{path}.type")
    if "config" not in search_filter:
        raise FilterError(f"{kind} needs a config", f"{path}.config")
    return build(search_filter, path)


def compile_geometry(geometry: Any, relation: str = "intersects", path: str = "geometry") -> Predicate:
    """Turn a GeoJSON geometry into a predicate on footprints.

    ``intersects``, ``within``, ``contains`` and ``disjoint`` speak of the item's footprint: ``within``
    keeps footprints that lie wholly in the geometry, ``contains`` those that cover all of it.

    :raises FilterError: It is no geometry that a search can use.
    """
    target = parse_geometry(geometry, path)
    if relation not in _RELATIONS:
        raise FilterError(
            f"{relation!r} is not a relation, use one of {sorted(_RELATIONS)}",
            f"{path.removesuffix('.config')}.relation",
        )
    return _RELATIONS[relation](target)


def _intersects(target: BaseGeometry) -> Predicate:
    shapely.prepare(target)
    return lambda item: bool(target.intersects(item.shape))


def _within(target: BaseGeometry) -> Predicate:
    shapely.prepare(target)
    return lambda item: bool(target.contains(item.shape))


def _contains(target: BaseGeometry) -> Predicate:
    shapely.prepare(target)
    return lambda item: bool(target.within(item.shape))


def _disjoint(target: BaseGeometry) -> Predicate:
    shapely.prepare(target)
    return lambda item: not target.intersects(item.shape)


_RELATIONS: dict[str, Callable[[BaseGeometry], Predicate]] = {
    "intersects": _intersects,
    "within": _within,
    "contains": _contains,
    "disjoint": _disjoint,
}


def _nested(search_filter: Mapping[str, Any], path: str) -> list[Predicate]:
    return [
        compile(nested, f"{path}.config.{index}")
        for index, nested in enumerate(_array(search_filter["config"], f"{path}.config"))
    ]


def _and(search_filter: Mapping[str, Any], path: str) -> Predicate:
    nested = _nested(search_filter, path)
    return lambda item: all(predicate(item) for predicate in nested)


def _or(search_filter: Mapping[str, Any], path: str) -> Predicate:
    nested = _nested(search_filter, path)
    return lambda item: any(predicate(item) for predicate in nested)


def _not(search_filter: Mapping[str, Any], path: str) -> Predicate:
    nested = compile(search_filter["config"], f"{path}.config")
    return lambda item: not nested(item)


def _bounds(
    search_filter: Mapping[str, Any],
    path: str,
    read: Callable[[Any, str], Any],
    allowed: Sequence[str] = tuple(_COMPARISONS),
) -> Callable[[Any], bool]:
    config = search_filter["config"]
    if not isinstance(config, Mapping) or not config:
        raise FilterError(f"{config!r} must be an object with one of {list(allowed)}", f"{path}.config")
    for name in config:
        if name not in allowed:
            raise FilterError(f"{name!r} is not one of {list(allowed)}", f"{path}.config.{name}")
    limits = [(_COMPARISONS[name], read(value, f"{path}.config.{name}")) for name, value in config.items()]
    return lambda value: all(compare(value, limit) for compare, limit in limits)


def _date_range(search_filter: Mapping[str, Any], path: str) -> Predicate:
    name, inside = _field(search_filter, path), _bounds(search_filter, path, _instant)

    def predicate(item: Item) -> bool:
        value = item.properties.get(name)
        return (
            isinstance(value, str) and RFC3339.fullmatch(value) is not None and inside(parse_instant(value))
        )

    return predicate


def _range(search_filter: Mapping[str, Any], path: str) -> Predicate:
    name, inside = _field(search_filter, path), _bounds(search_filter, path, _number)

    def predicate(item: Item) -> bool:
        value = item.properties.get(name)
        return _is_number(value) and inside(value)

    return predicate


def _update(search_filter: Mapping[str, Any], path: str) -> Predicate:
    name = _field(search_filter, path)
    inside = _bounds(search_filter, path, _instant, ("gt", "gte"))
    return lambda item: name in item.updates and inside(parse_instant(item.updates[name]))


def _geometry_filter(search_filter: Mapping[str, Any], path: str) -> Predicate:
    return compile_geometry(
        search_filter["config"],
        search_filter.get("relation", "intersects"),
        f"{path}.config",
    )


def _number_in(search_filter: Mapping[str, Any], path: str) -> Predicate:
    name, values = _field(search_filter, path), search_filter["config"]
    numbers = {
        _number(value, f"{path}.config.{index}")
        for index, value in enumerate(_array(values, f"{path}.config", filled=True))
    }

    def predicate(item: Item) -> bool:
        value = item.properties.get(name)
        return _is_number(value) and value in numbers

    return predicate


def _string_in(search_filter: Mapping[str, Any], path: str) -> Predicate:
    name, config = _field(search_filter, path), f"{path}.config"
    strings = {
        str(value).lower() if isinstance(value, bool) else _string(value, f"{config}.{index}")
        for index, value in enumerate(_array(search_filter["config"], config, filled=True))
    }
    folded = {text.lower() for text in strings}

    def predicate(item: Item) -> bool:
        value = item.id if name == "id" else item.properties.get(name)
        if isinstance(value, bool):
            return str(value).lower() in folded
        return isinstance(value, str) and value in strings

    return predicate


def _asset(search_filter: Mapping[str, Any], path: str) -> Predicate:
    wanted = frozenset(_strings(search_filter, path))
    return lambda item: not wanted.isdisjoint(item.assets)


def _permission(search_filter: Mapping[str, Any], path: str) -> Predicate:
    wanted = _strings(search_filter, path)
    for index, name in enumerate(wanted):
        if _PERMISSION.fullmatch(name) is None:
            raise FilterError(
                f"{name!r} is not a permission, use assets:download or assets.<asset type>:download",
                f"{path}.config.{index}",
            )
    named = frozenset(wanted)
    if "assets:download" in named:
        return lambda item: bool(item.permissions)
    return lambda item: not named.isdisjoint(item.permissions)


def _field(search_filter: Mapping[str, Any], path: str) -> str:
    return _string(search_filter.get("field_name"), f"{path}.field_name")


def _array(value: Any, path: str, *, filled: bool = False) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)) or (filled and not value):
        raise FilterError(f"{value!r} must be {'a non-empty' if filled else 'an'} array", path)
    return value


def _strings(search_filter: Mapping[str, Any], path: str) -> list[str]:
    values = _array(search_filter["config"], f"{path}.config", filled=True)
    return [_string(value, f"{path}.config.{index}") for index, value in enumerate(values)]


def _string(value: Any, path: str) -> str:
    if not isinstance(value, str) or not value:
        raise FilterError(f"{value!r} must be a non-empty string", path)
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(value: Any, path: str) -> float:
    if not _is_number(value):
        raise FilterError(f"{value!r} must be a number", path)
    return float(value)


def _instant(value: Any, path: str) -> datetime:
    try:
        return parse_instant(_string(value, path))
    except (ValueError, OverflowError) as error:
        if isinstance(error, FilterError):
            raise
        raise FilterError(str(error), path) from error


_BUILDERS: dict[str, Callable[[Mapping[str, Any], str], Predicate]] = {
    "AndFilter": _and,
    "OrFilter": _or,
    "NotFilter": _not,
    "DateRangeFilter": _date_range,
    "RangeFilter": _range,
    "UpdateFilter": _update,
    "GeometryFilter": _geometry_filter,
    "NumberInFilter": _number_in,
    "StringInFilter": _string_in,
    "AssetFilter": _asset,
    "PermissionFilter": _permission,
}
