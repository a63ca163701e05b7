"""From a path or URL in a DAG to the store behind it."""

from __future__ import annotations

import os
import re
from pathlib import PurePath
from typing import Any

from planet_provider.exceptions import InvalidInputError
from planet_provider.hooks.buckets import bucket_store
from planet_provider.transfer.destination import open_store
from planet_provider.transfer.store import Store

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def store_at(value: Any, field: str) -> Store:
    """Return the store for a folder.

    :param value: An absolute local path, a URL that Airflow's object storage knows
        (``s3://conn_id@bucket/prefix``), or an ``ObjectStoragePath``.
    :param field: The parameter's name, for errors.
    :raises InvalidInputError: It is neither, or no file system is installed for its scheme.
    """
    return _store(location(value, field), field, value)


def store_and_name(value: Any, field: str) -> tuple[Store, str]:
    """Return the store of a file's folder, and the file's name in it."""
    file = location(value, field)
    if not file.name:
        raise InvalidInputError(field, str(value), "must name a file.")
    return _store(file.parent, field, value), file.name


def _store(path: Any, field: str, given: Any) -> Store:
    from airflow.sdk import ObjectStoragePath

    # Options of a path's own are its file system's affair; before Airflow 3.2 the connection is among them.
    if isinstance(path, ObjectStoragePath) and set(path.storage_options) <= {"conn_id"}:
        bucket = bucket_store(path)
        if bucket is not None:
            return bucket
    try:
        return open_store(path, field)
    except InvalidInputError:
        raise
    except (ValueError, ImportError) as error:
        raise _unknown(field, str(given), error) from error


def location(value: Any, field: str) -> Any:
    """Return a path object with ``parent`` and ``name``: a local path, or an ``ObjectStoragePath``.

    :raises InvalidInputError: As for :func:`store_at`.
    """
    if hasattr(type(value), "fs"):
        return value
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str) or not value.strip():
        raise InvalidInputError(
            field, value, "must be an absolute path, or a URL such as s3://conn_id@bucket/prefix."
        )
    if _SCHEME.match(value) is None:
        local = PurePath(value)
        if not local.is_absolute():
            raise InvalidInputError(
                field, value, "must be an absolute path: a worker's working directory is not the DAG's."
            )
        return local
    from airflow.sdk import ObjectStoragePath

    try:
        return ObjectStoragePath(value)
    except (ValueError, ImportError) as error:
        raise _unknown(field, value, error) from error


def _unknown(field: str, value: str, error: Exception) -> InvalidInputError:
    return InvalidInputError(
        field,
        value,
        f"{str(error).rstrip('.')}. Install what brings this scheme (s3: airflow-provider-planet[s3]; "
        "gs: airflow-provider-planet[gcs]; abfs: airflow-provider-planet[azure]), or correct the URL.",
    )
