"""From an Airflow connection to the client's configuration."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from airflow.providers.common.compat.sdk import AirflowNotFoundException, Connection

from planet_provider.client.auth.credentials import PLANET_TOKEN_URL, Login, OAuthClient
from planet_provider.client.auth.flows import API_KEY_VARIABLE, api_key_from_env, found_api_key
from planet_provider.client.auth.secret_file import SECRET_FILE, read_secret
from planet_provider.client.config import DEFAULT_BASE_URL, PlanetConfig
from planet_provider.exceptions import ConfigurationError, CredentialsError
from planet_provider.hooks import DEFAULT_CONN_ID

log = logging.getLogger(__name__)


#: The forms of authentication.
AUTH_METHODS = ("api_key", "oauth", "login", "env", "file")

#: Extras that go to :class:`PlanetConfig` under the same name.
_CLIENT_EXTRAS = frozenset(
    {"rate_limits", "coordination_store", "timeout", "max_connections", "max_attempts", "max_retry_seconds"}
    | {"coordination_fallback", "max_queue_seconds", "backoff_seconds", "max_order_items", "max_vertices"}
    | {"max_response_bytes", "max_pages"}
)
_AUTH_EXTRAS = frozenset({"auth", "auth_file", "env_var", "token_url"})
#: All extras; the form's fields in :func:`planet_provider.get_provider_info` are the same.
KNOWN_EXTRAS = _CLIENT_EXTRAS | _AUTH_EXTRAS
_WHOLE_NUMBERS = frozenset(
    {"max_connections", "max_attempts", "max_order_items", "max_vertices", "max_response_bytes", "max_pages"}
)
_TEXTS = frozenset({"coordination_store", "auth_file", "env_var", "token_url"})


class ConnectionNotFoundError(ConfigurationError, AirflowNotFoundException):
    """No such connection is defined."""


def config_from_environment() -> PlanetConfig:
    """Build the configuration where no connection is defined: ``PL_API_KEY``, then ``~/.planet.json``.

    The log names the one that is used.

    :raises CredentialsError: There is no credential in either place.
    """
    key, source = found_api_key()
    log.info("The connection %r is not defined anywhere: using the API key of %s.", DEFAULT_CONN_ID, source)
    return PlanetConfig(api_key=key, coordination_store=default_store())


def default_store() -> str:
    """Return the store of the rate limit that every process of this machine shares: under AIRFLOW_HOME."""
    from airflow.configuration import get_airflow_home

    return Path(get_airflow_home(), "planet-rate-limits").absolute().as_uri()


def config_from_connection(connection: Connection) -> PlanetConfig:
    """Build the configuration that a connection describes.

    :param connection: An Airflow connection of type ``planet``.
    :raises ConfigurationError: An extra is unknown, or a value is wrong; the message names it.
    :raises CredentialsError: The credential is missing, or cannot be read.
    """
    extras = _extras(connection)
    settings: dict[str, Any] = {
        name: _setting(connection.conn_id, name, extras[name])
        for name in sorted(_CLIENT_EXTRAS & extras.keys())
    }
    settings.setdefault("coordination_store", default_store())
    try:
        credential = _credential(connection, extras)
        return PlanetConfig(**credential, base_url=_base_url(connection), **settings)
    except ConfigurationError as error:
        raise type(error)(f"Connection {connection.conn_id!r}: {error}") from None


def _extras(connection: Connection) -> dict[str, Any]:
    text = connection.extra or "{}"
    try:
        extras = json.loads(text)
    except ValueError:
        extras = None
    if not isinstance(extras, Mapping):
        raise ConfigurationError(f"Connection {connection.conn_id!r}: extra must be a JSON object.")
    for name in extras:
        if name not in KNOWN_EXTRAS:
            raise ConfigurationError(
                f"Connection {connection.conn_id!r}: unknown extra {name!r}; "
                f"known are {', '.join(sorted(KNOWN_EXTRAS))}."
            )
    # The connection form stores an empty field as "" or null.
    given = {name: _stripped(value) for name, value in extras.items()}
    given = {name: value for name, value in given.items() if value not in ("", None)}
    for name in sorted(_TEXTS & given.keys()):
        if not isinstance(given[name], str):
            raise ConfigurationError(
                f"Connection {connection.conn_id!r}: extra {name}={given[name]!r}: must be a string."
            )
    return given


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _setting(conn_id: str | None, name: str, value: Any) -> Any:
    """Read a setting that the connection form, or a URI, may have stored as text."""
    if not isinstance(value, str) or name in _TEXTS or (name, value) == ("coordination_fallback", "fail"):
        return value
    try:
        if name == "rate_limits":
            return json.loads(value)
        return int(value) if name in _WHOLE_NUMBERS else float(value)
    except ValueError:
        wanted = "a JSON object" if name == "rate_limits" else "a number"
        raise ConfigurationError(
            f"Connection {conn_id!r}: extra {name}={value!r}: must be {wanted}."
        ) from None


def _base_url(connection: Connection) -> str:
    host = (connection.host or "").strip()
    if not host:
        return DEFAULT_BASE_URL
    if "://" not in host:
        # A connection given as URI holds scheme, host and port apart.
        host = f"{(connection.schema or '').strip() or 'https'}://{host}"
    return _with_port(host, connection.port) if connection.port else host


def _with_port(host: str, port: int) -> str:
    try:
        parts = urlsplit(host)
        given = parts.port
    except ValueError:
        return host  # no URL, which PlanetConfig tells
    if given not in (None, port):
        raise ConfigurationError(f"host has port {given}, and port={port}: give one of them.")
    netloc = parts.netloc if given else f"{parts.netloc.rstrip(':')}:{port}"
    return urlunsplit(parts._replace(netloc=netloc))


def _credential(connection: Connection, extras: Mapping[str, Any]) -> dict[str, Any]:
    method = extras.get("auth", "api_key")
    if method == "oauth":
        return {
            "oauth": OAuthClient(
                client_id=connection.login or "",
                client_secret=connection.password or "",
                token_url=extras.get("token_url", PLANET_TOKEN_URL),
            )
        }
    if method == "login":
        return {"login": Login(email=connection.login or "", password=connection.password or "")}
    return {"api_key": _api_key(method, connection, extras)}


def _api_key(method: object, connection: Connection, extras: Mapping[str, Any]) -> str:
    if method == "api_key":
        if not connection.password:
            raise CredentialsError(
                "no API key: put it into the password, or choose the extra auth=env or auth=file."
            )
        return connection.password
    if method == "env":
        variable = extras.get("env_var", API_KEY_VARIABLE)
        key = api_key_from_env(variable)
        if key is None:
            raise CredentialsError(f"auth=env, but the environment variable {variable} is not set.")
        return key
    if method == "file":
        return read_secret(extras.get("auth_file", SECRET_FILE))
    raise ConfigurationError(f"extra auth={method!r}: must be one of {', '.join(AUTH_METHODS)}.")
