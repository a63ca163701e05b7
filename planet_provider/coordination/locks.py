"""Short named locks, kept where the rate limit's state is kept.

For what must not be done twice at the same time, such as placing the same order. A holder that is killed
blocks nobody for long: the kernel releases its file at once, Redis its key after some seconds.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from planet_provider.coordination.flock import LockedFile, check_own_folder
from planet_provider.coordination.open import (
    Fallback,
    check_store_url,
    local_directory,
    store_directory,
)
from planet_provider.coordination.redis_url import redis_client, redis_label
from planet_provider.coordination.store import store_error
from planet_provider.exceptions import LockTimeoutError

if TYPE_CHECKING:
    from redis import Redis
    from redis.lock import Lock

log = logging.getLogger(__name__)

#: Seconds after which Redis releases a lock whose holder has gone; a live holder renews it in time.
TTL_SECONDS = 15.0

_PREFIX = "planet-lock:"


class HeldLock(Protocol):
    """A lock that one holds."""

    def check(self) -> None:
        """Make sure that it is still held, before what must not be done twice.

        :raises LockTimeoutError: It was lost, because its server was away for too long.
        """
        ...


class Locks(Protocol):
    """Gives out locks by name. Safe to share between threads; a lock can't be taken twice by one thread."""

    def hold(self, name: str, timeout: float) -> AbstractContextManager[HeldLock]:
        """Hold a lock for the length of a block.

        :param name: What nobody else may do meanwhile. Only its hash is kept.
        :param timeout: Seconds to wait for it.
        :raises LockTimeoutError: Somebody else held it all the time.
        :raises CoordinationStoreError: The store can't be used, and there is no fallback.
        """
        ...


def open_locks(url: str, fallback: Fallback) -> Locks:
    """Return the locks of a store.

    While a cluster's store can't be used, they hold for this machine, unless ``fallback`` is ``fail``.

    :param url: As for the rate limit.
    :param fallback: As for the rate limit.
    :raises ConfigurationError: The URL is wrong.
    """
    check_store_url(url)
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        return _memory
    if scheme == "file":
        return FileLocks(store_directory(url))
    local = None if fallback == "fail" else FileLocks(local_directory(), private=True)
    return RedisLocks(redis_client(url), redis_label(url), local)


class _Kept:
    """A lock that can't be lost."""

    def check(self) -> None:
        """Do nothing."""


class MemoryLocks:
    """Locks between the threads of one process."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all locks. After a fork, their holders are gone."""
        self._names: set[str] = set()
        self._freed = threading.Condition()

    @contextmanager
    def hold(self, name: str, timeout: float) -> Iterator[HeldLock]:
        """Hold a lock for the length of a block."""
        with self._freed:
            if not self._freed.wait_for(lambda: name not in self._names, timeout):
                raise _too_long(timeout)
            self._names.add(name)
        try:
            yield _Kept()
        finally:
            with self._freed:
                self._names.discard(name)
                self._freed.notify_all()


_memory = MemoryLocks()
os.register_at_fork(after_in_child=_memory.reset)


class FileLocks:
    """Locks between the processes of one machine.

    :param directory: Folder for the files; made if missing (0700). A file goes with its lock.
    :param private: Refuse a folder that others may have made, or may write to.
    """

    def __init__(self, directory: str, *, private: bool = False) -> None:
        self._directory = directory
        self._private = private

    @contextmanager
    def hold(self, name: str, timeout: float) -> Iterator[HeldLock]:
        """Hold a lock for the length of a block."""
        path = f"{self._directory}/lock-{_digest(name)}"
        try:
            Path(self._directory).mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._private:
                check_own_folder(self._directory)
            lock = LockedFile(path, timeout, removable=True)
            lock.__enter__()
        except TimeoutError as error:
            raise _too_long(timeout) from error
        except OSError as error:
            raise store_error(
                f"file://{self._directory}", "a lock can't be made", error, stands_in=self._private
            ) from error
        try:
            yield _Kept()
        finally:
            # Removed while it is locked: waiters see that, and make a new one.
            with suppress(FileNotFoundError):
                os.unlink(path)
            lock.__exit__(None, None, None)


class RedisLocks:
    """Locks between machines.

    :param client: Client with timeouts.
    :param label: How to call the server in messages.
    :param local: What to use while the server is away; ``None`` to fail.
    :param ttl: Seconds after which a lock is free whose holder has gone.
    """

    def __init__(
        self, client: Redis, label: str, local: FileLocks | None, *, ttl: float = TTL_SECONDS
    ) -> None:
        self._client = client
        self._label = label
        self._local = local
        self._ttl = ttl

    @contextmanager
    def hold(self, name: str, timeout: float) -> Iterator[HeldLock]:
        """Hold a lock for the length of a block."""
        from redis import RedisError

        lock = self._client.lock(
            _PREFIX + _digest(name),
            timeout=self._ttl,
            sleep=0.1,
            blocking_timeout=timeout,
            thread_local=False,
        )
        try:
            acquired = lock.acquire()
        except (RedisError, OSError) as error:
            failure = store_error(self._label, "a lock can't be taken", error)
            if self._local is None:
                raise failure from error
            log.warning("%s It holds for this machine only.", failure)
            with self._local.hold(name, timeout) as held:
                yield held
            return
        if not acquired:
            raise _too_long(timeout)
        with _Renewed(lock, self._ttl) as renewed:
            yield renewed


class _Renewed:
    """A lock in Redis that is renewed while it is held."""

    def __init__(self, lock: Lock, ttl: float) -> None:
        self._lock = lock
        self._ttl = ttl
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="planet-lock", daemon=True)

    def __enter__(self) -> _Renewed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        from redis import RedisError

        self._done.set()
        self._thread.join()
        try:
            self._lock.release()
        except (RedisError, OSError) as error:
            log.warning("A lock could not be released, and will be free in %g s: %s", self._ttl, error)

    def check(self) -> None:
        """Make sure that it is still held."""
        from redis import RedisError

        try:
            self._lock.reacquire()
        except (RedisError, OSError) as error:
            raise LockTimeoutError(
                f"A lock was lost while it was held ({type(error).__name__}): somebody else may be doing the "
                "same. Run this again later."
            ) from error

    def _renew(self) -> None:
        from redis import RedisError

        while not self._done.wait(self._ttl / 3):
            try:
                self._lock.reacquire()
            except (RedisError, OSError) as error:
                log.warning("A lock could not be renewed: %s", error)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _too_long(timeout: float) -> LockTimeoutError:
    return LockTimeoutError(
        f"Somebody else has been doing the same for more than {timeout:g} s. Run this again later."
    )
