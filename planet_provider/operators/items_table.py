"""The first items of a search, as a table for the task's log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planet_provider.wording import counted

#: Items that a task's log shows.
SHOWN_ITEMS = 10

_HEADER = ("id", "acquired", "cloud cover", "footprint km²")


def items_table(items: Sequence[dict[str, Any]], count: int) -> str:
    """Return a table of items: id, acquired (UTC), cloud cover and the footprint's area.

    :param items: Items of a search, as Planet answers.
    :param count: How many were found in all.
    """
    rows = [_HEADER, *map(_row, items)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    if count > len(items):
        lines.append(f"and {count - len(items):,} more")
    title = "The items:" if count <= len(items) else f"The first {counted(len(items), 'item')}:"
    return "\n".join([title, *lines])


def _row(item: dict[str, Any]) -> tuple[str, str, str, str]:
    properties = item.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    cover = properties.get("cloud_cover")
    return (
        str(item.get("id")),
        str(properties.get("acquired") or "?")[:19],
        f"{cover:.0%}" if isinstance(cover, (int, float)) else "?",
        _area(item.get("geometry")),
    )


def _area(footprint: Any) -> str:
    """Return a footprint's area; "?" if it can't be understood, since a log line must not fail a search."""
    # Deferred: shapely and pyproj are heavy, and DAGs are parsed often.
    from planet_provider.ordering.estimate import footprint_km2

    area = footprint_km2(footprint)
    return "?" if area is None else f"{area:,.1f}"
