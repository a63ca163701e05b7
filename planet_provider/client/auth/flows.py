"""How credentials are put on a request, and where an API key comes from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import TYPE_CHECKING

import httpx

from planet_provider.client.auth.secret_file import SECRET_FILE, read_secret
from planet_provider.client.auth.token_cache import SharedToken
from planet_provider.client.auth.token_requests import login_key, oauth_token
from planet_provider.client.http.bounded import (
    MAX_ERROR_BYTES,
    Bounds,
    aread,
    read,
)
from planet_provider.exceptions import CredentialsError
from planet_provider.redact import origin

if TYPE_CHECKING:
    import ssl

    from planet_provider.client.config import PlanetConfig

#: The environment variable that Planet's SDK reads, before the secret file.
API_KEY_VARIABLE = "PL_API_KEY"

_UNAUTHORIZED = 401

#: How much of a refusal is read, in bytes and seconds.
_REFUSAL = Bounds(MAX_ERROR_BYTES, 60.0)


class TokenRenewedError(Exception):
    """A request was refused with 401, and there is another token now: worth sending it again, in another slot."""


class PlanetAuth(httpx.Auth):
    """Put a credential on requests to the API's own origin, and on no others.

    :param base_url: The API's base URL.
    """

    def __init__(self, base_url: str) -> None:
        self._origin = origin(base_url)

    def ready(self) -> str | None:
        """Have what the next request needs, before it takes a slot of the rate limit.

        :return: The token, if it is one that was fetched.
        :raises AuthenticationError: The credentials are refused.
        :raises TokenUnavailableError: A token can't be had now.
        """

    async def aready(self) -> str | None:
        """Do what :meth:`ready` does, without blocking the event loop."""

    def again(self) -> PlanetAuth:
        """Return the same for a request that is sent again, for which 401 is an answer as good as any."""
        return self

    def _at_home(self, request: httpx.Request) -> bool:
        return origin(str(request.url)) == self._origin


class ApiKeyAuth(PlanetAuth):
    """Put an API key on requests.

    :param api_key: Planet API key.
    :param base_url: The API's base URL.
    """

    def __init__(self, api_key: str, base_url: str) -> None:
        super().__init__(base_url)
        self._header = f"api-key {api_key}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the ``Authorization`` header where the request stays at home."""
        if self._at_home(request):
            request.headers["Authorization"] = self._header
        yield request


class SharedTokenAuth(PlanetAuth):
    """Put a token that the process shares on requests.

    After a 401 another token is asked for, once. Sending the request again is the session's: it takes a slot.

    :param token: Where the token comes from.
    :param scheme: What stands before it in the ``Authorization`` header.
    :param base_url: The API's base URL.
    :param renews: Whether a 401 has another token asked for.
    """

    def __init__(self, token: SharedToken, scheme: str, base_url: str, *, renews: bool = True) -> None:
        super().__init__(base_url)
        self._token = token
        self._scheme = scheme
        self._base_url = base_url
        self._renews = renews

    def ready(self) -> str:
        """Have a token."""
        return self._token.get().value

    async def aready(self) -> str:
        """Have a token, without blocking the event loop."""
        return (await self._token.aget()).value

    def again(self) -> PlanetAuth:
        """Return one that takes 401 as it is."""
        return SharedTokenAuth(self._token, self._scheme, self._base_url, renews=False)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send with a token.

        :raises TokenRenewedError: It was refused, and there is another.
        """
        if not self._at_home(request):
            yield request
            return
        token = self._token.get().value
        response = yield self._signed(request, token)
        if response.status_code == _UNAUTHORIZED and self._renews:
            read(response, _REFUSAL)  # gives its connection back to others before the wait
            if self._token.get(refused=token).value != token:
                raise TokenRenewedError

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Do the same without blocking the event loop."""
        if not self._at_home(request):
            yield request
            return
        token = (await self._token.aget()).value
        response = yield self._signed(request, token)
        if response.status_code == _UNAUTHORIZED and self._renews:
            await aread(response, _REFUSAL)
            if (await self._token.aget(refused=token)).value != token:
                raise TokenRenewedError

    def _signed(self, request: httpx.Request, token: str) -> httpx.Request:
        request.headers["Authorization"] = f"{self._scheme} {token}"
        return request


