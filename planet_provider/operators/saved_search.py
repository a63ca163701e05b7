"""Saved searches as part of a DAG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from planet_provider.builders import checks, filters
from planet_provider.hooks.task_errors import task_errors
from planet_provider.hooks.templates import text_name
from planet_provider.operators.base import PlanetOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class PlanetUpsertSearchOperator(PlanetOperator):
    """Save a search under a name, or bring the saved search of that name up to date.

    The name stands for one search: a retry, a cleared task or another run finds it by its name and never saves
    it twice. Where other clients have saved several of that name, the oldest is taken and the log names them.

    :param name: The search's name. (templated)
    :param item_types: e.g. ``["PSScene"]``. (templated)
    :param search_filter: Filter of the Data API, as :mod:`planet_provider.builders.filters` builds it.
        (templated)
    :param geometry: Area of interest, EPSG:4326, (longitude, latitude) in degrees: GeoJSON, a path to a
        GeoJSON file, or a Planet feature reference. (templated)
    :param acquired_start: Only items acquired at or after this time; RFC 3339 with an offset, or an aware
        datetime. (templated)
    :param acquired_end: Only items acquired before this time. (templated)
    :param enable_email: Have Planet mail new results daily. (templated)
    :param planet_conn_id: Airflow connection of type ``planet``. (templated)
    :return: XCom ``return_value``: the search's id, made for ``PlanetSearchOperator(search_id=...)``. XCom
        ``search``: ``{search_id, name, action, item_types}``, ``action`` being ``created``, ``updated`` or
        ``unchanged``.
    """

    template_fields: Sequence[str] = (
        "name",
        "item_types",
        "search_filter",
        "geometry",
        "acquired_start",
        "acquired_end",
        "enable_email",
        "planet_conn_id",
    )
    template_fields_renderers = {"search_filter": "json", "geometry": "json"}  # noqa: RUF012

    def __init__(
        self,
        *,
        name: str,
        item_types: Sequence[str],
        search_filter: Mapping[str, Any] | None = None,
        geometry: Any = None,
        acquired_start: Any = None,
        acquired_end: Any = None,
        enable_email: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.item_types = item_types
        self.search_filter = search_filter
        self.geometry = geometry
        self.acquired_start = acquired_start
        self.acquired_end = acquired_end
        self.enable_email = enable_email

    @property
    def map_name(self) -> str | None:
        """The search's name."""
        return text_name(self.name)

    @task_errors()
    def execute(self, context: Context) -> str:
        """Save the search, unless it is saved as it is."""

        from planet_provider.client.api.saved_searches import save_search

        self.check_flags()
        name = checks.text(self.name, "name")
        item_types = checks.item_types(self.item_types)
        with self.hook.session() as session:
            wanted = filters.criteria(
                self.search_filter,
                self.geometry,
                self.acquired_start,
                self.acquired_end,
                max_vertices=session.config.max_vertices,
            )
            saved = save_search(session, name, item_types, enable_email=self.enable_email, **wanted)
        self.log.info("The saved search %r is %s: %s", name, saved.action, saved.id)
        about = {"search_id": saved.id, "name": name, "action": saved.action, "item_types": item_types}
        context["ti"].xcom_push(key="search", value=about)
        return saved.id
