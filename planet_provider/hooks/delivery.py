"""A delivery's credentials from an Airflow connection, so that no DAG and no rendered template holds them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import Connection

from planet_provider.builders import delivery as order_delivery
from planet_provider.exceptions import ConfigurationError, CredentialsError, InvalidInputError

_Extras = Mapping[str, Any]

#: Prefixes that Airflow's Google provider has used for its extras.
_GOOGLE_PREFIXES = ("", "extra__google_cloud_platform__")


def with_credentials(delivery: object, connection: Connection) -> dict[str, Any]:
    """Complete a delivery by what a connection holds: credentials, and where it names them region and endpoint.

    ======================== ================= ===================================================================
    destination              connection        read from it
    ======================== ================= ===================================================================
    ``amazon_s3``            ``aws``           login, password; extra ``region_name``
    ``azure_blob_storage``   ``wasb``          extra ``sas_token``; login for the account
    ``google_cloud_storage`` ``google_cloud_…`` extra ``keyfile_dict`` or ``key_path``: a service account's key
    ``oracle_cloud_storage`` any               login, password; extras ``region``, ``namespace``
    ``s3_compatible``        ``aws``           login, password; extras ``endpoint_url``, ``region_name``
    ======================== ================= ===================================================================

    Extras of Planet's own names (``aws_access_key_id``, ``sas_token`` ...) come before these.

    :param delivery: As :func:`planet_provider.builders.delivery.delivery` builds it, but without
        credentials: ``{"amazon_s3": {"bucket": "imagery"}}``.
    :param connection: Of the destination's kind.
    :return: A copy with credentials.
    :raises InvalidInputError: The delivery goes to no destination that takes credentials, or has some itself.
    :raises CredentialsError: The connection has none for it.
    """
    cloud, fields = _destination(delivery)
    found = _found(cloud, connection)
    secret = order_delivery.CREDENTIAL_FIELDS[cloud]
    if missing := sorted(secret - found.keys()):
        raise CredentialsError(
            f"Connection {connection.conn_id!r} has no {', '.join(missing)} for {cloud}: {_REMEDIES[cloud]}."
        )
    return {**dict(_mapping(delivery)), cloud: {**found, **fields}}


def _mapping(delivery: object) -> Mapping[str, Any]:
    return delivery if isinstance(delivery, Mapping) else {}


def _destination(delivery: object) -> tuple[str, dict[str, Any]]:
    given = _mapping(delivery)
    clouds = [name for name in _READERS if isinstance(given.get(name), Mapping)]
    if len(clouds) != 1:
        remedy = f"goes with a delivery to one of {', '.join(_READERS)}; this one has {clouds or 'none'}."
        raise InvalidInputError("delivery_conn_id", sorted(given), remedy)
    [cloud] = clouds
    fields = dict(given[cloud])
    if double := sorted(order_delivery.CREDENTIAL_FIELDS[cloud] & fields.keys()):
        remedy = "come from the connection; leave them out of the delivery."
        raise InvalidInputError(f"delivery.{cloud}", double, remedy)
    return cloud, fields


def _found(cloud: str, connection: Connection) -> dict[str, Any]:
    try:
        extras = json.loads(connection.extra or "{}")
    except ValueError:
        extras = None
    if not isinstance(extras, Mapping):
        raise ConfigurationError(f"Connection {connection.conn_id!r}: extra must be a JSON object.")
    read = _READERS[cloud](connection, extras)
    own = {name: extras[name] for name in (*order_delivery.CREDENTIAL_FIELDS[cloud], *read) if name in extras}
    found = {name: value for name, value in {**read, **own}.items() if value}
    if isinstance(token := found.get("sas_token"), str):
        # Airflow takes a whole signed URL too; Planet wants the query alone.
        signed = token.startswith(("http://", "https://"))
        found["sas_token"] = urlsplit(token).query if signed else token.lstrip("?")
    return found


def _amazon_s3(connection: Connection, extras: _Extras) -> dict[str, Any]:
    _refuse_temporary(connection, extras)
    return {
        "aws_access_key_id": connection.login,
        "aws_secret_access_key": connection.password,
        "aws_region": extras.get("region_name"),
    }


def _s3_compatible(connection: Connection, extras: _Extras) -> dict[str, Any]:
    _refuse_temporary(connection, extras)
    return {
        "access_key_id": connection.login,
        "secret_access_key": connection.password,
        "endpoint": extras.get("endpoint_url"),
        "region": extras.get("region_name"),
    }


def _refuse_temporary(connection: Connection, extras: _Extras) -> None:
    if extras.get("aws_session_token"):
        raise CredentialsError(
            f"Connection {connection.conn_id!r} holds temporary credentials (aws_session_token), which Planet "
            "can't use; give it a key of an IAM user that may write to the bucket alone."
        )


def _azure_blob_storage(connection: Connection, extras: _Extras) -> dict[str, Any]:
    return {"account": connection.login, "sas_token": extras.get("sas_token")}


def _google_cloud_storage(connection: Connection, extras: _Extras) -> dict[str, Any]:
    given = {
        name: extras[f"{prefix}{name}"]
        for prefix in reversed(_GOOGLE_PREFIXES)
        for name in ("keyfile_dict", "key_path")
        if extras.get(f"{prefix}{name}")
    }
    key = given.get("keyfile_dict")
    if key is None and "key_path" in given:
        key = _read_key(connection, given["key_path"])
    if key is None:
        return {}
    if isinstance(key, str):
        try:
            key = json.loads(key)
        except ValueError:
            # The parser's own error is left out of the chain: it holds the key.
            raise CredentialsError(f"Connection {connection.conn_id!r}: the key is not JSON.") from None
    # Planet takes the key's JSON in base64, on one line.
    return {"credentials": base64.b64encode(json.dumps(key).encode()).decode()}


def _read_key(connection: Connection, path: object) -> str:
    try:
        return Path(str(path)).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, ValueError, RuntimeError) as error:
        raise CredentialsError(
            f"Connection {connection.conn_id!r}: key_path {path} cannot be read: {type(error).__name__}."
        ) from None


def _oracle_cloud_storage(connection: Connection, extras: _Extras) -> dict[str, Any]:
    return {
        "customer_access_key_id": connection.login,
        "customer_secret_key": connection.password,
        "region": extras.get("region"),
        "namespace": extras.get("namespace"),
    }


_READERS: dict[str, Callable[[Connection, _Extras], dict[str, Any]]] = {
    "amazon_s3": _amazon_s3,
    "azure_blob_storage": _azure_blob_storage,
    "google_cloud_storage": _google_cloud_storage,
    "oracle_cloud_storage": _oracle_cloud_storage,
    "s3_compatible": _s3_compatible,
}

_LOGIN = "its login must be the key's id, its password the secret"
_REMEDIES = {
    "amazon_s3": _LOGIN,
    "azure_blob_storage": "it needs the extra sas_token; an account key can't be given to Planet",
    "google_cloud_storage": "it needs the extra keyfile_dict or key_path, a service account's key",
    "oracle_cloud_storage": _LOGIN,
    "s3_compatible": _LOGIN,
}
