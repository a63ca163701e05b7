"""Verifying what was downloaded, as a task of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import BaseOperator

from planet_provider.hooks.storage import location
from planet_provider.hooks.task_errors import task_errors
from planet_provider.transfer.digests import check_checksum
from planet_provider.transfer.verify import verify, verify_file

if TYPE_CHECKING:
    from airflow.sdk import Context


class PlanetValidateChecksumOperator(BaseOperator):
    """Read downloaded files again and compare their digests: an order's with its manifest, or one file's.

    It needs no connection to Planet.

    :param path: An order's folder or its ``manifest.json``; or, with ``expected``, one file. An absolute
        path, or a URL such as ``s3://conn_id@bucket/prefix``. (templated)
    :param expected: The file's digest, in hexadecimal. (templated)
    :param checksum: ``sha256`` or ``md5``. Assets come with md5 only.
    :param max_concurrency: Files at once.
    :return: XCom ``{validated, bytes, path, checksum}``, each key also as an XCom of its own.
    :raises ChecksumError: Names every file that is missing, short or altered.
    """

    template_fields: Sequence[str] = ("path", "expected", "checksum")
    ui_color: str = "#cfe8e6"

    def __init__(
        self,
        *,
        path: Any,
        expected: str | None = None,
        checksum: Literal["sha256", "md5"] = "sha256",
        max_concurrency: int = 4,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.path = path
        self.expected = expected
        self.checksum = checksum
        self.max_concurrency = max_concurrency

    @task_errors()
    def execute(self, context: Context) -> dict[str, Any]:
        """Verify."""
        checksum = check_checksum(self.checksum)
        target = location(self.path, "path")
        if self.expected is not None:
            validated, size = 1, verify_file(target, self.expected, checksum)
        else:
            verification = verify(target, checksum=checksum, max_concurrency=self.max_concurrency)
            validated, size = verification.validated, verification.bytes
        self.log.info("%d files, %d bytes: all as they should be.", validated, size)
        return {"validated": validated, "bytes": size, "path": str(self.path), "checksum": checksum}
