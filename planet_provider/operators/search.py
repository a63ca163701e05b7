"""Searching the catalogue."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from planet_provider.builders import checks, filters
from planet_provider.exceptions import InvalidInputError
from planet_provider.hooks.storage import store_and_name, templated
from planet_provider.hooks.task_errors import task_errors
from planet_provider.hooks.templates import area_name, text_name
from planet_provider.operators.base import PlanetOperator
from planet_provider.wording import counted

if TYPE_CHECKING:
    from airflow.sdk import Context

    from planet_provider.client.call import Call
    from planet_provider.transfer.stores.base import Store

Item = dict[str, Any]


class PlanetSearchOperator(PlanetOperator):
    """Search Planet's catalogue, and hand the items on in batches for mapped tasks.

    Either ``item_types`` with any of ``search_filter``, ``geometry`` and the acquired window, or
    ``search_id``. Nothing is cut silently: without ``limit`` all items are returned.

    :param item_types: e.g. ``["PSScene"]``. (templated)
    :param search_filter: Filter of the Data API, as :mod:`planet_provider.builders.filters` builds it.
        (templated)
    :param geometry: Area of interest, EPSG:4326, (longitude, latitude) in degrees: GeoJSON, a path to a
        GeoJSON file, or a Planet feature reference. (templated)
    :param acquired_start: Only items acquired at or after this time; RFC 3339 with an offset, or an aware
        datetime. (templated)
    :param acquired_end: Only items acquired before this time. (templated)
    :param search_id: Run this saved search instead. (templated)
    :param sort: ``published desc`` (Planet's default), ``published asc``, ``acquired desc`` or
        ``acquired asc``. (templated)
    :param limit: Stop after as many items; by default all.
    :param batch_size: Items in a batch, at most. Planet takes 500 in an order.
    :param output_path: Write the items there too, with bounded memory: a path or URL that ends in
        ``.geojson`` (one FeatureCollection), ``.ndjson`` (one Feature a line) or ``.parquet`` (GeoParquet,
        extra ``geoparquet``). It appears whole or not at all. (templated)
    :param xcom_max_items: Above as many items, batches are written beside ``output_path`` and XCom holds
        their paths; without ``output_path`` the search ends with an error there. 10,000 ids are some 300 kB.
    :param planet_conn_id: Airflow connection of type ``planet``. (templated)
    :return: XCom ``return_value``: ``[{"item_type": ..., "item_ids": [...]}, ...]``, made for
        ``.expand(items=search.output)``; above ``xcom_max_items`` ``{"item_type", "count", "path", "sha256"}``.
        Nothing found: ``[]``. XCom ``summary``: ``{count, batches, item_types, output_path, limited}``.
    """

    template_fields: Sequence[str] = (
        "item_types",
        "search_filter",
        "geometry",
        "acquired_start",
        "acquired_end",
        "search_id",
        "sort",
        "output_path",
        "planet_conn_id",
    )
    template_fields_renderers = {"search_filter": "json", "geometry": "json"}  # noqa: RUF012

    def __init__(
        self,
        *,
        item_types: Sequence[str] | None = None,
        search_filter: Mapping[str, Any] | None = None,
        geometry: Any = None,
        acquired_start: Any = None,
        acquired_end: Any = None,
        search_id: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
        batch_size: int = checks.MAX_ORDER_ITEMS,
        output_path: str | None = None,
        xcom_max_items: int = 10_000,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.item_types = item_types
        self.search_filter = search_filter
        self.geometry = geometry
        self.acquired_start = acquired_start
        self.acquired_end = acquired_end
        self.search_id = search_id
        self.sort = sort
        self.limit = limit
        self.batch_size = batch_size
        self.output_path = templated(output_path, "output_path")
        self.xcom_max_items = xcom_max_items

    @property
    def map_name(self) -> str | None:
        """The area's id, or the first day searched."""
        return area_name(self.geometry) or text_name(self.acquired_start)

    @task_errors()
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Search, page by page."""

        from planet_provider.client import collect
        from planet_provider.export.features import written
        from planet_provider.operators.empty_search import log_why_empty
        from planet_provider.operators.items_table import SHOWN_ITEMS, items_table

        output = self._output()
        found: defaultdict[str, list[str]] = defaultdict(list)
        count, shown = 0, list[Item]()
        with ExitStack() as stack:
            session = stack.enter_context(self.hook.session())
            call = self._call(session.config.max_vertices)
            items: Iterable[Item] = collect.items(session.pages(call), self.limit)
            if output is not None:
                items = stack.enter_context(closing(written(items, *output)))
            for item in items:
                if count < SHOWN_ITEMS:
                    shown.append(item)
                found[item["properties"]["item_type"]].append(item["id"])
                count += 1
                if output is None and count > self.xcom_max_items:
                    raise self._too_many()
            if not count:
                log_why_empty(session, call.json, self.search_id)
        result = self._hand_on(found, count, output)
        summary = {
            "count": count,
            "batches": len(result),
            "item_types": {item_type: len(item_ids) for item_type, item_ids in found.items()},
            "output_path": None if output is None else output[0].uri(output[1]),
            "limited": self.limit is not None and count == self.limit,
        }
        self.log.info("Found %s in %s.", counted(count, "item"), counted(len(result), "batch"))
        if shown:
            self.log.info("%s", items_table(shown, count))
        if summary["limited"]:
            self.log.warning("The search stopped at limit=%s: there may be more items.", self.limit)
        context["ti"].xcom_push(key="summary", value=summary)
        return result

    def _call(self, max_vertices: int) -> Call[list[Item]]:
        """Check all parameters; no request is sent before."""

        from planet_provider.client.api import data

        checks.whole_number(self.batch_size, "batch_size")
        checks.whole_number(self.xcom_max_items, "xcom_max_items")
        if self.limit is not None:
            checks.whole_number(self.limit, "limit")
        if self.search_id is not None:
            self._refuse_beside_search_id()
            return data.run_search(self.search_id, sort=self.sort)
        if self.item_types is None:
            raise InvalidInputError(
                "item_types", None, "give item types, such as ['PSScene'], or a search_id."
            )
        wanted = filters.criteria(
            self.search_filter,
            self.geometry,
            self.acquired_start,
            self.acquired_end,
            max_vertices=max_vertices,
        )
        return data.quick_search(self.item_types, sort=self.sort, **wanted)

    def _refuse_beside_search_id(self) -> None:
        for name in ("item_types", "search_filter", "geometry", "acquired_start", "acquired_end"):
            if getattr(self, name) is not None:
                raise InvalidInputError(
                    name,
                    getattr(self, name),
                    "the saved search of search_id holds this already; give one of both.",
                )

    def _output(self) -> tuple[Store, str] | None:
        from planet_provider.export.features import check_suffix

        if self.output_path is None:
            return None
        path = self.output_path.strip() if isinstance(self.output_path, str) else self.output_path
        check_suffix(path, "output_path")
        return store_and_name(path, "output_path")

    def _hand_on(
        self, found: Mapping[str, list[str]], count: int, output: tuple[Store, str] | None
    ) -> list[dict[str, Any]]:
        from planet_provider.operators.batches import batches, write_batches

        whole = batches(found, self.batch_size)
        if output is None or count <= self.xcom_max_items:
            return list(whole)
        return list(write_batches(whole, *output))

    def _too_many(self) -> InvalidInputError:
        remedy = (
            f"the search finds more items than xcom_max_items={self.xcom_max_items} allows in XCom: set "
            "output_path, narrow the search, or set limit."
        )
        return InvalidInputError("output_path", None, remedy)
