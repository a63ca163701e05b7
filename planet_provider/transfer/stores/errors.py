"""What a disk, or a file system behind fsspec, refuses: told with file, folder and remedy."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass

from planet_provider.exceptions import StorageError
from planet_provider.redact import redact_text
from planet_provider.wording import file_size

_RIGHTS = "Let the task's user read and write there."
_FILE_THERE = "A file stands where a folder has to be: move it away."

#: By the system's number. Of a full disk it depends on the file.
_REMEDIES = {
    errno.EFBIG: "Raise the limit on a file's size (ulimit -f), or take a file system that holds such files.",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: "Mount it for writing.",
    errno.EISDIR: "A folder stands where the file has to be: move it away.",
    errno.ENOTDIR: _FILE_THERE,
    errno.EEXIST: _FILE_THERE,
    errno.ENXIO: "A pipe, a device or a socket stands there: remove it.",
    errno.EMLINK: "Remove that name; the other one keeps the content.",
    errno.ELOOP: "A symbolic link stands there: remove it.",
}

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

_KEPT = "Whole files are kept, and parts that can be continued; the next try takes them up."


@dataclass(frozen=True)
class FileLocation:
    """Where a file lies, or is to lie.

    :param name: The file's.
    :param folder: What it is in; a local path or a URI.
    :param size: Bytes that the file is to have, where they are known.
    """

    name: str
    folder: str
    size: int | None = None

    @contextlib.contextmanager
    def errors(self, *, reading: bool = False) -> Iterator[None]:
        """Turn the system's errors into ours.

        :param reading: Leave it to the caller that there is no such file.
        """
        try:
            yield
        except OSError as error:
            if reading and isinstance(error, FileNotFoundError):
                raise
            raise self.error(error) from error

    def error(self, error: OSError, held: int = 0) -> StorageError:
        """Return our error for one of the system's.

        :param held: Bytes of the file that are there.
        """
        reason = redact_text(error.strerror or str(error) or type(error).__name__)
        file = self.name or None
        return StorageError(
            f"{self.name + ': ' if file else ''}{reason}, in {self.folder}. {self._remedy(error, held)} {_KEPT}",
            file=file,
            folder=self.folder,
            reason=reason,
        )

    def _remedy(self, error: OSError, held: int) -> str:
        if error.errno in _FULL:
            room = "space" if self.size is None else f"at least {file_size(max(0, self.size - held))}"
            return f"Free {room} there."
        if isinstance(error, FileNotFoundError):
            return "It is not there, or not any more: make it, or correct the path."
        return _REMEDIES.get(error.errno or 0, "Look at that file system, and at the rights there.")


def reason_of(error: Exception) -> str:
    """Return the system's words of an error, where it has any."""
    if isinstance(error, StorageError) and error.reason:
        return error.reason
    return redact_text((isinstance(error, OSError) and error.strerror) or str(error))
