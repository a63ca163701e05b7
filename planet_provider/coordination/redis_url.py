"""``redis://``, ``rediss://``, ``redis+sentinel://`` and ``rediss+sentinel://``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from planet_provider.exceptions import ConfigurationError
from planet_provider.redact import redact_text

if TYPE_CHECKING:
    from redis import Redis

REDIS_SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel")

#: Seconds to wait for Redis. Then comes one retry, and then the fallback: a slot is worth no more.
SOCKET_SECONDS = 1.0

_SENTINEL_PORT = 26379


def redis_label(url: str) -> str:
    """Return a URL that was checked, without its credentials and options."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def redis_secrets(url: str) -> list[str]:
    """Return the passwords in a URL that was checked, as they are written there and as they are meant."""
    parts = urlsplit(url)
    written = [parts.netloc.rpartition("@")[0].partition(":")[2]]
    meant = [unquote(written[0])]
    meant += [value for name, value in parse_qsl(parts.query) if name.endswith("password")]
    return [secret for secret in dict.fromkeys(written + meant) if secret]


def check_redis_url(url: str) -> None:
    """Refuse a URL that can't be used.

    :raises ConfigurationError: What is wrong with it. Where it can't be taken apart, nobody knows where its
        password is, so nothing of it is shown.
    """
    parts = _parts(url)
    if parts.scheme.endswith("+sentinel"):
        _sentinels(url)
        return
    database = parts.path.strip("/")
    if not parts.hostname or parts.port == 0 or (database and not database.isdecimal()):
        raise _invalid(url, "expected redis://[user:password@]host[:port][/db]")


def _parts(url: str) -> SplitResult:
    """Take a URL apart."""
    try:
        parts = urlsplit(url)
        if not parts.scheme.endswith("+sentinel"):
            parts.port  # noqa: B018 - reading it checks it
        parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise _invalid(url, "it can't be taken apart, or has no valid port") from None
    # Older versions of Python take brackets anywhere, newer ones for an IPv6 address.
    userinfo = parts.netloc.rpartition("@")[0]
    if parts.fragment or "@" in parts.path or "[" in userinfo or "]" in userinfo:
        raise _invalid(url, "it can't be taken apart")
    return parts


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
        client: Redis = Redis.from_url(url, **options)
        # Made and thrown away, without connecting: only a connection refuses parameters that it doesn't know.
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)
    except (TypeError, ValueError) as error:
        raise _invalid(url, redact_text(str(error))) from None
    return client


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
    parts = _parts(url)
    service, _, database = parts.path.strip("/").partition("/")
    hosts = []
    for entry in parts.netloc.rpartition("@")[2].split(","):
        try:
            host = urlsplit(f"//{entry}")
            hosts.append((host.hostname or "", host.port or _SENTINEL_PORT))
        except ValueError:
            hosts.append(("", 0))
    if not service or not all(host for host, _ in hosts) or not (database or "0").isdecimal():
        raise _invalid(url, "expected redis+sentinel://host:26379,host:26379/service or .../service/db")
    return hosts, service, int(database or 0)


def _invalid(url: str, reason: str) -> ConfigurationError:
    scheme = url.partition(":")[0]
    return ConfigurationError(
        f"coordination_store='{scheme}://...': {reason}. In its user and password, percent-encode what has a "
        "meaning in a URL: / as %2F, # as %23, ? as %3F, [ as %5B, ] as %5D, @ as %40, : as %3A and % as %25."
    )
