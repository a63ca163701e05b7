"""Where an order goes and who hears of it: archives, cloud storage, hosting, notifications.

The destinations' fields stand in one table, with what is required and what is a credential. No error shows a
value that may be a credential.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from planet_provider.builders import checks
from planet_provider.exceptions import InvalidInputError
from planet_provider.wording import counted

#: Archives that Planet packs.
ARCHIVE_TYPES = ("zip",)

#: Name of an archive; Planet fills in what stands in braces. Source: the official SDK's default.
ARCHIVE_FILENAME = "{{name}}_{{order_id}}.zip"

#: The account's default destination.
DEFAULT_DESTINATION = "pl:destinations/default"

_DESTINATION_PREFIX = "pl:destinations/"
_ARCHIVE_FIELDS = ("archive_type", "archive_filename", "single_archive")


@dataclass(frozen=True, kw_only=True)
class _Cloud:
    required: tuple[str, ...]
    optional: tuple[str, ...] = ("path_prefix",)
    credentials: frozenset[str] = frozenset()


_CLOUDS = {
    "amazon_s3": _Cloud(
        required=("aws_access_key_id", "aws_secret_access_key", "bucket", "aws_region"),
        credentials=frozenset({"aws_access_key_id", "aws_secret_access_key"}),
    ),
    "azure_blob_storage": _Cloud(
        required=("account", "container", "sas_token"),
        optional=("storage_endpoint_suffix", "path_prefix"),
        credentials=frozenset({"sas_token"}),
    ),
    "destination": _Cloud(required=("ref",)),
    "google_cloud_storage": _Cloud(
        required=("bucket", "credentials"), credentials=frozenset({"credentials"})
    ),
    "google_earth_engine": _Cloud(required=("project", "collection"), optional=()),
    "oracle_cloud_storage": _Cloud(
        required=("customer_access_key_id", "customer_secret_key", "bucket", "region", "namespace"),
        credentials=frozenset({"customer_access_key_id", "customer_secret_key"}),
    ),
    "s3_compatible": _Cloud(
        required=("endpoint", "bucket", "region", "access_key_id", "secret_access_key"),
        optional=("use_path_style", "path_prefix"),
        credentials=frozenset({"access_key_id", "secret_access_key"}),
    ),
}

_CLOUD_FIELDS = frozenset(name for cloud in _CLOUDS.values() for name in (*cloud.required, *cloud.optional))

#: What the name of a credential has in it.
_SECRET = re.compile(r"key|secret|token|credential|passw|signature|sas", re.IGNORECASE)

#: Fields of each cloud's delivery that are credentials: never shown, and no part of an order's identity.
CREDENTIAL_FIELDS: Mapping[str, frozenset[str]] = {name: cloud.credentials for name, cloud in _CLOUDS.items()}


def delivery(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Join an archive and a destination, e.g. ``delivery(zip_archive(), amazon_s3(...))``.

    :param parts: What the other functions here return; one archive and one destination at most.
    """
    joined: dict[str, Any] = {}
    for index, part in enumerate(parts):
        given = checks.mapping(part, f"delivery[{index}]")
        if repeated := sorted(joined.keys() & given.keys()):
            raise InvalidInputError(f"delivery[{index}]", repeated, "was given before; pass it once.")
        joined.update(given)
    check_delivery(joined)
    return joined


def zip_archive(*, single_archive: bool = False, archive_filename: str = ARCHIVE_FILENAME) -> dict[str, Any]:
    """Deliver zip archives.

    :param single_archive: One archive of everything instead of one for each bundle.
    :param archive_filename: Name of the archive; Planet fills in ``{{name}}`` and ``{{order_id}}``.
    """
    return delivery(
        {"archive_type": "zip", "archive_filename": archive_filename, "single_archive": single_archive}
    )


def amazon_s3(
    *,
    aws_access_key_id: str,
    aws_secret_access_key: str,
    bucket: str,
    aws_region: str,
    path_prefix: str | None = None,
) -> dict[str, Any]:
    """Deliver to Amazon S3.

    :param path_prefix: Put before the files' names; a slash makes a folder.
    """
    return _cloud(
        "amazon_s3",
        aws_access_key_id=aws_access_key_id,
        aws_secret_access_key=aws_secret_access_key,
        bucket=bucket,
        aws_region=aws_region,
        path_prefix=path_prefix,
    )


