"""Names that Planet delivers, checked before they become paths.

A name comes over the network, so it is never joined to a folder unchecked. The rules are those of every
place a file may land in: POSIX and Windows file systems, some of which fold case, and object stores.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from email.message import Message
from functools import lru_cache

from planet_provider.builders.checks import MAX_FILE_NAME_BYTES
from planet_provider.exceptions import UnsafePathError

#: Suffixes of files beside a file that is being written; see :mod:`planet_provider.transfer.stores.local`.
PART = ".part"
PART_RECORD = ".part.json"

#: Prefix of files of this package's own; no delivered file may have it.
OWN_PREFIX = ".planet-transfer-"

#: Bytes of a whole name. Source: the longest key of Amazon S3 and Google Cloud Storage.
MAX_NAME_BYTES = 1024

_DRIVE = re.compile(r"[A-Za-z]:")

#: Unicode categories that no name may have: control, format (they reorder what is shown), surrogate,
#: line and paragraph separator.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def check_name(name: object) -> str:
    """Check one delivered name.

    :param name: A relative path with ``/`` between its components.
    :return: The name, unchanged.
    :raises UnsafePathError: It might lead anywhere but below its folder, or not be storable.
    """
    if not isinstance(name, str):
        raise _unsafe(name, "is not a string")
    problem = _problem(name)
    if problem is not None:
        raise _unsafe(name, problem)
    return name


def check_component(name: object) -> str:
    """Check a delivered name that has to be a plain file name, without folders."""
    checked = check_name(name)
    if "/" in checked:
        raise _unsafe(name, "must not have folders")
    return checked


def check_places(names: Iterable[str]) -> None:
    """Check that all names can stand beside each other, on a file system that folds case too.

    :param names: Names that :func:`check_name` has passed.
    :raises UnsafePathError: Two are one place, or one is a folder of another.
    """
    files: dict[str, str] = {}
    for name in names:
        for place in _claims(name):
            key = _folded(place)
            if key in files:
                raise _unsafe(name, f"would take the place of {_shown(files[key])}")
            files[key] = name
    for name in files.values():
        for folder in _folders(name):
            if folder in files:
                raise _unsafe(name, f"needs a folder where the file {_shown(files[folder])} is")


def safe_component(name: str | None) -> str | None:
    """Return a file name if it is a safe one, else ``None``."""
    try:
        return check_component(name)
    except UnsafePathError:
        return None


def disposition_name(header: str | None) -> str | None:
    """Return the file name that a ``Content-Disposition`` header gives (RFC 6266), unchecked."""
    if not header or "\n" in header or "\r" in header:
        return None
    message = Message()
    message["Content-Disposition"] = header
    return message.get_filename()


@lru_cache(maxsize=1024)  # each name is checked wherever it becomes a path
def _problem(name: str) -> str | None:
    problems = {
        "is empty": not name,
        "is absolute": name.startswith("/"),
        "has a backslash": "\\" in name,
        "begins with a drive letter": _DRIVE.match(name),
        "has control or invisible characters": any(map(_is_unseen, name)),
        f"is longer than {MAX_NAME_BYTES} bytes": len(name.encode(errors="replace")) > MAX_NAME_BYTES,
    }
    for problem, holds in problems.items():
        if holds:
            return problem
    return next(filter(None, map(_component_problem, name.split("/"))), None)


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) in _UNSEEN


def _component_problem(component: str) -> str | None:
    if not component.strip():
        return "has an empty component"
    # Windows drops dots and blanks at a component's end, so ".. " and "..." are parents there.
    if component.rstrip(". ") == "":
        return "has a component of dots alone"
    if component.casefold().startswith(OWN_PREFIX):
        return f"begins with {OWN_PREFIX}, as this package's own files do"
    if len(component.encode()) > MAX_FILE_NAME_BYTES:
        return f"has a component of more than {MAX_FILE_NAME_BYTES} bytes"
    return None


def _claims(name: str) -> Iterator[str]:
    yield name
    yield name + PART
    yield name + PART_RECORD


def _folders(name: str) -> Iterator[str]:
    folder = _folded(name)
    while "/" in folder:
        folder = folder.rpartition("/")[0]
        yield folder


def _folded(name: str) -> str:
    # Folding can undo a normal form, hence twice.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _shown(name: object) -> str:
    shown = ascii(name)
    return shown if len(shown) <= 120 else f"{shown[:100]}… ({len(shown)} characters)"


def _unsafe(name: object, problem: str) -> UnsafePathError:
    return UnsafePathError(
        f"Delivered file {_shown(name)} {problem}; nothing was downloaded. "
        "Report it to Planet: no order should hold such a name.",
        file=_shown(name),
    )
