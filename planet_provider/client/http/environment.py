"""What the environment says of the way to Planet: certificates and proxies, as httpx reads them.

Where a variable is wrong, httpx fails with an error that doesn't name it, or shows a proxy's password.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import TypeVar
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from planet_provider.exceptions import ConfigurationError
from planet_provider.known_secrets import remember
from planet_provider.redact import redact_text

ClientT = TypeVar("ClientT")

_PAGE = "See the page 'Proxies, certificates and networks' of the documentation."


def tls_context() -> ssl.SSLContext:
    """Load the certificates to trust, once a process for what the variables say.

    That is 20 ms of work, which a session each would do on the event loop.

    :raises ConfigurationError: ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` can't be used.
    """
    return _tls(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _tls(file: str | None, folder: str | None) -> ssl.SSLContext:
    try:
        context = httpx.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        name, value = ("SSL_CERT_FILE", file) if file else ("SSL_CERT_DIR", folder)
        why = f"{type(error).__name__}: {error.strerror or error}"
    else:
        if file or not folder or os.path.isdir(folder):
            return context
        name, value, why = "SSL_CERT_DIR", folder, "there is no such folder"
    raise ConfigurationError(
        f"The environment variable {name}={value!r} can't be used: {why}. Let it name a file or folder with the "
        f"certificates to trust, in PEM, or unset it. {_PAGE}"
    )


def client_of(make: Callable[[], ClientT]) -> ClientT:
    """Make an httpx client, which reads the proxies' variables.

    :param make: Makes it.
    :raises ConfigurationError: ``NO_PROXY`` or a proxy's variable can't be used; the message names it.
    """
    remember(_proxy_passwords())
    try:
        return make()
    except (httpx.InvalidURL, ValueError, ImportError) as error:
        why = redact_text(f"{type(error).__name__}: {error}", 200)
    raise ConfigurationError(_proxy_fault(why))


def proxy_to(url: str) -> str | None:
    """Name the proxy on the way to a URL, and the variable that sets it.

    :return: E.g. ``the proxy http://proxy.example:3128 (HTTPS_PROXY)``; ``None`` without one.
    """
    parts = urlsplit(url)
    proxies = getproxies()
    try:
        if proxy_bypass(parts.hostname or ""):
            return None
    except ValueError:
        return None
    for scheme in (parts.scheme, "all"):
        if proxies.get(scheme):
            return f"the proxy {_shown(proxies[scheme])} ({_variable(f'{scheme}_proxy')})"
    return None


def _proxy_fault(why: str) -> str:
    for scheme in ("http", "https", "all"):
        given = getproxies().get(scheme)
        if given and not _is_accepted(partial(_proxy, given)):
            return (
                f"The environment variable {_variable(f'{scheme}_proxy')}={_shown(given)!r} is no proxy that "
                f"can be used. It must look like http://user:password@proxy.example:3128, with what "
                f"is special in user and password percent-encoded; socks5:// needs the package socksio. {_PAGE}"
            )
    for host in getproxies().get("no", "").split(","):
        if not _is_accepted(partial(_exception, host.strip())):
            return (
                f"The environment variable {_variable('no_proxy')} has the entry {host.strip()!r}, which can't be "
                "used: name hosts, domains such as .example.com, or single addresses; networks of IPv6 such as "
                f"fd00::/8 are not understood. {_PAGE}"
            )
    variables = ", ".join(_variable(f"{name}_proxy") for name in ("http", "https", "all", "no"))
    return f"A proxy that the environment names ({variables}) can't be used: {why}. {_PAGE}"


def _is_accepted(make: Callable[[], object]) -> bool:
    try:
        make()
    except (httpx.InvalidURL, ValueError, ImportError):
        return False
    return True


def _proxy(given: str) -> httpx.HTTPTransport:
    return httpx.HTTPTransport(proxy=given if "://" in given else f"http://{given}")


def _exception(host: str) -> httpx.URL:
    """Read an entry of ``NO_PROXY`` as httpx does."""
    if "://" in host:
        return httpx.URL(host)
    try:
        ipaddress.IPv6Address(host.partition("/")[0])
    except ValueError:
        return httpx.URL(f"all://*{host}")
    return httpx.URL(f"all://[{host}]")


def _variable(name: str) -> str:
    return name if os.environ.get(name) else name.upper()


def _shown(proxy: str) -> str:
    """Return a proxy's URL without user and password, which may be malformed."""
    scheme, separator, rest = proxy.rpartition("://")
    return scheme + separator + rest.rpartition("@")[2]


def _proxy_passwords() -> Iterator[str]:
    for proxy in getproxies().values():
        password = proxy.rpartition("://")[2].rpartition("@")[0].partition(":")[2]
        yield from {password, unquote(password)}
