"""Delivery of an order: where to, and what each destination takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], str | None]

_ARCHIVE = frozenset({"archive_type", "archive_filename", "single_archive", "layout"})


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and value else f"must be a non-empty string, not {value!r}"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else f"must be true or false, not {value!r}"


_PREFIX: Mapping[str, Check] = {"path_prefix": _text}
# Per destination: its parameters; those with "*" are required.
_CLOUDS: Mapping[str, Mapping[str, Check]] = {
    "amazon_s3": {
        "bucket*": _text,
        "aws_region*": _text,
        "aws_access_key_id*": _text,
        "aws_secret_access_key*": _text,
        **_PREFIX,
    },
    "azure_blob_storage": {
        "account*": _text,
        "container*": _text,
        "sas_token*": _text,
        "storage_endpoint_suffix": _text,
        **_PREFIX,
    },
    "google_cloud_storage": {"bucket*": _text, "credentials*": _text, **_PREFIX},
    "google_earth_engine": {"project*": _text, "collection*": _text},
    "oracle_cloud_storage": {
        "bucket*": _text,
        "region*": _text,
        "namespace*": _text,
        "customer_access_key_id*": _text,
        "customer_secret_key*": _text,
        **_PREFIX,
    },
    "s3_compatible": {
        "endpoint*": _text,
        "bucket*": _text,
        "region*": _text,
        "access_key_id*": _text,
        "secret_access_key*": _text,
        "use_path_style": _flag,
        **_PREFIX,
    },
    "destination": {"ref*": _text, **_PREFIX},
}


def delivery_problems(delivery: Any) -> list[str]:
    """Return what is wrong with an order's ``delivery``."""
    if not isinstance(delivery, dict):
        return ["delivery must be an object"]
    unknown = set(delivery) - _ARCHIVE - set(_CLOUDS)
    problems = [f"{name!r} is not known" for name in sorted(unknown)]
    clouds = [name for name in _CLOUDS if name in delivery]
    if len(clouds) > 1:
        problems.append(f"only one destination may be given, not {', '.join(clouds)}")
    for name in clouds:
        problems += _problems(name, delivery[name], _CLOUDS[name])
    if delivery.get("archive_type", "zip") != "zip":
        problems.append(f"archive_type must be zip, not {delivery['archive_type']!r}")
    if not isinstance(delivery.get("single_archive", False), bool):
        problems.append("single_archive must be true or false")
    if delivery.get("single_archive") and "archive_type" not in delivery:
        problems.append("single_archive needs an archive_type")
    return problems + _archive_name_problems(delivery.get("archive_filename", "{{name}}.zip"))


def _archive_name_problems(name: Any) -> list[str]:
    if not isinstance(name, str) or not name:
        return ["archive_filename must be a non-empty string"]
    unknown = set(re.findall(r"{{\s*(.*?)\s*}}", name)) - {"name", "order_id"}
    return [f"archive_filename: {{{{{field}}}}} is not one of name, order_id" for field in sorted(unknown)]


def _problems(name: str, parameters: Any, checks: Mapping[str, Check]) -> list[str]:
    if not isinstance(parameters, dict):
        return [f"{name} must be an object, not {parameters!r}"]
    allowed = {key.rstrip("*"): check for key, check in checks.items()}
    required = [key.rstrip("*") for key in checks if key.endswith("*")]
    problems = [f"{name}.{key} is required" for key in required if key not in parameters]
    problems += [f"{name}.{key} is not known" for key in parameters if key not in allowed]
    for key, check in allowed.items():
        message = check(parameters[key]) if key in parameters else None
        if message:
            problems.append(f"{name}.{key} {message}")
    return problems
