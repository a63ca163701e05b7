"""The hook: an Airflow connection, and everything one can ask Planet through it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from os import PathLike
from typing import Any, TypeVar

from airflow.providers.common.compat.sdk import BaseHook, Connection
from airflow.sdk.log import mask_secret

from planet_provider.builders import checks, filters
from planet_provider.builders import geometry as geometries
from planet_provider.builders.delivery import check_archive_name
from planet_provider.client import collect
from planet_provider.client.api import data, orders
from planet_provider.client.api.assets import activate_asset, find_asset
from planet_provider.client.api.cancelling import cancel_order, cancel_orders
from planet_provider.client.api.saved_searches import SavedSearch, save_search
from planet_provider.client.auth import secret_file
from planet_provider.client.auth.flows import api_key_of
from planet_provider.client.auth.secret_file import SECRET_FILE
from planet_provider.client.call import Call
from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.session import AsyncPlanetSession, PlanetSession
from planet_provider.client.parse import JSONObject
from planet_provider.exceptions import PlanetError
from planet_provider.export.features import check_suffix, written
from planet_provider.hooks import DEFAULT_CONN_ID
from planet_provider.hooks.checkup import checkup
from planet_provider.hooks.connection import (
    ConnectionNotFoundError,
    config_from_connection,
    config_from_environment,
)
from planet_provider.hooks.storage import store_and_name
from planet_provider.hooks.undefined import arequire_undefined, may_not_be_read, require_undefined

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
    :raises InvalidInputError: That is no connection's id.
    """

    conn_name_attr = "planet_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "planet"
    hook_name = "Planet"

    def __init__(self, planet_conn_id: str = DEFAULT_CONN_ID) -> None:
        super().__init__()
        self.planet_conn_id = checks.text(planet_conn_id, "planet_conn_id")

    def config(self) -> PlanetConfig:
        """Read the connection.

        :raises ConfigurationError: It is wrong, and the message names the field; or it is defined and can't be
            read. Then no key from elsewhere stands in for it.
        :raises TransportError: Whether it is defined can't be found out now.
        """
        try:
            connection = self.get_connection(self.planet_conn_id)
        except PermissionError as error:
            raise may_not_be_read(self.planet_conn_id, error) from None
        except Exception:  # not found; or, with Airflow 3.1, whatever reading it met
            connection = None
            require_undefined(self.planet_conn_id)
        config = self._config_of(connection)
        # Airflow masks a connection's password by itself, but not what comes from a file or the environment.
        for secret in config.secrets:
            mask_secret(secret)
        return config

    async def async_config(self) -> PlanetConfig:
        """Read the connection from an event loop."""
        try:
            connection = await self.aget_connection(self.planet_conn_id)
        except PermissionError as error:
            raise may_not_be_read(self.planet_conn_id, error) from None
        except Exception:  # as above
            connection = None
            await arequire_undefined(self.planet_conn_id)
        config = self._config_of(connection)
        for secret in config.secrets:
            await mask_in_loop(secret)
        return config

    def session(self) -> PlanetSession:
        """Open a session, to be used as a context manager."""
        return PlanetSession(self.config(), on_token=mask_secret)

    async def async_session(self) -> AsyncPlanetSession:
        """Open a session for an event loop, to be used as an asynchronous context manager."""
        return AsyncPlanetSession(await self.async_config(), on_token=mask_in_loop)

    def get_conn(self) -> PlanetSession:
        """Open a session; Airflow's name for :meth:`session`."""
        return self.session()

    def test_connection(self) -> tuple[bool, str]:
        """Say who one is and what the APIs answer, or what is wrong; for the connection form's Test button."""
        try:
            config = self.config()
        except PlanetError as error:
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

        All parameters are checked at once; the first request is sent for the first item.

        :param item_types: e.g. ``["PSScene"]``.
        :param search_filter: As :mod:`planet_provider.builders.filters` builds it.
        :param geometry: Area of interest beside the filter, as
            :func:`planet_provider.builders.geometry.geometry` takes it.
        :param sort: One of :data:`planet_provider.client.api.data.SORTS`.
        :param limit: Stop after as many items; by default all.
        """
        config = self.config()
        wanted = filters.criteria(search_filter, geometry, max_vertices=config.max_vertices)
        call = data.quick_search(item_types, sort=sort, **wanted)
        return _gathered(config, call, collect.items, limit)

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
        with self.session() as session:
            wanted = _criteria(session, search_filter, geometry)
            return session.send(data.create_search(name, item_types, enable_email=enable_email, **wanted))

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
        with self.session() as session:
            wanted = _criteria(session, search_filter, geometry)
            return session.send(
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
        with self.session() as session:
            wanted = _criteria(session, search_filter, geometry)
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
        return _gathered(self.config(), call, collect.rows, limit)

    def run_search(
        self, search_id: str, *, sort: str | None = None, limit: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Run a saved search and yield items (GeoJSON Features), each once."""
        call = data.run_search(search_id, sort=sort)
        return _gathered(self.config(), call, collect.items, limit)

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

    def get_asset(self, item_type: str, item_id: str, asset_type: str) -> dict[str, Any]:
        """Get one of an item's assets. Holds a signed link: don't return it from a task.

        :raises AssetUnavailableError: The item has no such asset, or the account may not download it.
        """
        wanted = checks.asset_type(asset_type)
        return dict(find_asset(self.get_assets(item_type, item_id), item_type, item_id, wanted))

    def activate_asset(self, item_type: str, item_id: str, asset_type: str) -> dict[str, Any]:
        """Have an asset made ready for download, unless it is or is about to be; it isn't waited for.

        :return: ``{item_type, item_id, asset_type, status, md5_digest}``, without links.
        :raises AssetUnavailableError: The item has no such asset, or the account may not download it.
        """
        with self.session() as session:
            return activate_asset(session, item_type, item_id, asset_type)

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

        :param geometry: As :func:`planet_provider.builders.geometry.geometry` takes it.
        :param mode: ``UDM2`` (exact; may answer ``activating``: ask again) or ``estimate``.
        :param band: Band of the UDM2, e.g. ``cloud``.
        """
        with self.session() as session:
            area = geometries.search_geometry(geometry, max_vertices=session.config.max_vertices)
            return session.send(data.coverage(item_type, item_id, area, mode=mode, band=band))

    def get_stats(
        self,
        item_types: Iterable[str],
        search_filter: Mapping[str, Any] | None,
        interval: data.Interval,
        *,
        geometry: Any = None,
    ) -> dict[str, Any]:
        """Count matching items by the time they were acquired at."""
        with self.session() as session:
            wanted = _criteria(session, search_filter, geometry)
            return session.send(data.stats(item_types, interval=interval, **wanted))

    def create_order(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Place an order, as it is, now. To place it once instead, see :mod:`planet_provider.ordering`.

        :raises InvalidInputError: The request is no object, or its archive's name is too long to be downloaded.
        """
        call = orders.create(request)
        check_archive_name(request.get("name"), request)
        return self._send(call)

    def get_order(self, order_id: str) -> dict[str, Any]:
        """Get an order. Holds signed links: don't return it from a task."""
        return self._send(orders.get(order_id))

    def list_orders(self, *, limit: int | None = None, **filters: Any) -> Iterator[dict[str, Any]]:
        """Yield orders, newest first.

        :param limit: Stop after as many; by default all.
        :param filters: As :func:`planet_provider.client.api.orders.list_orders` takes them.
        """
        call = orders.list_orders(**filters)
        return _gathered(self.config(), call, collect.rows, limit)

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

    def _config_of(self, connection: Connection | None) -> PlanetConfig:
        if connection is not None:
            return config_from_connection(connection)
        if self.planet_conn_id != DEFAULT_CONN_ID:
            raise ConnectionNotFoundError(f"The connection {self.planet_conn_id!r} is not defined.")
        return config_from_environment()

    def _send(self, call: Call[T]) -> T:
        with self.session() as session:
            return session.send(call)


def _criteria(session: PlanetSession, search_filter: Any, geometry: Any) -> dict[str, Any]:
    return filters.criteria(search_filter, geometry, max_vertices=session.config.max_vertices)


def _gathered(
    config: PlanetConfig,
    call: Call[list[JSONObject]],
    gather: Callable[[Iterable[list[JSONObject]], int | None], Iterator[JSONObject]],
    limit: int | None,
) -> Iterator[JSONObject]:
    """Check the limit now, and open a session once the first result is asked for."""
    most = checks.limit(limit)

    def gathered() -> Iterator[JSONObject]:
        with PlanetSession(config, on_token=mask_secret) as session:
            yield from gather(session.pages(call), most)

    return gathered()


async def mask_in_loop(secret: str) -> None:
    """Have a secret masked in logs, from an event loop."""
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:  # older Airflow, which from an event loop masks in this process alone
        mask_secret(secret)
    else:
        await amask_secret(secret)
