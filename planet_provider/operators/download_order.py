"""Downloading an order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from planet_provider.client import checks
from planet_provider.hooks.storage import store_at
from planet_provider.hooks.task_errors import task_errors
from planet_provider.operators.base import PlanetOperator
from planet_provider.transfer.order import download_order
from planet_provider.transfer.progress import log_progress

if TYPE_CHECKING:
    from airflow.sdk import Context


class PlanetDownloadOrderOperator(PlanetOperator):
    """Download an order's files: whole, verified while streaming, or not at all.

    What is there already and agrees in size and digest is not fetched again; a broken download goes on where
    it broke. ``manifest.json`` comes last: where it is, the order is whole.

    :param order_id: Planet order UUID. (templated)
    :param destination: Folder to put the order's folder in: an absolute path, or a URL such as
        ``s3://conn_id@bucket/prefix``. (templated)
    :param checksum: ``sha256`` or ``md5``.
    :param max_concurrency: Files at once.
    :param overwrite: Fetch everything anew.
    :param include: Only files that match one of these globs, on the path in the order. (templated)
    :param exclude: No files that match one of these globs. (templated)
    :param planet_conn_id: Airflow connection of type ``planet``. (templated)
    :return: XCom ``return_value``: ``{order_id, directory, manifest, files, bytes}`` with the number of
        files; each key also as an XCom of its own, but ``files`` there is the list
        ``[{path, item_id, asset_type, media_type, bytes, md5, sha256}, ...]``. Airflow maps over return
        values alone: to map over files, let a task return ``download.output["files"]``, which it takes as
        an argument.
    :raises ChecksumError: A file's digest is wrong, twice.
    :raises UnsafePathError: A name leads out of the destination.
    """

    template_fields: Sequence[str] = ("order_id", "destination", "include", "exclude", "planet_conn_id")

    def __init__(
        self,
        *,
        order_id: str,
        destination: Any,
        checksum: Literal["sha256", "md5"] = "sha256",
        max_concurrency: int = 4,
        overwrite: bool = False,
        include: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.order_id = order_id
        self.destination = destination
        self.checksum = checksum
        self.max_concurrency = max_concurrency
        self.overwrite = overwrite
        self.include = include
        self.exclude = exclude

    @task_errors()
    def execute(self, context: Context) -> dict[str, Any]:
        """Download the order."""
        checks.order_id(self.order_id)
        store = store_at(self.destination, "destination")
        with self.hook.session() as session:
            transfer = download_order(
                session,
                self.order_id,
                store,
                checksum=self.checksum,
                max_concurrency=self.max_concurrency,
                overwrite=self.overwrite,
                include=self.include,
                exclude=self.exclude,
                progress=log_progress(self.log),
            )
        files = [file.as_dict() for file in transfer.files]
        result = {
            "order_id": transfer.order_id,
            "directory": transfer.directory,
            "manifest": transfer.manifest,
            "files": len(files),
            "bytes": transfer.bytes,
        }
        # Not by multiple_outputs: "files" is a number in the result, and a list to map over on its own.
        for key, value in (result | {"files": files}).items():
            context["ti"].xcom_push(key=key, value=value)
        return result
