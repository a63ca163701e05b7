"""Who we are: where credentials come from, and how they are put on a request."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Mapping
from pathlib import Path

import httpx

from planet_provider.client.redact import origin
from planet_provider.exceptions import CredentialsError

#: The environment variable and the secret file that Planet's SDK reads, in this order.
API_KEY_VARIABLE = "PL_API_KEY"
SECRET_FILE = Path("~/.planet.json")


class ApiKeyAuth(httpx.Auth):
    """Put an API key on requests to the API's own origin, and on no others.

    :param api_key: Planet API key.
    :param base_url: The API's base URL.
    """

    def __init__(self, api_key: str, base_url: str) -> None:
        self._header = f"api-key {api_key}"
        self._origin = origin(base_url)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the ``Authorization`` header where the request stays at home."""
        if origin(str(request.url)) == self._origin:
            request.headers["Authorization"] = self._header
        yield request


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


def api_key_from_file(path: str | os.PathLike[str] = SECRET_FILE) -> str:
    """Read the API key from a Planet secret file, ``{"key": "..."}``.

    :param path: The file; ``~`` is expanded.
    :raises CredentialsError: It cannot be read, or holds no key.
    """
    file = Path(path).expanduser()
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CredentialsError(f"The Planet secret file {file} cannot be read: {error.strerror}.") from error
    except ValueError:
        # The parser's own error is left out of the chain: it holds the file's text.
        raise CredentialsError(
            f'The Planet secret file {file} is not JSON; expected {{"key": "..."}}.'
        ) from None
    key = content.get("key") if isinstance(content, dict) else None
    if not isinstance(key, str) or not key.strip():
        raise CredentialsError(f'The Planet secret file {file} holds no "key"; expected {{"key": "..."}}.')
    return key.strip()


def default_api_key() -> str:
    """Find a key as Planet's SDK does: ``PL_API_KEY``, then ``~/.planet.json``.

    :raises CredentialsError: There is none in either place.
    """
    key = api_key_from_env()
    if key is not None:
        return key
    if SECRET_FILE.expanduser().exists():
        return api_key_from_file()
    raise CredentialsError(
        f"No Planet credential was found: define an Airflow connection of type 'planet' with the API key as "
        f"its password, or set {API_KEY_VARIABLE}, or write {SECRET_FILE}."
    )
