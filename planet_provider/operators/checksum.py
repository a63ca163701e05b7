"""Verifying what was downloaded, as a task of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from planet_provider.builders import checks
from planet_provider.exceptions import InvalidInputError, TransferError
from planet_provider.hooks.storage import (
    location,
    store_and_name,
    store_at,
    templated,
)
from planet_provider.hooks.task_errors import task_errors
from planet_provider.hooks.templates import text_name
from planet_provider.operators.base import PlanetTransferOperator
from planet_provider.wording import counted, file_size

if TYPE_CHECKING:
    from airflow.sdk import Context

    from planet_provider.transfer.records import Verification
    from planet_provider.transfer.stores.base import Store
    from planet_provider.transfer.verify import OnUnexpected

_ON_MISMATCH = ("fail", "redownload")


class PlanetValidateChecksumOperator(PlanetTransferOperator):
    """Read downloaded files again and compare their digests: an order's with its manifest, or one file's.

    It asks Planet for nothing, unless it is to fetch bad files again.

    :param path: An order's folder or its ``manifest.json``; or, with ``expected``, one file. An absolute
        path, or a URL such as ``s3://conn_id@bucket/prefix``. (templated)
    :param expected: The file's digest, in hexadecimal. (templated)
    :param checksum: ``sha256`` or ``md5``. Assets come with md5 only. (templated)
    :param max_concurrency: Files at once.
    :param on_mismatch: What to do about files of an order that are missing, short, altered or unreadable:
        ``fail``, or ``redownload`` those and those alone, and compare them again. The order is the one that
        ``planet-transfer.json`` in its folder names; Planet keeps orders for 90 days. Until all are there again,
        ``manifest.json`` is not; a retry goes on by ``planet-transfer.json``. (templated)
    :param on_unexpected: What to do about files in an order's folder that neither the manifest nor
        ``planet-transfer.json`` knows: ``warn`` (in log and result), ``fail``, or ``ignore`` (the folder is not
        listed). They are never deleted. (templated)
    :param planet_conn_id: Airflow connection of type ``planet``, for ``redownload``. (templated)
    :return: XCom ``{validated, bytes, path, checksum}``, of an order also ``{unexpected, redownloaded}``, lists of
        names; each key also as an XCom of its own.
    :raises ChecksumError: Names every file that is missing, short, altered, unreadable or unexpected.
    """

    template_fields: Sequence[str] = (
        *("path", "expected", "checksum", "on_mismatch", "on_unexpected", "planet_conn_id"),
    )

    def __init__(
        self,
        *,
        path: Any,
        expected: str | None = None,
        checksum: Literal["sha256", "md5"] = "sha256",
        max_concurrency: int = 4,
        on_mismatch: Literal["fail", "redownload"] = "fail",
        on_unexpected: OnUnexpected = "warn",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.path = templated(path, "path")
        self.expected = expected
        self.checksum = checksum
        self.max_concurrency = max_concurrency
        self.on_mismatch = on_mismatch
        self.on_unexpected = on_unexpected

    @property
    def map_name(self) -> str | None:
        """What is verified."""
        return text_name(self.path)

    @task_errors()
    def execute(self, context: Context) -> dict[str, Any]:
        """Verify."""

        from planet_provider.transfer.digests import check_checksum
        from planet_provider.transfer.verify import ON_UNEXPECTED, verify_file

        checksum = check_checksum(self.checksum)
        on_mismatch = checks.choice(self.on_mismatch, _ON_MISMATCH, "on_mismatch")
        checks.choice(self.on_unexpected, ON_UNEXPECTED, "on_unexpected")
        result = {"path": str(self.path), "checksum": checksum}
        if self.expected is not None:
            if on_mismatch != "fail":
                raise InvalidInputError(
                    "on_mismatch", on_mismatch, "is for an order's folder; of one file no order is known."
                )
            size = verify_file(store_and_name(self.path, "path"), self.expected, checksum)
            self.log.info("%s, %s: as it should be.", self.path, file_size(size))
            return {"validated": 1, "bytes": size, **result}
        with self.transferring():
            found, again = self._order(repairing=on_mismatch == "redownload")
        self.log.info("%s, %s: as expected.", counted(found.validated, "file"), file_size(found.bytes))
        return {
            "validated": found.validated,
            "bytes": found.bytes,
            **result,
            "unexpected": list(found.unexpected),
            "redownloaded": list(again),
        }

    def _order(self, *, repairing: bool) -> tuple[Verification, tuple[str, ...]]:
        from planet_provider.transfer.digests import check_checksum
        from planet_provider.transfer.progress import log_progress
        from planet_provider.transfer.verify import bad_files, repair

        folder = self._folder()
        try:
            return self._verify(folder), ()
        except TransferError as error:
            if not repairing or not bad_files(folder, error):
                raise
            with self.hook.session() as session:
                again = repair(
                    session,
                    folder,
                    error,
                    checksum=check_checksum(self.checksum),
                    max_concurrency=self.max_concurrency,
                    progress=log_progress(self.log),
                )
        return self._verify(folder), again

    def _verify(self, folder: Store) -> Verification:
        from planet_provider.transfer.digests import check_checksum
        from planet_provider.transfer.progress import log_progress
        from planet_provider.transfer.verify import verify

        return verify(
            folder,
            checksum=check_checksum(self.checksum),
            max_concurrency=self.max_concurrency,
            on_unexpected=self.on_unexpected,
            progress=log_progress(self.log),
        )

    def _folder(self) -> Store:
        from planet_provider.transfer.manifest import MANIFEST

        path = location(self.path, "path")
        return store_at(path.parent if path.name == MANIFEST else self.path, "path")
