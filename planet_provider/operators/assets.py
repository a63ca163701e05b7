"""Activating and downloading single assets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from planet_provider.builders import checks
from planet_provider.hooks.storage import store_at, templated
from planet_provider.hooks.task_errors import task_errors
from planet_provider.hooks.templates import text_name
from planet_provider.operators.base import PlanetOperator, PlanetTransferOperator

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context


class _AssetOperator(PlanetOperator):
    template_fields: Sequence[str] = ("item_type", "item_id", "asset_type", "planet_conn_id")

    def __init__(self, *, item_type: str, item_id: str, asset_type: str, **kwargs: Any) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.item_type = item_type
        self.item_id = item_id
        self.asset_type = asset_type

    @property
    def map_name(self) -> str | None:
        """The item and its asset."""
        return text_name(self.item_id, self.asset_type)

    def _check(self) -> None:
        checks.item_type(self.item_type)
        checks.item_id(self.item_id)
        checks.asset_type(self.asset_type)


class PlanetActivateAssetOperator(_AssetOperator):
    """Ask Planet to make an asset ready for download. Harmless to repeat; it doesn't wait.

    :param item_type: e.g. ``PSScene``. (templated)
    :param item_id: Planet item id. (templated)
    :param asset_type: e.g. ``ortho_analytic_4b``. (templated)
    :param planet_conn_id: Airflow connection of type ``planet``. (templated)
    :return: XCom ``{item_type, item_id, asset_type, status, md5_digest}``, each key also as an XCom of its
        own; no links.
    :raises AssetUnavailableError: The item has no such asset, or the account may not download it.
    """

    @task_errors()
    def execute(self, context: Context) -> dict[str, Any]:
        """Activate the asset, unless it is active or being activated."""
        reference = self.hook.activate_asset(self.item_type, self.item_id, self.asset_type)
        self.log.info(
            "%s of %s %s is %s.", self.asset_type, self.item_type, self.item_id, reference["status"]
        )
        return reference


class PlanetDownloadAssetOperator(_AssetOperator, PlanetTransferOperator):
    """Download an active asset: whole, verified while streaming, or not at all.

    :param item_type: e.g. ``PSScene``. (templated)
    :param item_id: Planet item id. (templated)
    :param asset_type: e.g. ``ortho_analytic_4b``. (templated)
    :param destination: Folder: an absolute path, or a URL such as ``s3://conn_id@bucket/prefix``. (templated)
    :param overwrite: Fetch it again. (templated)
    :param planet_conn_id: Airflow connection of type ``planet``. (templated)
    :return: XCom ``{path, item_id, asset_type, media_type, bytes, md5, sha256}``, each key also as an XCom of
        its own.
    :raises AssetUnavailableError: The item has no such asset, or the account may not download it.
    :raises ChecksumError: The file's digest is wrong, twice.
    """

    template_fields: Sequence[str] = (*_AssetOperator.template_fields, "destination", "overwrite")

    def __init__(self, *, destination: Any, overwrite: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.destination = templated(destination, "destination")
        self.overwrite = overwrite
        self._file: dict[str, Any] | None = None

    @task_errors()
    def execute(self, context: Context) -> dict[str, Any]:
        """Download the asset."""

        from planet_provider.operators import lineage
        from planet_provider.operators.asset_events import tell_outlets
        from planet_provider.transfer.asset import download_asset
        from planet_provider.transfer.progress import log_progress

        self.check_flags()
        self._check()
        store = store_at(self.destination, "destination")
        with self.transferring(), self.hook.session() as session:
            record = download_asset(
                session,
                self.item_type,
                self.item_id,
                self.asset_type,
                store,
                overwrite=self.overwrite,
                progress=log_progress(self.log),
            )
        self._file = record.as_dict()
        lineage.collect(self.hook, [self._file], str(store.uri()))
        tell_outlets(context, self.outlets, self._file)
        return self._file

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Tell OpenLineage of the item and its file."""

        from planet_provider.operators import lineage

        if self._file is None:
            return None
        return lineage.downloaded([self._file], directory="", items=[(self.item_type, self.item_id)])
