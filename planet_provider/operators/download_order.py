"""Downloading an order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from planet_provider.builders import checks
from planet_provider.hooks.storage import store_at, templated
from planet_provider.hooks.task_errors import task_errors
from planet_provider.hooks.templates import text_name
from planet_provider.links.order import LinksToOrder, PlanetOrderLink
from planet_provider.operators.base import PlanetTransferOperator

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from planet_provider.client.http.session import PlanetSession
    from planet_provider.transfer.records import OrderTransfer


class PlanetDownloadOrderOperator(LinksToOrder, PlanetTransferOperator):
    """Download an order's files: whole, verified while streaming, or not at all.

    What is there already and agrees in size and digest is not fetched again; a broken download goes on where
    it broke. ``manifest.json`` comes last: where it is, the order is whole.

    :param order_id: Planet order UUID. (templated)
    :param destination: Folder to put the order's folder in: an absolute path, or a URL such as
        ``s3://conn_id@bucket/prefix``. (templated)
    :param checksum: ``sha256`` or ``md5``. (templated)
    :param max_concurrency: Connections at once, for files and for parts of large files.
    :param overwrite: Fetch everything again. (templated)
    :param include: Only files that match one of these globs, on the path in the order. (templated)
    :param exclude: No files that match one of these globs. (templated)
    :param unpack: Unpack zips (an order with ``delivery.archive_type``), each to the folder of its name beside
        it. The zips stay; what is unpacked is listed in the XCom ``unpacked``. (templated)
    :param planet_conn_id: Airflow connection of type ``planet``. (templated)
    :return: XCom ``return_value``: ``{order_id, directory, manifest, files, bytes}`` with the number of
        files; each key also as an XCom of its own, but ``files`` there is the list
        ``[{path, item_id, asset_type, media_type, bytes, md5, sha256}, ...]``. Airflow maps over return
        values alone: to map over files, let a task return ``download.output["files"]``, which it takes as
        an argument. With ``unpack`` there is ``unpacked`` too, in the same way: a number and a list.
    :raises ArchiveError: A zip can't be read, or would unpack to more than it may.
    :raises ChecksumError: A file's digest is wrong, twice.
    :raises UnsafePathError: A name leads out of the destination.
    """

    template_fields: Sequence[str] = (
        "order_id",
        "destination",
        "checksum",
        "include",
        "exclude",
        "overwrite",
        "unpack",
        "planet_conn_id",
    )

    def __init__(
        self,
        *,
        order_id: str,
        destination: Any,
        checksum: Literal["sha256", "md5"] = "sha256",
        max_concurrency: int = 16,
        overwrite: bool = False,
        include: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        unpack: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.order_id = order_id
        self.destination = templated(destination, "destination")
        self.checksum = checksum
        self.max_concurrency = max_concurrency
        self.overwrite = overwrite
        self.include = include
        self.exclude = exclude
        self.unpack = unpack
        self._transfer: OrderTransfer | None = None

    @property
    def map_name(self) -> str | None:
        """The order's id."""
        return text_name(self.order_id)

    @task_errors()
    def execute(self, context: Context) -> dict[str, Any]:
        """Download the order."""

        from planet_provider.operators import lineage
        from planet_provider.transfer.order import download_order
        from planet_provider.transfer.progress import log_progress

        self.check_flags()
        order_id = checks.order_id(self.order_id)
        store = store_at(self.destination, "destination")
        with self.transferring(), self.hook.session() as session:
            PlanetOrderLink().persist(self, context, order_id, session.config.base_url)
            transfer = download_order(
                session,
                order_id,
                store,
                checksum=self.checksum,
                max_concurrency=self.max_concurrency,
                overwrite=self.overwrite,
                include=checks.read_text(self.include),
                exclude=checks.read_text(self.exclude),
                unpack=self.unpack,
                progress=log_progress(self.log),
            )
            self._tell_outlets(context, session, transfer)
        files = [file.as_dict() for file in transfer.files]
        result = {
            "order_id": transfer.order_id,
            "directory": transfer.directory,
            "manifest": transfer.manifest,
            "files": len(files),
            "bytes": transfer.bytes,
        }
        lists = {"files": files}
        if self.unpack:
            lists["unpacked"] = [file.as_dict() for file in transfer.unpacked]
            result["unpacked"] = len(transfer.unpacked)
        self._transfer = transfer
        lineage.collect(self.hook, files, transfer.directory)
        # Not by multiple_outputs: "files" is a number in the result, and a list to map over on its own.
        for key, value in (result | lists).items():
            context["ti"].xcom_push(key=key, value=value)
        return result

    def _tell_outlets(self, context: Context, session: PlanetSession, transfer: OrderTransfer) -> None:
        from planet_provider.operators.asset_events import area_km2, tell_outlets

        if not self.outlets:
            return
        scenes = {(file.item_type, file.item_id) for file in transfer.files if file.item_id is not None}
        facts = {
            "order_id": transfer.order_id,
            "directory": transfer.directory,
            "scenes": len(scenes),
            "files": len(transfer.files),
            "bytes": transfer.bytes,
            "area_km2": area_km2(session, transfer.order_id),
            "manifest_sha256": transfer.manifest_sha256,
        }
        tell_outlets(context, self.outlets, facts)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Tell OpenLineage of the order and its files."""

        from planet_provider.operators import lineage

        if self._transfer is None:
            return None
        return lineage.downloaded(
            [file.as_dict() for file in self._transfer.files],
            directory=self._transfer.directory,
            order_id=self._transfer.order_id,
        )
