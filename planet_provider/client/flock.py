"""Files that are locked while they are open.

The kernel releases such a lock when its holder ends, however it ends; a file that stays behind blocks nobody.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def locked_file(path: str, timeout: float) -> Iterator[int]:
    """Open a file, make it if it is missing (0600), and lock it for the length of the block.

    :param path: In a folder that exists.
    :param timeout: Seconds to wait for the lock.
    :return: The file descriptor.
    :raises TimeoutError: The lock was not free in time.
    :raises OSError: The file can't be opened or locked.
    """
    descriptor = _open_locked(path, time.monotonic() + timeout)
    try:
        yield descriptor
    finally:
        # Closing alone would leave the lock with a child that was forked meanwhile.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _open_locked(path: str, deadline: float) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _lock(descriptor, path, deadline)
            # Whoever held it before may have removed the file: then another one is in its place by now.
            if os.fstat(descriptor).st_nlink:
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
