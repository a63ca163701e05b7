"""Values inside search filters: instants and geometries, and the error for what is malformed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

from shapely import make_valid
from shapely.errors import ShapelyError
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from planet_provider.sandbox.footprints import wrap_longitudes

_GEOMETRY_TYPES = frozenset(
    {"Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon"},
)
RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d\d):(\d\d))",
)


class FilterError(ValueError):
    """A search filter that Planet would answer with 400.

    :param message: What is wrong, with the offending value.
    :param field: Path of the offending field, for example ``filter.config.0.config.gte``.
    """

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message, field)
        self.message = message
        self.field = field

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


@lru_cache(maxsize=65_536)
def parse_instant(text: str) -> datetime:
    """Parse an RFC 3339 date-time into UTC; finer than a microsecond is cut.

    :raises ValueError: Not RFC 3339, or without an offset from UTC.
    """
    found = RFC3339.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not an RFC 3339 date-time with an offset, like 2024-01-31T00:00:00Z")
    *numbers, fraction, _zulu, sign, hours, minutes = found.groups()
    year, month, day, hour, minute, second = (int(number) for number in numbers)
    micros = int((fraction or "").ljust(6, "0")[:6])
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    return datetime(year, month, day, hour, minute, second, micros, timezone(offset)).astimezone(timezone.utc)


def parse_geometry(geometry: Any, path: str) -> BaseGeometry:
    """Read a GeoJSON geometry, mended and cut at the antimeridian.

    :raises FilterError: It is no geometry, is empty, or lies off the globe.
    """
    kind = geometry.get("type") if isinstance(geometry, Mapping) else None
    if kind not in _GEOMETRY_TYPES:
        raise FilterError(f"{kind!r} is not a geometry type, use one of {sorted(_GEOMETRY_TYPES)}", path)
    try:
        target = shape(geometry)
        west, south, east, north = target.bounds
        on_globe = -540 <= west <= east <= 540 and -90 <= south <= north <= 90
    except (ShapelyError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise FilterError(f"malformed {kind}: {error}", f"{path}.coordinates") from error
    if not on_globe:
        raise FilterError(f"{kind} is empty or has coordinates off the globe", f"{path}.coordinates")
    return wrap_longitudes(target if target.is_valid else _repaired(target))


def _repaired(target: BaseGeometry) -> BaseGeometry:
    """Return an invalid geometry as a search takes it: what its parts share counts once, not as a hole."""
    structured = make_valid(target, method="structure")
    # It leaves nothing of a hole that stands before its shell.
    return make_valid(target) if structured.is_empty else structured
