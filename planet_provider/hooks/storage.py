"""From a path or URL in a DAG to the store behind it."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from planet_provider.exceptions import InvalidInputError
from planet_provider.hooks.task_errors import task_errors

if TYPE_CHECKING:
    from planet_provider.transfer.stores.base import Store


_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>[^/]*)(?P<path>.*)", re.DOTALL)

#: What the schemes of buckets need to be opened, and the extra that brings it.
_BUCKETS = {
    **dict.fromkeys(("s3", "s3a", "s3n"), ("s3fs", "s3")),
    **dict.fromkeys(("gs", "gcs"), ("gcsfs", "gcs")),
    **dict.fromkeys(("abfs", "abfss", "adl"), ("adlfs", "azure")),
}


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

    from planet_provider.hooks.buckets import bucket_store
    from planet_provider.transfer.stores.open import open_store

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
        text = str(value)
        if _URL.fullmatch(text) and _checked(text, field).rstrip("/") != text.rstrip("/"):
            raise InvalidInputError(field, text, "must not have empty components or blanks around it.")
        return value
    path = _checked(value, field)
    if _URL.fullmatch(path) is None:
        return PurePath(path)
    from airflow.sdk import ObjectStoragePath

    try:
        return ObjectStoragePath(path)
    except (ValueError, ImportError) as error:
        raise _unknown(field, value, error) from error


@task_errors()
def templated(value: Any, field: str) -> Any:
    """Prepare a path that an operator is given: Airflow renders text, but no ``pathlib.Path``.

    :return: Text where it was a local path; anything else as it is.
    :raises InvalidInputError: It is literal, and can't be used where the DAG is parsed.
    """
    if isinstance(value, os.PathLike) and not hasattr(type(value), "fs"):
        value = os.fspath(value)
    if not isinstance(value, str) or "{{" in value or "{%" in value:
        return value
    found = _URL.fullmatch(_checked(value, field))
    module, extra = _BUCKETS.get(found["scheme"].lower(), (None, "")) if found else (None, "")
    if module is not None and importlib.util.find_spec(module) is None:
        raise InvalidInputError(
            field,
            value,
            f"needs {module}, which is not installed: pip install 'airflow-provider-planet[{extra}]'.",
        )
    return value


def _checked(value: Any, field: str) -> str:
    """Return an absolute path, or a URL, in its one form: nothing around it, and no empty components."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        raise InvalidInputError(
            field, value, "must be an absolute path, or a URL such as s3://conn_id@bucket/prefix."
        )
    if any(character < " " or character == "\x7f" for character in text):
        raise InvalidInputError(field, value, "must not have control characters.")
    found = _URL.fullmatch(text)
    path = found["path"] if found else text
    if found is None and not path.startswith("/"):
        raise InvalidInputError(
            field, value, "must be an absolute path: a worker's working directory is not the DAG's."
        )
    components = [component for component in path.split("/") if component]
    if ".." in components or "." in components:
        raise InvalidInputError(field, value, "must not have '.' or '..' as a component; write the path out.")
    if found is None:
        return "/" + "/".join(components)
    if found["scheme"].lower() in _BUCKETS and not found["host"].rpartition("@")[2]:
        raise InvalidInputError(field, value, "names no bucket; write s3://conn_id@bucket/prefix.")
    # A slash at the end says nothing here; the one at the beginning does where there is no host.
    end = "/" if path and not components else ""
    return "/".join([f"{found['scheme']}://{found['host']}", *components]) + end


def _unknown(field: str, value: str, error: Exception) -> InvalidInputError:
    return InvalidInputError(
        field,
        value,
        f"{str(error).rstrip('.')}. Install what brings this scheme (s3: airflow-provider-planet[s3]; "
        "gs: airflow-provider-planet[gcs]; abfs: airflow-provider-planet[azure]), or correct the URL.",
    )
