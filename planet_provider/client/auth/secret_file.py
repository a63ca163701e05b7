"""Planet's secret file, ``{"key": "..."}``: read and written as the official SDK does, for its owner only."""

from __future__ import annotations

import json
import logging
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

from planet_provider.client.auth.credentials import fits_header
from planet_provider.exceptions import CredentialsError

log = logging.getLogger(__name__)

#: The file that Planet's SDK reads.
SECRET_FILE = Path("~/.planet.json")

#: Read and write for the owner, nothing for anybody else.
OWNER_ONLY = 0o600

_EXPECTED = 'expected {"key": "..."}'
_NO_KEY = "holds characters that no key has: blanks, line breaks, control characters or others than ASCII"


def read_secret(path: str | os.PathLike[str] = SECRET_FILE) -> str:
    """Read the API key from a Planet secret file.

    A file that others may read is closed to them; where that can't be done (a read-only mount, another owner),
    a warning is logged.

    :param path: The file; ``~`` is expanded.
    :raises CredentialsError: It cannot be read, or holds no key, or one that can't be a key.
    """
    file = _expanded(path)
    content = _content(file)
    key = content.get("key") if isinstance(content, dict) else None
    if not isinstance(key, str) or not key.strip():
        raise CredentialsError(f'The Planet secret file {file} holds no "key"; {_EXPECTED}.')
    if not fits_header(key.strip()):
        raise CredentialsError(f'The "key" in the Planet secret file {file} {_NO_KEY}.')
    _close_to_others(file)
    return key.strip()


def store_secret(api_key: str, path: str | os.PathLike[str] = SECRET_FILE) -> Path:
    """Write the API key to a Planet secret file, with mode 0600 whatever the umask; other entries stay.

    The file is replaced in one step: a reader gets the old one or the new one, whole. A
    symbolic link stays one.

    :param api_key: Planet API key.
    :param path: The file; ``~`` is expanded. Its folder must exist.
    :return: The file.
    :raises CredentialsError: The key is empty, or has characters that no key has; or there is a file that is no
        secret file; or it can't be written.
    """
    if not isinstance(api_key, str) or not api_key.strip():
        raise CredentialsError("The API key to store is empty.")
    if not fits_header(api_key.strip()):
        raise CredentialsError(f"The API key to store {_NO_KEY}.")
    file = _expanded(path)
    content = _content(file) if os.path.exists(file) else {}  # False of a path that no file can have
    if not isinstance(content, dict):
        raise CredentialsError(f"The file {file} is no Planet secret file, and is left alone; {_EXPECTED}.")
    text = json.dumps({**content, "key": api_key.strip()}, indent=2) + "\n"
    try:
        _replace(Path(os.path.realpath(file)), text)
    except OSError as error:
        raise CredentialsError(
            f"The Planet secret file {file} cannot be written: {error.strerror}."
        ) from error
    return file


def _expanded(path: str | os.PathLike[str]) -> Path:
    try:
        expanded = Path(path).expanduser()
        os.fsencode(expanded)
        if "\0" in str(expanded):
            raise ValueError("its path holds a null character")
    except (RuntimeError, TypeError, ValueError) as error:
        raise CredentialsError(f"The Planet secret file {path!r} cannot be found: {error}.") from None
    return expanded


def _content(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())  # of any Unicode, with or without a byte order mark
    except OSError as error:
        raise CredentialsError(f"The Planet secret file {file} cannot be read: {error.strerror}.") from error
    except (RecursionError, ValueError):
        # The parser's own error is left out of the chain: it holds the file's text.
        raise CredentialsError(f"The Planet secret file {file} is not JSON; {_EXPECTED}.") from None


def _replace(file: Path, text: str) -> None:
    # mkstemp creates with 0600 at once, so there is no moment in which others can read it.
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            os.fchmod(out.fileno(), OWNER_ONLY)
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise


def _close_to_others(file: Path) -> None:
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        if not mode & 0o077:
            return
        file.chmod(OWNER_ONLY)
    except OSError as error:
        log.warning(
            "The Planet secret file %s may be read by others than its owner, and that can't be changed: %s. "
            "Give it mode 0600.",
            file,
            error.strerror,
        )
    else:
        log.warning("The Planet secret file %s had mode %04o; it is 0600 now.", file, mode)
