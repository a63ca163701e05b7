"""The hook: an Airflow connection, and everything one can ask Planet through it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
from airflow.sdk.log import mask_secret

from planet_provider.client import collect, data, filters, orders
from planet_provider.client.call import Call
from planet_provider.client.config import PlanetConfig
from planet_provider.client.session import AsyncPlanetSession, PlanetSession
from planet_provider.exceptions import PlanetError
from planet_provider.hooks.connection import DEFAULT_CONN_ID, config_from_connection, config_from_environment

T = TypeVar("T")

#: How often, and for how many seconds, the connection form's Test button tries: somebody waits for it.
_TEST_ATTEMPTS = 2
_TEST_TIMEOUT_SECONDS = 10.0


class PlanetHook(BaseHook):
    """Talk to Planet with the credential and the settings of an Airflow connection.

    Where the default connection is not defined anywhere, the credential comes from ``PL_API_KEY``, then
    ``~/.planet.json``, as in Planet's SDK.

    Every method opens a session of its own; to send several requests, share one::

        with PlanetHook().session() as session:
            for page in session.pages(orders.list_orders(state="running")):
                ...

    :param planet_conn_id: Airflow connection of type ``planet``.
    """

    conn_name_attr = "planet_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "planet"
    hook_name = "Planet"

    def __init__(self, planet_conn_id: str = DEFAULT_CONN_ID) -> None:
        super().__init__()
        self.planet_conn_id = planet_conn_id

    def config(self) -> PlanetConfig:
        """Read the connection.

        :raises ConfigurationError: It is wrong; the message names the field.
        """
        try:
            config = config_from_connection(self.get_connection(self.planet_conn_id))
        except AirflowNotFoundException:
            config = self._config_without_connection()
        # Airflow masks a connection's password by itself, but not what comes from a file or the environment.
        mask_secret(config.api_key)
        return config

    async def async_config(self) -> PlanetConfig:
        """Read the connection from an event loop."""
        try:
            config = config_from_connection(await self.aget_connection(self.planet_conn_id))
        except AirflowNotFoundException:
            config = self._config_without_connection()
        await _mask_in_loop(config.api_key)
        return config

    def session(self) -> PlanetSession:
        """Open a session, to be used as a context manager."""
        return PlanetSession(self.config())

    async def async_session(self) -> AsyncPlanetSession:
        """Open a session for an event loop, to be used as an asynchronous context manager."""
        return AsyncPlanetSession(await self.async_config())

    def get_conn(self) -> PlanetSession:
        """Open a session; Airflow's name for :meth:`session`."""
        return self.session()

    def test_connection(self) -> tuple[bool, str]:
        """Ask Planet who we are, for the connection form's Test button."""
        try:
            config = self.config()
            hasty = replace(
                config,
                max_attempts=min(config.max_attempts, _TEST_ATTEMPTS),
                timeout=min(config.timeout, _TEST_TIMEOUT_SECONDS),
            )
            with PlanetSession(hasty) as session:
                stats = session.send(orders.stats())
        except (PlanetError, AirflowNotFoundException) as error:
            return False, str(error)
        counts = stats.get("user") or stats.get("organization") or {}
        return True, (
            f"{config.base_url} accepts the API key: "
            f"{counts.get('queued_orders', 0)} orders queued, {counts.get('running_orders', 0)} running."
        )

    def search(
        self,
        item_types: Iterable[str],
        search_filter: Mapping[str, Any] | None = None,
        *,
        geometry: Any = None,
        sort: str | None = None,
        limit: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Search the catalogue and yield items (GeoJSON Features), each once.

        :param item_types: e.g. ``["PSScene"]``.
        :param search_filter: As :mod:`planet_provider.client.filters` builds it.
        :param geometry: Area of interest beside the filter, as
            :func:`planet_provider.client.geometry.geometry` takes it.
        :param sort: One of :data:`planet_provider.client.data.SORTS`.
        :param limit: Stop after as many items; by default all.
        """
        wanted = filters.criteria(search_filter, geometry)
        call = data.quick_search(item_types, sort=sort, **wanted)
        with self.session() as session:
            yield from collect.items(session.pages(call), limit)

    def get_item(self, item_type: str, item_id: str) -> dict[str, Any]:
        """Get an item (a GeoJSON Feature)."""
        return self._send(data.item(item_type, item_id))

    def get_assets(self, item_type: str, item_id: str) -> dict[str, dict[str, Any]]:
        """Get an item's assets by asset type. Holds signed links: don't return it from a task."""
        return self._send(data.assets(item_type, item_id))

    def get_stats(
        self, item_types: Iterable[str], search_filter: Mapping[str, Any], interval: data.Interval
    ) -> dict[str, Any]:
        """Count matching items by time."""
        return self._send(data.stats(item_types, search_filter, interval))

    def create_order(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Place an order, as it is, now. To place it once instead, see :mod:`planet_provider.ordering`."""
        return self._send(orders.create(request))

    def get_order(self, order_id: str) -> dict[str, Any]:
        """Get an order. Holds signed links: don't return it from a task."""
        return self._send(orders.get(order_id))

    def list_orders(self, **filters: Any) -> Iterator[dict[str, Any]]:
        """Yield orders, newest first, filtered as by :func:`planet_provider.client.orders.list_orders`."""
        with self.session() as session:
            yield from chain.from_iterable(session.pages(orders.list_orders(**filters)))

    def cancel_order(self, order_id: str) -> dict[str, Any]:
        """Cancel a queued order."""
        return self._send(orders.cancel(order_id))

    def cancel_orders(self, order_ids: Iterable[str]) -> dict[str, Any]:
        """Cancel several queued orders; never all by accident."""
        return self._send(orders.bulk_cancel(order_ids))

    def get_order_stats(self) -> dict[str, Any]:
        """Count queued and running orders."""
        return self._send(orders.stats())

    def _config_without_connection(self) -> PlanetConfig:
        if self.planet_conn_id != DEFAULT_CONN_ID:
            raise AirflowNotFoundException(f"The connection {self.planet_conn_id!r} is not defined.")
        return config_from_environment()

    def _send(self, call: Call[T]) -> T:
        with self.session() as session:
            return session.send(call)


async def _mask_in_loop(secret: str) -> None:
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:  # older Airflow, which from an event loop masks in this process alone
        mask_secret(secret)
    else:
        await amask_secret(secret)
