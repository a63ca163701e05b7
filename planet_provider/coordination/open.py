"""Stores by their URL."""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from planet_provider.coordination.fallback import FallbackStore
from planet_provider.coordination.file_store import FileStore
from planet_provider.coordination.memory_store import MemoryStore
from planet_provider.coordination.redis_store import RedisStore
from planet_provider.coordination.redis_url import (
    REDIS_SCHEMES,
    check_redis_url,
    redis_client,
    redis_label,
)
from planet_provider.coordination.store import RateStore
from planet_provider.exceptions import ConfigurationError

Fallback: TypeAlias = float | Literal["fail"]

_memory = MemoryStore()


def check_store_url(url: str) -> None:
    """Refuse a URL of a store that can't be used. Connects to nothing.

    :raises ConfigurationError: What is wrong with it.
    """
    scheme = url.partition(":")[0].lower() if isinstance(url, str) else ""
    if scheme in REDIS_SCHEMES:
        check_redis_url(url)
    elif scheme == "file":
        store_directory(url)
    elif scheme != "memory":
        known = ", ".join(f"{name}://" for name in ("memory", "file", *REDIS_SCHEMES))
        raise ConfigurationError(f"coordination_store: unknown scheme {scheme!r}; known: {known}.")


def store_directory(url: str) -> str:
    """Return the folder of a ``file://`` URL.

    :raises ConfigurationError: It is not an absolute path on this machine.
    """
    wrong = ConfigurationError(
        f"coordination_store={url!r}: must be an absolute path, such as file:///var/lib/airflow/planet."
    )
    try:
        parts = urlsplit(url)
    except ValueError:
        raise wrong from None
    if parts.netloc not in {"", "localhost"} or not parts.path.strip("/") or parts.query or parts.fragment:
        raise wrong
    return unquote(parts.path)


@lru_cache(maxsize=32)
def open_store(url: str, fallback: Fallback) -> RateStore:
    """Return the store that a URL names, one a process.

    It falls back to a folder of this machine, for this user, and that to the process: a share for each process
    would be no limit, where each task is a process.

    :param url: ``memory://``, ``file://``, ``redis://``, ``rediss://`` or ``redis+sentinel://``.
    :param fallback: Share of the rate to use while the store can't be used, or ``fail``.
    :raises ConfigurationError: The URL is wrong, or redis-py is missing.
    """
    check_store_url(url)
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        return _memory
    store: RateStore
    if scheme == "file":
        store, name = FileStore(store_directory(url)), url
    else:
        store, name = RedisStore(redis_client(url), redis_label(url)), redis_label(url)
    if fallback == "fail":
        return store
    machine = FallbackStore(
        FileStore(local_directory(), private=True),
        _memory,
        1.0,
        of=fallback,
        name=f"file://{local_directory()}",
        users="from each process",
    )
    return FallbackStore(store, machine, fallback, name=name, users="from this machine")


def local_directory() -> str:
    """Return the folder that stands in for another store on this machine, for this user."""
    return str(Path(tempfile.gettempdir()) / f"planet-rate-limits-{os.getuid()}")
