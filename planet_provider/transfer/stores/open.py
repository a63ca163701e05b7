"""From what a user gives as destination to the store behind it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from planet_provider.exceptions import InvalidInputError
from planet_provider.transfer.stores.base import Store
from planet_provider.transfer.stores.bucket import BucketStore
from planet_provider.transfer.stores.local import LocalStore
from planet_provider.transfer.stores.spool import ObjectStore

#: A path, an object with ``fs`` and ``path`` such as Airflow's ``ObjectStoragePath``, an obstore store made for a
#: bucket, or a store of this package.
Destination = Any

#: Protocols by obstore's classes.
_SCHEMES = {"S3Store": "s3", "GCSStore": "gs", "AzureStore": "abfs"}


def open_store(destination: Destination, field: str = "destination") -> Store:
    """Return the store at a destination.

    :param destination: A local path; an object with an fsspec filesystem ``fs`` and a ``path`` in it, such as
        Airflow's ``ObjectStoragePath``, which is written to by way of a local spool; a bucket's obstore store,
        such as ``obstore.store.S3Store("bucket", prefix="planet")``, which needs none; or a store, returned as
        it is.
    :param field: How the caller names it.
    :raises InvalidInputError: It is none of these.
    """
    if isinstance(destination, (LocalStore, ObjectStore, BucketStore)):
        return destination
    if type(destination).__module__.partition(".")[0] == "obstore":
        return _bucket(destination, field)
    if hasattr(destination, "fs") and hasattr(destination, "path"):
        fs = destination.fs
        if is_local(fs):
            return LocalStore(destination.path)
        return ObjectStore(fs, destination.path, uri=str(destination))
    return LocalStore(local_path(destination, field))


def _bucket(client: Any, field: str) -> BucketStore:
    scheme = _SCHEMES.get(type(client).__name__)
    if scheme is None:
        raise InvalidInputError(field, type(client).__name__, f"must be one of {', '.join(_SCHEMES)}")
    bucket = client.config.get("bucket") or client.config.get("container_name") or "bucket"
    # The client puts its own prefix before every key.
    return BucketStore(client, "", uri="/".join(filter(None, (f"{scheme}://{bucket}", client.prefix))))


def local_path(path: object, field: str) -> Path:
    """Check a local path, or ``file://`` URI."""
    given = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(given, str) or not given.strip():
        raise InvalidInputError(field, path, "must be a path, or an ObjectStoragePath")
    given = given.strip()
    if given.startswith("file:///"):
        given = given.removeprefix("file://")
    if "://" in given:
        raise InvalidInputError(
            field, path, "is a URI; make an ObjectStoragePath of it, which has a filesystem"
        )
    return Path(given)


def is_local(fs: Any) -> bool:
    """Tell whether an fsspec filesystem is the local disk."""
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
    return "file" in protocols or "local" in protocols