def azure_blob_storage(
    *,
    account: str,
    container: str,
    sas_token: str,
    storage_endpoint_suffix: str | None = None,
    path_prefix: str | None = None,
) -> dict[str, Any]:
    """Deliver to Azure Blob Storage.

    :param sas_token: Shared access signature, without a leading ``?``.
    :param storage_endpoint_suffix: For sovereign clouds.
    :param path_prefix: Put before the files' names; a slash makes a folder.
    """
    return _cloud(
        "azure_blob_storage",
        account=account,
        container=container,
        sas_token=sas_token,
        storage_endpoint_suffix=storage_endpoint_suffix,
        path_prefix=path_prefix,
    )


def google_cloud_storage(*, bucket: str, credentials: str, path_prefix: str | None = None) -> dict[str, Any]:
    """Deliver to Google Cloud Storage.

    :param credentials: A service account's key, as string.
    :param path_prefix: Put before the files' names; a slash makes a folder.
    """
    return _cloud("google_cloud_storage", bucket=bucket, credentials=credentials, path_prefix=path_prefix)


def google_earth_engine(*, project: str, collection: str) -> dict[str, Any]:
    """Deliver into an image collection of Google Earth Engine."""
    return _cloud("google_earth_engine", project=project, collection=collection)


def oracle_cloud_storage(
    *,
    customer_access_key_id: str,
    customer_secret_key: str,
    bucket: str,
    region: str,
    namespace: str,
    path_prefix: str | None = None,
) -> dict[str, Any]:
    """Deliver to Oracle Cloud Storage.

    :param path_prefix: Put before the files' names; a slash makes a folder.
    """
    return _cloud(
        "oracle_cloud_storage",
        customer_access_key_id=customer_access_key_id,
        customer_secret_key=customer_secret_key,
        bucket=bucket,
        region=region,
        namespace=namespace,
        path_prefix=path_prefix,
    )


def s3_compatible(
    *,
    endpoint: str,
    bucket: str,
    region: str,
    access_key_id: str,
    secret_access_key: str,
    use_path_style: bool = False,
    path_prefix: str | None = None,
) -> dict[str, Any]:
    """Deliver to a storage that speaks S3.

    :param endpoint: The storage's address.
    :param use_path_style: Put the bucket into the path instead of the host's name.
    :param path_prefix: Put before the files' names; a slash makes a folder.
    """
    return _cloud(
        "s3_compatible",
        endpoint=endpoint,
        bucket=bucket,
        region=region,
        access_key_id=access_key_id,
        secret_access_key=secret_access_key,
        use_path_style=use_path_style,
        path_prefix=path_prefix,
    )


def destination(ref: str = DEFAULT_DESTINATION, *, path_prefix: str | None = None) -> dict[str, Any]:
    """Deliver to a destination that is stored at Planet, so that no credential is in the order.

    :param ref: ``pl:destinations/<id>``; without it the account's default.
    :param path_prefix: Put before the files' names; a slash makes a folder.
    """
    return _cloud("destination", ref=ref, path_prefix=path_prefix)


def credential_fields(cloud: str, part: Mapping[str, Any]) -> frozenset[str]:
    """Return the fields of a cloud's delivery that are credentials.

    Of those that Planet has added since, what sounds like one is.
    """
    known = _CLOUDS.get(cloud, _Cloud(required=(), optional=()))
    new = {key for key in part if key not in (*known.required, *known.optional)}
    return known.credentials.union(key for key in new if _SECRET.search(str(key)))