def auth_of(config: PlanetConfig, tls: ssl.SSLContext | None = None) -> PlanetAuth:
    """Return how a configuration authenticates. Nothing is sent before the first request.

    :param tls: Certificates to trust when a token is fetched; by default as httpx does.
    """
    token = _token_of(config, tls)
    if token is None:
        return ApiKeyAuth(config.api_key, config.base_url)
    return SharedTokenAuth(token, "api-key" if config.oauth is None else "Bearer", config.base_url)


def api_key_of(config: PlanetConfig) -> str:
    """Return the API key of a configuration; with a login, Planet is asked for it.

    :raises CredentialsError: It authenticates as an OAuth client, which has none.
    :raises AuthenticationError: The login is refused.
    :raises TokenUnavailableError: The login can't be made now.
    """
    if config.oauth is not None:
        raise CredentialsError("An OAuth client has no API key; use auth=api_key or auth=login.")
    token = _token_of(config, None)
    return config.api_key if token is None else token.get().value


def who_is(config: PlanetConfig) -> str:
    """Describe the account of a configuration, without any secret. Ask for a token if it uses one.

    :raises AuthenticationError: The credentials are refused.
    :raises TokenUnavailableError: A token can't be had now.
    """
    token = _token_of(config, None)
    if token is None:
        return f"API key with fingerprint {fingerprint(config.api_key)}"
    kind, name = ("OAuth client", config.oauth.client_id) if config.oauth else ("login", _email(config))
    claims = ", ".join(f"{claim} {value}" for claim, value in token.get().claims.items() if value != name)
    return f"{kind} {name} ({claims})" if claims else f"{kind} {name}"


def fingerprint(secret: str) -> str:
    """Return the first 8 hexadecimal digits of a secret's SHA-256, to tell secrets apart without showing them."""
    return hashlib.sha256(secret.encode()).hexdigest()[:8]


def api_key_from_env(
    variable: str = API_KEY_VARIABLE, environ: Mapping[str, str] | None = None
) -> str | None:
    """Read the API key from the environment.

    :param variable: Name of the variable.
    :param environ: The environment; the process's own by default.
    :return: The key, or ``None`` where the variable is unset or empty.
    """
    value = (os.environ if environ is None else environ).get(variable, "").strip()
    return value or None


def default_api_key() -> str:
    """Find a key as Planet's SDK does: ``PL_API_KEY``, then ``~/.planet.json``.

    :raises CredentialsError: There is none in either place.
    """
    return found_api_key()[0]


def found_api_key() -> tuple[str, str]:
    """Find a key as :func:`default_api_key` does, and name where it is from.

    :return: The key, and the variable or file.
    :raises CredentialsError: There is none in either place.
    """
    key = api_key_from_env()
    if key is not None:
        return key, API_KEY_VARIABLE
    if SECRET_FILE.expanduser().exists():
        return read_secret(), str(SECRET_FILE)
    raise CredentialsError(
        f"No Planet credential was found: define an Airflow connection of type 'planet' with the API key as "
        f"its password, or set {API_KEY_VARIABLE}, or write {SECRET_FILE}."
    )


def _email(config: PlanetConfig) -> str:
    return "" if config.login is None else config.login.email


def _token_of(config: PlanetConfig, tls: ssl.SSLContext | None) -> SharedToken | None:
    if config.oauth is not None:
        return oauth_token(config.oauth, config.timeout, tls)
    if config.login is not None:
        return login_key(config.login, config.base_url, config.timeout, tls)
    return None
