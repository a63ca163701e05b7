"""The hook: an Airflow connection, and everything one can ask Planet through it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from os import PathLike
from typing import Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
from airflow.sdk.log import mask_secret

from planet_provider.client import collect, data, filters, orders, secret_file
from planet_provider.client import geometry as geometries
from planet_provider.client.auth import api_key_of
from planet_provider.client.call import Call
from planet_provider.client.cancelling import cancel_order, cancel_orders
from planet_provider.client.config import PlanetConfig
from planet_provider.client.saved_searches import SavedSearch, save_search
from planet_provider.client.secret_file import SECRET_FILE
from planet_provider.client.session import AsyncPlanetSession, PlanetSession
from planet_provider.exceptions import PlanetError
from planet_provider.hooks.checkup import checkup
from planet_provider.hooks.connection import DEFAULT_CONN_ID, config_from_connection, config_from_environment
from planet_provider.hooks.storage import store_and_name
from planet_provider.transfer.features import check_suffix, written

T = TypeVar("T")


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
        for secret in _secrets(config):
            mask_secret(secret)
        return config

    async def async_config(self) -> PlanetConfig:
        """Read the connection from an event loop."""
        try:
            config = config_from_connection(await self.aget_connection(self.planet_conn_id))
        except AirflowNotFoundException:
            config = self._config_without_connection()
        for secret in _secrets(config):
            await _mask_in_loop(secret)
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
        """Say who one is and what the APIs answer, or what is wrong; for the connection form's Test button."""
        try:
            config = self.config()
        except (PlanetError, AirflowNotFoundException) as error:
            return False, str(error)
        ok, said = checkup(config)
        if ok:
            self.log.info("%s", said)  # "airflow connections test" prints no more than that it worked
        return ok, said

    def store_secret(self, path: str | PathLike[str] = SECRET_FILE) -> str:
        """Write the connection's API key into a secret file, for Planet's SDK and CLI or ``auth=file``.

        The file is written in one step and with mode 0600, whatever the umask; its other entries stay.

        :param path: The file; ``~`` is expanded.
        :return: Its path.
        :raises CredentialsError: The connection has no key (``auth=oauth``), or the file can't be written.
        """
        key = api_key_of(self.config())
        mask_secret(key)
        return str(secret_file.store_secret(key, path))

    @staticmethod
    def read_secret(path: str | PathLike[str] = SECRET_FILE) -> str:
        """Read the API key from a secret file; one that others may read is closed to them.

        :param path: The file; ``~`` is expanded.
        :raises CredentialsError: It can't be read, or holds no key.
        """
        key = secret_file.read_secret(path)
        mask_secret(key)
        return key

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

    def write_search(
        self,
        path: Any,
        item_types: Iterable[str],
        search_filter: Mapping[str, Any] | None = None,
        *,
        geometry: Any = None,
        sort: str | None = None,
        limit: int | None = None,
    ) -> dict[str, Any]:
        """Search the catalogue into a file, with bounded memory; it appears whole or not at all.

        :param path: An absolute path or a URL such as ``s3://conn_id@bucket/found.geojson``, that ends in
            ``.geojson``, ``.ndjson`` or ``.parquet`` (extra ``geoparquet``).
        :return: ``{"path": ..., "count": ...}``.
        """
        store, name = store_and_name(path, "path")
        check_suffix(name, "path")
        found = self.search(item_types, search_filter, geometry=geometry, sort=sort, limit=limit)
        with closing(written(found, store, name)) as passing:
            count = sum(1 for _ in passing)
        return {"path": store.uri(name), "count": count}

    def create_search(
        self,
        name: str,
        item_types: Iterable[str],
        search_filter: Mapping[str, Any] | None = None,
        *,
        geometry: Any = None,
        enable_email: bool = False,
    ) -> dict[str, Any]:
        """Save a search, under a name that others may have too; see :meth:`upsert_search`."""
        wanted = filters.criteria(search_filter, geometry)
        return self._send(data.create_search(name, item_types, enable_email=enable_email, **wanted))

    def update_search(
        self,
        search_id: str,
        name: str,
        item_types: Iterable[str],
        search_filter: Mapping[str, Any] | None = None,
        *,
        geometry: Any = None,
        enable_email: bool = False,
    ) -> dict[str, Any]:
        """Replace a saved search."""
        wanted = filters.criteria(search_filter, geometry)
        return self._send(
            data.update_search(search_id, name, item_types, enable_email=enable_email, **wanted)
        )

    def upsert_search(
        self,
        name: str,
        item_types: Iterable[str],
        search_filter: Mapping[str, Any] | None = None,
        *,
        geometry: Any = None,
        enable_email: bool = False,
    ) -> SavedSearch:
        """Save a search under a name, or bring the one of that name up to date; never twice."""
        wanted = filters.criteria(search_filter, geometry)
        with self.session() as session:
            return save_search(session, name, item_types, enable_email=enable_email, **wanted)

    def get_search(self, search_id: str) -> dict[str, Any]:
        """Get a saved search."""
        return self._send(data.get_search(search_id))

    def list_searches(
        self,
        *,
        search_type: data.SearchType = "any",
        sort: data.ListSort | None = None,
        limit: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield searches, the newest first.

        :param search_type: ``saved``, ``quick`` or ``any``.
        :param sort: ``created desc`` or ``created asc``.
        :param limit: Stop after as many; by default all.
        """
        call = data.list_searches(search_type=search_type, sort=sort)
        with self.session() as session:
            yield from collect.rows(session.pages(call), limit)

    def run_search(
        self, search_id: str, *, sort: str | None = None, limit: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Run a saved search and yield items (GeoJSON Features), each once."""
        call = data.run_search(search_id, sort=sort)
        with self.session() as session:
            yield from collect.items(session.pages(call), limit)

    def delete_search(self, search_id: str) -> None:
        """Delete a saved search. Where the answer gets lost and the search is gone then, that is success.

        :raises NotFoundError: There is no such search.
        """
        self._send(data.delete_search(search_id))

    def get_item(self, item_type: str, item_id: str) -> dict[str, Any]:
        """Get an item (a GeoJSON Feature)."""
        return self._send(data.item(item_type, item_id))

    def get_assets(self, item_type: str, item_id: str) -> dict[str, dict[str, Any]]:
        """Get an item's assets by asset type. Holds signed links: don't return it from a task."""
        return self._send(data.assets(item_type, item_id))

    def get_item_coverage(
        self,
        item_type: str,
        item_id: str,
        geometry: Any,
        *,
        mode: str | None = None,
        band: str | None = None,
    ) -> dict[str, Any]:
        """Estimate how clear an item is within a geometry.

        :param geometry: As :func:`planet_provider.client.geometry.geometry` takes it.
        :param mode: ``UDM2`` (exact; may answer ``activating``: ask again) or ``estimate``.
        :param band: Band of the UDM2, e.g. ``cloud``.
        """
        area = geometries.geometry(geometry)
        return self._send(data.coverage(item_type, item_id, area, mode=mode, band=band))

    def get_stats(
        self,
        item_types: Iterable[str],
        search_filter: Mapping[str, Any] | None,
        interval: data.Interval,
        *,
        geometry: Any = None,
    ) -> dict[str, Any]:
        """Count matching items by the time they were acquired at."""
        wanted = filters.criteria(search_filter, geometry)
        return self._send(data.stats(item_types, interval=interval, **wanted))

    def create_order(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Place an order, as it is, now. To place it once instead, see :mod:`planet_provider.ordering`."""
        return self._send(orders.create(request))

    def get_order(self, order_id: str) -> dict[str, Any]:
        """Get an order. Holds signed links: don't return it from a task."""
        return self._send(orders.get(order_id))

    def list_orders(self, *, limit: int | None = None, **filters: Any) -> Iterator[dict[str, Any]]:
        """Yield orders, newest first.

        :param limit: Stop after as many; by default all.
        :param filters: As :func:`planet_provider.client.orders.list_orders` takes them.
        """
        call = orders.list_orders(**filters)
        with self.session() as session:
            yield from collect.rows(session.pages(call), limit)

    def cancel_order(self, order_id: str) -> dict[str, Any]:
        """Cancel a queued order. One that is cancelled already is as good.

        :raises OrderNotCancellableError: It runs or has ended.
        """
        with self.session() as session:
            return cancel_order(session, order_id)

    def cancel_orders(self, order_ids: Iterable[str]) -> dict[str, Any]:
        """Cancel several queued orders; never all by accident.

        :return: ``{"result": Planet's answer, "orders": [{"order_id", "outcome", "state", "message"}, ...]}``.
        """
        with self.session() as session:
            answer, outcomes = cancel_orders(session, order_ids)
        return answer | {"orders": [one.as_dict() for one in outcomes]}

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


def _secrets(config: PlanetConfig) -> list[str]:
    given = (
        config.api_key,
        config.oauth.client_secret if config.oauth else "",
        config.login.password if config.login else "",
    )
    return [secret for secret in given if secret]


async def _mask_in_loop(secret: str) -> None:
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:  # older Airflow, which from an event loop masks in this process alone
        mask_secret(secret)
    else:
        await amask_secret(secret)
