"""``redis://``, ``rediss://``, ``redis+sentinel://`` and ``rediss+sentinel://``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from planet_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    from redis import Redis

REDIS_SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel")

#: Seconds to wait for Redis. Then comes one retry, and then the fallback: a slot is worth no more.
SOCKET_SECONDS = 1.0

_SENTINEL_PORT = 26379


def redis_label(url: str) -> str:
    """Return a URL without its credentials and options."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def check_redis_url(url: str) -> None:
    """Refuse a URL that can't be used.

    :raises ConfigurationError: What is wrong with it, without its password.
    """
    if urlsplit(url).scheme.endswith("+sentinel"):
        _sentinels(url)
        return
    try:
        valid = bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:
        valid = False
    if not valid:
        raise _invalid(url, "it names no host, or no valid port")


def redis_client(url: str) -> Redis:
    """Return a client, without connecting yet.

    :raises ConfigurationError: The URL is wrong, or redis-py is missing.
    """
    check_redis_url(url)
    try:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise ConfigurationError(
            f"{redis_label(url)} needs redis-py: pip install 'airflow-provider-planet[redis]'."
        ) from error
    options: dict[str, Any] = {
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": SOCKET_SECONDS,
        "retry": Retry(NoBackoff(), 1),
        "decode_responses": True,
    }
    if urlsplit(url).scheme.endswith("+sentinel"):
        return _master(url, options)
    try:
        return Redis.from_url(url, **options)
    except ValueError as error:
        raise _invalid(url, str(error)) from None


def _master(url: str, options: dict[str, Any]) -> Redis:
    from redis.sentinel import Sentinel

    hosts, service, database = _sentinels(url)
    parts = urlsplit(url)
    if parts.scheme.startswith("rediss"):
        options["ssl"] = True
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    given = dict(parse_qsl(parts.query))
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        hosts,
        sentinel_kwargs={
            **options,
            "username": given.get("sentinel_username"),
            "password": given.get("sentinel_password"),
        },
        username=unquote(user) or None,
        password=unquote(password) or None,
        db=database,
        **options,
    )
    return sentinel.master_for(service)  # type: ignore[no-untyped-call,no-any-return]


def _sentinels(url: str) -> tuple[list[tuple[str, int]], str, int]:
    """Read sentinels, service and database of ``redis+sentinel://[user:password@]host[:port],.../service[/db]``."""
    parts = urlsplit(url)
    service, _, database = parts.path.strip("/").partition("/")
    hosts = []
    for entry in parts.netloc.rpartition("@")[2].split(","):
        try:
            host = urlsplit(f"//{entry}")
            hosts.append((host.hostname or "", host.port or _SENTINEL_PORT))
        except ValueError:
            hosts.append(("", 0))
    if not service or not all(host for host, _ in hosts) or not (database or "0").isdigit():
        raise _invalid(url, "expected redis+sentinel://host:26379,host:26379/service or .../service/db")
    return hosts, service, int(database or 0)


def _invalid(url: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"rate_limit_store={redis_label(url)!r}: {reason}.")
