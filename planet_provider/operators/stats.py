"""Counting what a search would find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from planet_provider.builders import checks, filters
from planet_provider.exceptions import InvalidInputError
from planet_provider.hooks.task_errors import task_errors
from planet_provider.hooks.templates import area_name, text_name
from planet_provider.operators.base import PlanetOperator
from planet_provider.wording import counted

if TYPE_CHECKING:
    from airflow.sdk import Context

#: Buckets that an XCom may hold: some 60 bytes each.
MAX_BUCKETS = 10_000


class PlanetSearchStatsOperator(PlanetOperator):
    """Count the items that a search would find, by the time they were acquired at. It charges no quota.

    :param item_types: e.g. ``["PSScene"]``. (templated)
    :param interval: Width of a bucket: ``hour``, ``day``, ``week``, ``month`` or ``year``. (templated)
    :param search_filter: Filter of the Data API, as :mod:`planet_provider.builders.filters` builds it.
        (templated)
    :param geometry: Area of interest, EPSG:4326, (longitude, latitude) in degrees: GeoJSON, a path to a
        GeoJSON file, or a Planet feature reference. (templated)
    :param acquired_start: Only items acquired at or after this time; RFC 3339 with an offset, or an aware
        datetime. (templated)
    :param acquired_end: Only items acquired before this time. (templated)
    :param planet_conn_id: Airflow connection of type ``planet``. (templated)
    :return: XCom ``{count, interval, utc_offset, buckets}``, each key also as an XCom of its own; ``buckets``
        is ``[{"start_time": ..., "count": ...}, ...]``, without those that hold nothing.
    :raises InvalidInputError: More than 10,000 buckets, which an XCom is not made for.
    """

    template_fields: Sequence[str] = (
        "item_types",
        "interval",
        "search_filter",
        "geometry",
        "acquired_start",
        "acquired_end",
        "planet_conn_id",
    )
    template_fields_renderers = {"search_filter": "json", "geometry": "json"}  # noqa: RUF012

    def __init__(
        self,
        *,
        item_types: Sequence[str],
        interval: str = "month",
        search_filter: Mapping[str, Any] | None = None,
        geometry: Any = None,
        acquired_start: Any = None,
        acquired_end: Any = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.item_types = item_types
        self.interval = interval
        self.search_filter = search_filter
        self.geometry = geometry
        self.acquired_start = acquired_start
        self.acquired_end = acquired_end

    @property
    def map_name(self) -> str | None:
        """The area's id, or the first day counted."""
        return area_name(self.geometry) or text_name(self.acquired_start)

    @task_errors()
    def execute(self, context: Context) -> dict[str, Any]:
        """Count, in one request."""

        from planet_provider.client.api import data
        from planet_provider.operators.empty_search import log_why_empty

        item_types = checks.item_types(self.item_types)
        with self.hook.session() as session:
            wanted = filters.criteria(
                self.search_filter,
                self.geometry,
                self.acquired_start,
                self.acquired_end,
                max_vertices=session.config.max_vertices,
            )
            call = data.stats(item_types, interval=self.interval, **wanted)
            found = session.send(call)
            if not found["buckets"]:
                log_why_empty(session, call.json)
        buckets = [
            {"start_time": bucket["start_time"], "count": bucket["count"]} for bucket in found["buckets"]
        ]
        if len(buckets) > MAX_BUCKETS:
            raise InvalidInputError(
                "interval",
                self.interval,
                f"makes {len(buckets)} buckets, more than the {MAX_BUCKETS} that an XCom holds: take a longer "
                "interval, or a shorter window.",
            )
        count = sum(bucket["count"] for bucket in buckets)
        self.log.info(
            "%s in %s of a %s.", counted(count, "item"), counted(len(buckets), "bucket"), self.interval
        )
        return {
            "count": count,
            "interval": found.get("interval", self.interval),
            "utc_offset": found.get("utc_offset"),
            "buckets": buckets,
        }
