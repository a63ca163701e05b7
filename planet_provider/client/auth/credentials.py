"""What one may authenticate with beside an API key, as values, and where it may be sent."""

from __future__ import annotations

import ipaddress
import unicodedata
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from planet_provider.exceptions import ConfigurationError, CredentialsError
from planet_provider.redact import redact_url

#: Token endpoint of Planet's realm for service accounts. Source: the official SDK's built-in configuration.
PLANET_TOKEN_URL = "https://services.sentinel-hub.com/auth/realms/main/protocol/openid-connect/token"  # noqa: S105

#: Where an account's e-mail and password are exchanged for its API key, on the API's origin.
LOGIN_PATH = "/v0/auth/login"


@dataclass(frozen=True, kw_only=True)
class OAuthClient:
    """A service account: OAuth 2 client credentials, as a Planet administrator creates them.

    :param client_id: Its id.
    :param client_secret: Its secret. Not shown.
    :param token_url: Token endpoint; ``https``, or any on this machine.
    """

    client_id: str
    client_secret: str = field(repr=False)
    token_url: str = PLANET_TOKEN_URL

    def __post_init__(self) -> None:
        _set(self, "client_id", "the OAuth client id (the connection's login)")
        _set(self, "client_secret", "the OAuth client secret (the connection's password)")
        check_secret_url("token_url", self.token_url)


@dataclass(frozen=True, kw_only=True)
class Login:
    """A user's account. Planet calls this way of authentication legacy.

    :param email: The account's e-mail address.
    :param password: Its password. Not shown.
    """

    email: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        _set(self, "email", "the account's e-mail (the connection's login)")
        _set(self, "password", "the account's password (the connection's password)")


def check_secret_url(name: str, url: object) -> None:
    """Check that a URL is one to send a secret to: ``https``, or on this machine, without a secret in it.

    :param name: Name that errors give it.
    :raises ConfigurationError: It isn't.
    """
    try:
        parts = urlsplit(url) if isinstance(url, str) and not any(map(str.isspace, url)) else urlsplit("")
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        parts = urlsplit("")
    shown = redact_url(url) if isinstance(url, str) else url
    if not parts.hostname or parts.scheme not in {"http", "https"}:
        raise ConfigurationError(f"{name}={shown!r}: must be a URL such as {PLANET_TOKEN_URL}.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError(f"{name}={shown!r}: must have no user, password, query or fragment.")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ConfigurationError(
            f"{name}={shown!r}: must be https, because a secret is sent there; plain http is for this machine."
        )


def fits_header(value: str) -> bool:
    """Whether a key or token can stand in a header: visible ASCII characters, at least one, and no blanks.

    What can't, httpx's own errors and logs would show.
    """
    return bool(value) and value.isascii() and value.isprintable() and " " not in value


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def stripped_secret(value: object, what: str) -> str:
    """Return a credential without the white space around it, which editors and secret stores add.

    This is the one rule for whatever a credential comes from: form, URI, JSON, environment or file.

    :param what: Name that errors give it; the value is not shown.
    :raises CredentialsError: There is nothing, or it has control characters or half characters in it.
    """
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        raise CredentialsError(f"{what} is missing, empty or blank.")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
        raise CredentialsError(f"{what} has line breaks or control characters in it. Copy it again.")
    return text


def _set(credential: object, name: str, what: str) -> None:
    object.__setattr__(credential, name, stripped_secret(getattr(credential, name), what))
