"""Telling which condition of a search that found nothing excludes most."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planet_provider.client.http.session import PlanetSession


#: Conditions that are counted: one request each, or two.
MAX_CONDITIONS = 8

_LONGEST = 100

log = logging.getLogger(__name__)

Condition = Mapping[str, Any]


def log_why_empty(
    session: PlanetSession, search: Mapping[str, Any] | None, search_id: str | None = None
) -> None:
    """Count what a search would find without one of its conditions, and log it. It charges no quota.

    :param session: Session with Planet; up to 17 requests of class ``data.other``.
    :param search: The search's body: ``item_types``, ``filter`` and maybe ``geometry``, beside the filter.
    :param search_id: The saved search, if there is no body.
    """

    from planet_provider.client.api import data

    try:
        why = _explained(session, search or session.send(data.get_search(str(search_id))))
    except Exception as error:  # a saved search may have a filter of any shape
        why = f"Which of its conditions excludes most can't be told: {type(error).__name__}: {error}"
    log.info("The search finds nothing. %s", why)


def _explained(session: PlanetSession, search: Mapping[str, Any]) -> str:
    item_types = search["item_types"]
    conditions = list(_conditions(search["filter"]))
    if search.get("geometry") is not None:
        conditions.append({"type": "GeometryFilter", "config": search["geometry"]})
    if not conditions:
        return f"Planet lists no {' and no '.join(item_types)} at all for this account."
    reminders = [_bounds(one["config"]) for one in conditions if _is_geometry(one)]
    return " ".join([_counted(session, item_types, conditions), *filter(None, reminders)])


def _counted(session: PlanetSession, item_types: Sequence[str], conditions: list[Condition]) -> str:
    asked = range(min(len(conditions), MAX_CONDITIONS))
    without = {
        index: _count(session, item_types, conditions[:index] + conditions[index + 1 :]) for index in asked
    }
    most = max(without, key=lambda index: without[index])
    if without[most]:
        counts = ", ".join(f"{count} without {_named(conditions[index])}" for index, count in without.items())
        return f"Most are excluded by {_named(conditions[most])}. The search would find {counts}."
    alone = {index: _count(session, item_types, [conditions[index]]) for index in asked}
    least = min(alone, key=lambda index: alone[index])
    counts = ", ".join(f"{count} by {_named(conditions[index])}" for index, count in alone.items())
    return f"Most are excluded by {_named(conditions[least])}. Each condition alone would find {counts}."


def _count(session: PlanetSession, item_types: Sequence[str], conditions: Sequence[Condition]) -> int:
    # A feature reference stands beside the filter.
    from planet_provider.client.api import data

    beside = [one["config"] for one in conditions if "field_name" not in one and _is_geometry(one)]
    within = [dict(one) for one in conditions if "field_name" in one or not _is_geometry(one)]
    wanted = {"type": "AndFilter", "config": within}
    call = data.stats(item_types, wanted, "year", geometry=beside[0] if beside else None)
    return sum(bucket["count"] for bucket in session.send(call)["buckets"])


def _is_geometry(condition: Condition) -> bool:
    return condition.get("type") == "GeometryFilter"


def _conditions(search_filter: Condition) -> Iterator[Condition]:
    """Yield what all has to hold: the filters within AndFilters."""
    if search_filter.get("type") == "AndFilter":
        for nested in search_filter["config"]:
            yield from _conditions(nested)
    else:
        yield search_filter


def _named(condition: Condition) -> str:
    config = condition.get("config")
    if _is_geometry(condition):
        return "the geometry"
    named = str(condition.get("field_name", condition.get("type")))
    if "field_name" in condition and isinstance(config, Mapping):
        return f"{named} {' and '.join(f'{bound} {value}' for bound, value in config.items())}"
    text = f"{named} {json.dumps(config)}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _bounds(geometry: Mapping[str, Any]) -> str:
    positions = list(_positions(geometry.get("coordinates")))
    if not positions:
        return ""
    (west, east), (south, north) = ((min(axis), max(axis)) for axis in zip(*positions, strict=True))
    return (
        f"The area runs from longitude {west:g} to {east:g} and from latitude {south:g} to {north:g}: GeoJSON has "
        "the longitude first."
    )


def _positions(coordinates: Any) -> Iterator[tuple[float, float]]:
    if isinstance(coordinates, list) and coordinates:
        if isinstance(coordinates[0], list):
            for nested in coordinates:
                yield from _positions(nested)
        else:
            yield coordinates[0], coordinates[1]
