"""Files that are locked while they are open.

The kernel releases such a lock when its holder ends, however it ends; a file that stays behind blocks nobody.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from types import TracebackType

from planet_provider.coordination.own_files import open_regular

#: Seconds between two tries for a lock: a critical section takes microseconds, an order seconds.
_FIRST_PAUSE = 50e-6
_LONGEST_PAUSE = 0.05


def check_own_folder(path: str) -> None:
    """Refuse a folder that somebody else has made or may write to; for one whose name can be guessed.

    :raises OSError: It is one, or it is none.
    """
    about = os.lstat(path)
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o022:
        raise PermissionError(f"{path} is no folder of this user's that nobody else may write to")


class LockedFile:
    """A file that is open and locked for the length of a block, which gets the file descriptor.

    Made if it is missing (0600).

    :param path: In a folder that exists.
    :param timeout: Seconds to wait for the lock.
    :param removable: Its holders may remove it. A waiter for one that is gone locks the one in its place.
    :raises TimeoutError: On entering: the lock was not free in time.
    :raises OSError: On entering: the file can't be opened or locked.
    """

    __slots__ = ("_descriptor", "_path", "_removable", "_timeout")

    def __init__(self, path: str, timeout: float, *, removable: bool = False) -> None:
        self._path = path
        self._timeout = timeout
        self._removable = removable

    def __enter__(self) -> int:
        self._descriptor = _open_locked(self._path, time.monotonic() + self._timeout, self._removable)
        return self._descriptor

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # Closing alone would leave the lock with a child that was forked meanwhile.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            os.close(self._descriptor)


def _open_locked(path: str, deadline: float, removable: bool) -> int:
    while True:
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor, path, deadline)
            if not removable or os.fstat(descriptor).st_nlink:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, path: str, deadline: float) -> None:
    pause = _FIRST_PAUSE
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{path} was locked by another process for too long") from None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