def without_credentials(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a delivery without its credentials, as it may be shown and compared."""
    return {
        name: {key: value for key, value in part.items() if key not in credential_fields(name, part)}
        if isinstance(part, Mapping)
        else part
        for name, part in given.items()
    }


def check_delivery(given: object, field: str = "delivery") -> None:
    """Check a delivery that is sent as it is.

    :raises InvalidInputError: A field is misspelt, missing or malformed, or there are two destinations.
    """
    known = (*_ARCHIVE_FIELDS, *_CLOUDS)
    parts = checks.fields(given, field, required=(), optional=known, elsewhere=_CLOUD_FIELDS)
    clouds = [name for name in _CLOUDS if name in parts]
    if len(clouds) > 1:
        raise InvalidInputError(field, clouds, "are several destinations; an order goes to one.")
    for name in clouds:
        _check_cloud(name, parts[name], f"{field}.{name}")
    _check_archive(parts, field)


def _cloud(name: str, **values: object) -> dict[str, Any]:
    return delivery({name: checks.given(**values)})


def _check_cloud(name: str, given: object, path: str) -> None:
    cloud = _CLOUDS[name]
    values = checks.fields(
        given, path, required=cloud.required, optional=cloud.optional, elsewhere=_CLOUD_FIELDS
    )
    for key, value in values.items():
        if key == "use_path_style":
            checks.flag(value, f"{path}.{key}")
        elif key in _CLOUD_FIELDS:
            checks.text(value, f"{path}.{key}", secret=key in cloud.credentials)
    if values.get("sas_token", "").startswith("?"):
        raise InvalidInputError(f"{path}.sas_token", checks.NOT_SHOWN, "must be without the leading ?.")
    if name == "destination" and not values["ref"].startswith(_DESTINATION_PREFIX):
        raise InvalidInputError(f"{path}.ref", values["ref"], f"must be {_DESTINATION_PREFIX}<id>.")


def _check_archive(parts: Mapping[str, Any], field: str) -> None:
    if "archive_type" in parts:
        checks.choice(parts["archive_type"], ARCHIVE_TYPES, f"{field}.archive_type")
    elif needless := [name for name in _ARCHIVE_FIELDS if name in parts]:
        raise InvalidInputError(field, needless, "need an archive_type, zip; without it nothing is packed.")
    if "single_archive" in parts:
        checks.flag(parts["single_archive"], f"{field}.single_archive")
    if "archive_filename" in parts:
        checks.text(parts["archive_filename"], f"{field}.archive_filename")


def delivered_to(order: Mapping[str, Any]) -> str | None:
    """Describe where Planet delivers or hosts an order instead of keeping it for download, without credentials.

    :param order: As Planet describes it.
    :return: e.g. ``amazon_s3 (bucket=imagery, path_prefix=fields)``; ``None`` if it is kept.
    """
    places = [order.get("delivery"), order.get("hosting")]
    found = [
        _described(name, fields)
        for place in places
        if isinstance(place, Mapping)
        for name, fields in place.items()
        if name not in _ARCHIVE_FIELDS and isinstance(fields, Mapping)
    ]
    return ", ".join(found) or None


def _described(name: str, fields: Mapping[str, Any]) -> str:
    cloud = _CLOUDS.get(name, _Cloud(required=()))  # of one that is not known, what is secret isn't either
    shown = [
        f"{field}={str(fields[field])[:200]}"
        for field in (*cloud.required, *cloud.optional, "collection_id")  # the last of a hosted order
        if fields.get(field) and field not in cloud.credentials
    ]
    return f"{name} ({', '.join(shown)})" if shown else name


def check_archive_name(name: object, order: Mapping[str, Any]) -> None:
    """Check that the archive of an order can be downloaded: its name holds the order's.

    What has another form than Planet documents is left to Planet, or to the request's own check.

    :param name: The order's name as it is sent, with what this package adds to it.
    :param order: The request.
    :raises InvalidInputError: The archive's name would be too long for a file system.
    """
    delivery = order.get("delivery")
    if not isinstance(delivery, Mapping) or not delivery.get("single_archive"):
        return
    pattern = delivery.get("archive_filename") or ARCHIVE_FILENAME
    if not isinstance(pattern, str) or not isinstance(name, str):
        return
    file_name = pattern.replace("{{order_id}}", "0" * 36).replace("{{name}}", name)
    excess = len(file_name.encode()) - checks.MAX_FILE_NAME_BYTES
    if excess > 0:
        field = "name" if "{{name}}" in pattern else "delivery.archive_filename"
        raise InvalidInputError(
            field,
            order["name"] if field == "name" else pattern,
            f"must be {counted(excess, 'byte')} shorter: it is part of the archive's file name, which may have "
            f"{checks.MAX_FILE_NAME_BYTES} bytes with the order's id and the digest that is added.",
        )
