"""What a filter of the Data API looks like: one table of types, and a check for each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from planet_provider.builders import checks, spec
from planet_provider.builders import geometry as geometries
from planet_provider.exceptions import InvalidInputError

#: How an item's footprint may lie to the searched geometry; Planet's default is ``intersects``.
RELATIONS = ("intersects", "contains", "within", "disjoint")

#: How deep filters may be nested. Planet documents no limit; this keeps clear of Python's own.
MAX_DEPTH = 50

_BOUNDS = ("gt", "gte", "lt", "lte")

_ConfigCheck = Callable[[Any, str], Any]


def search_filter(
    value: object, field: str = "search_filter", *, max_vertices: int | None = geometries.MAX_VERTICES
) -> dict[str, Any]:
    """Check a filter, and the filters in it.

    :param value: The filter as dict or JSON string. Times in it may be aware datetimes, and geometries have
        any form that :func:`planet_provider.builders.geometry.geometry` takes but a feature reference.
    :param field: Name that errors give the value.
    :param max_vertices: Vertices of a geometry above which to warn; ``None``: never.
    :return: A copy as plain JSON, with times in UTC.
    :raises InvalidInputError: The type or a field is misspelt or missing, a time has no offset,
        bounds leave nothing between them, or filters are nested more than :data:`MAX_DEPTH` deep.
    """
    return _checked(value, field, max_vertices, MAX_DEPTH)


def _checked(value: object, field: str, max_vertices: int | None, depth: int) -> dict[str, Any]:
    if not depth:
        remedy = (
            f"are more filters within each other than {MAX_DEPTH}; And- and OrFilters take many side by side."
        )
        raise InvalidInputError(field.partition(".config")[0], MAX_DEPTH + 1, remedy)
    given = checks.mapping(_parsed(value, field), field)
    kind = given.get("type")
    if not isinstance(kind, str) or not kind.endswith("Filter"):
        raise InvalidInputError(f"{field}.type", kind, f"must be one of {', '.join(TYPES)}.")
    if not checks.is_known(kind, TYPES, f"{field}.type"):
        checks.fields(given, field, required=("type", "config"), optional=tuple(given))
        copied: dict[str, Any] = checks.json_value(given, field)
        return copied
    named = kind in _FIELD_FILTERS
    required = ("type", "field_name", "config") if named else ("type", "config")
    optional = _OPTIONAL.get(kind, ())
    checks.fields(given, field, required=required, optional=optional, elsewhere=_FIELDS)
    built: dict[str, Any] = {"type": kind}
    if named:
        built["field_name"] = checks.text(given["field_name"], f"{field}.field_name")
    built["config"] = _config(kind, given["config"], f"{field}.config", max_vertices, depth - 1)
    if named:
        spec.check_field(built["field_name"], kind, built["config"], field)
    if "relation" in given:
        built["relation"] = checks.choice(given["relation"], RELATIONS, f"{field}.relation")
    added = {name: checks.plain(given[name]) for name in given if name not in built}
    return built | added


def search_geometry(
    value: object, field: str, *, max_vertices: int | None = geometries.MAX_VERTICES
) -> dict[str, Any]:
    """Check the geometry of a GeometryFilter; a feature reference is none."""
    checked = geometries.search_geometry(value, field, max_vertices=max_vertices)
    if geometries.is_reference(checked):
        remedy = "is a feature reference, which Planet takes as the search's geometry, beside the filter."
        raise InvalidInputError(field, checked["content"], remedy)
    return checked


def asset_filters(checked: object, field: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the asset types of each AssetFilter in a filter, with the path to them."""
    if not isinstance(checked, Mapping):
        return
    config = checked.get("config")
    if checked.get("type") == "AssetFilter" and isinstance(config, list):
        yield f"{field}.config", [one for one in config if isinstance(one, str)]
    for index, nested in enumerate(config if isinstance(config, list) else [config]):
        yield from asset_filters(
            nested, f"{field}.config[{index}]" if isinstance(config, list) else f"{field}.config"
        )


def _bounds(
    value: object, field: str, check: _ConfigCheck, known: tuple[str, ...] = _BOUNDS
) -> dict[str, Any]:
    given = checks.fields(value, field, required=(), optional=known)
    if not given:
        raise InvalidInputError(field, {}, f"needs at least one bound: {', '.join(known)}.")
    checked = {name: check(given[name], f"{field}.{name}") for name in known if name in given}
    for pair in (("gt", "gte"), ("lt", "lte")):
        if all(name in checked for name in pair):
            raise InvalidInputError(
                field, sorted(checked), f"has both {pair[0]} and {pair[1]}; keep one of them."
            )
    if not _room_between(checked):
        remedy = "matches nothing: the lower bound reaches the upper one."
        if check is checks.utc_datetime and len(set(checked.values())) == 1:
            remedy += f" {checks.NO_WINDOW}"
        raise InvalidInputError(field, checked, remedy)
    return checked


def _room_between(checked: Mapping[str, Any]) -> bool:
    order = {
        name: checks.time_order(bound) if isinstance(bound, str) else bound for name, bound in checked.items()
    }
    lower, upper = order.get("gt", order.get("gte")), order.get("lt", order.get("lte"))
    if lower is None or upper is None:
        return True
    return bool(lower <= upper if "gte" in order and "lte" in order else lower < upper)


def _parsed(value: object, field: str) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(checks.without_bom(value))
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(
            field, value, f"must be a filter (a dict or a JSON string): {error}."
        ) from None


def _config(kind: str, config: Any, field: str, max_vertices: int | None, depth: int) -> Any:
    nested = partial(_checked, max_vertices=max_vertices, depth=depth)
    if kind == "AndFilter" and config in ([], ()):
        return []
    if kind in ("AndFilter", "OrFilter"):
        return checks.sequence(config, field, nested)
    if kind == "NotFilter":
        return nested(config, field)
    if kind == "GeometryFilter":
        return search_geometry(config, field, max_vertices=max_vertices)
    return _CONFIG_CHECKS[kind](config, field)


def _asset_type(value: object, field: str) -> str:
    checked = checks.asset_type(value, field)
    spec.check_asset_type(checked, field)
    return checked


_CONFIG_CHECKS: dict[str, _ConfigCheck] = {
    "DateRangeFilter": partial(_bounds, check=checks.utc_datetime),
    "RangeFilter": partial(_bounds, check=checks.number),
    "UpdateFilter": partial(_bounds, check=checks.utc_datetime, known=("gt", "gte")),
    "NumberInFilter": partial(checks.sequence, check=checks.number),
    "StringInFilter": partial(checks.sequence, check=checks.text),
    "AssetFilter": partial(checks.sequence, check=_asset_type),
    "PermissionFilter": partial(checks.sequence, check=checks.text),
}

#: The Data API's filters.
TYPES = ("AndFilter", "OrFilter", "NotFilter", "GeometryFilter", *_CONFIG_CHECKS)

_FIELD_FILTERS = frozenset(
    {"DateRangeFilter", "RangeFilter", "UpdateFilter", "GeometryFilter", "NumberInFilter", "StringInFilter"}
)
_OPTIONAL = {"GeometryFilter": ("relation",)}
_FIELDS = ("type", "field_name", "config", "relation")
