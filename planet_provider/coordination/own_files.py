"""Files of this package's own on a local disk: regular ones alone, and durable folders."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

#: What a file system says that can't sync a folder (CIFS, vboxsf, some FUSE), or may not open it to do so.
_NO_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES})


def open_regular(
    path: str | os.PathLike[str], flags: int = os.O_RDONLY, mode: int = 0o666, *, follow: bool = False
) -> int:
    """Open a regular file. Never waits for the other end of a pipe.

    :param flags: As for ``os.open``.
    :param mode: Of a new file.
    :param follow: Whether a symbolic link in its place is followed.
    :return: The file descriptor.
    :raises OSError: It can't be opened; it is a link, a pipe, a device or a socket; or it is to be written, and
        has another name too.
    """
    path = os.fspath(path)
    nofollow = 0 if follow else os.O_NOFOLLOW
    try:
        handle = os.open(path, flags & ~os.O_TRUNC | os.O_CLOEXEC | os.O_NONBLOCK | nofollow, mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, f"{path} is a symbolic link") from None
        raise
    try:
        about = os.fstat(handle)
        if stat.S_ISDIR(about.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.ENXIO, f"{path} is not a regular file")
        is_written = flags & (os.O_WRONLY | os.O_RDWR)
        if is_written and about.st_nlink > 1:
            raise OSError(errno.EMLINK, f"{path} is a hard link: another name leads to the same file")
        if flags & os.O_TRUNC:
            os.ftruncate(handle, 0)
    except BaseException:
        os.close(handle)
        raise
    return handle


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Write a folder's entries through to the disk, if its file system can."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with contextlib.ExitStack() as opened:
            opened.callback(os.close, handle)
            os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
