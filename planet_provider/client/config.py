"""Every setting of the client, with its default, unit and source."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import SplitResult, urlsplit

from planet_provider.builders.checks import MAX_ORDER_ITEMS
from planet_provider.builders.geometry import MAX_VERTICES
from planet_provider.client.auth.credentials import (
    LOGIN_PATH,
    Login,
    OAuthClient,
    check_secret_url,
    fits_header,
    is_loopback,
    stripped_secret,
)
from planet_provider.coordination.limiter import account_of
from planet_provider.coordination.open import Fallback, check_store_url
from planet_provider.coordination.redis_url import redis_secrets
from planet_provider.exceptions import ConfigurationError, CredentialsError
from planet_provider.redact import redact_url

log = logging.getLogger(__name__)

DEFAULT_BASE_URL = "https://api.planet.com"

#: Requests per second that Planet documents for one API key, by class of request.
DOCUMENTED_RATES: Mapping[str, float] = MappingProxyType(
    {
        "orders.create": 3.0,
        "orders.get": 3.0,
        "orders.list": 3.0,
        "orders.cancel": 3.0,
        "orders.bulk_cancel": 5.0,
        "orders.stats": 5.0,
        "orders.download": 5.0,
        "data.activate": 5.0,
        "data.download": 5.0,
        "data.other": 10.0,
    }
)

#: Share of the documented rate that is used. Clocks and networks jitter: at the full rate a server that
#: counts arrivals in windows of a second now and then sees one too many.
RATE_SHARE = 0.95


_COUNTS = (
    *("max_connections", "max_attempts", "max_response_bytes", "max_pages"),
    *("max_order_items", "max_vertices"),
)


#: Paths of Planet's APIs, which don't belong into the base URL. A gateway may have a path of its own.
_API_PATH = re.compile(
    r"/(data|compute|basemaps|subscriptions|features|destinations|analytics|tiles|auth)(/|\Z)|/v\d+(/|\Z)",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class PlanetConfig:
    """How to reach Planet: which account, how fast, how many tries.

    One of ``api_key``, ``oauth`` and ``login`` names the account.

    :param api_key: Planet API key. Not shown.
    :param oauth: A service account, whose access token is fetched when it is needed.
    :param login: An account's e-mail and password, for which its API key is fetched when it is needed.
    :param base_url: Origin of the APIs, ``http`` or ``https``.
    :param rate_limits: Requests per second by class; classes left out keep 95 % of the documented rate.
    :param coordination_store: Where the limiter keeps its state. ``memory://``: this process;
        ``file:///path``: every process of this machine; ``redis://``, ``rediss://`` or
        ``redis+sentinel://host,host/service``: all machines (extra ``[redis]``).
    :param coordination_fallback: What to do while that store can't be used: a share of the rates (above 0, up
        to 1) for this machine, kept in its folder for temporary files; or ``"fail"``.
    :param max_queue_seconds: Longest wait of a request for a slot of the rate limit and for others to end, in
        seconds; beyond it
        :class:`~planet_provider.exceptions.RateLimitQueueError`.
    :param timeout: Seconds to wait for a connection, or between two reads. Orders can take seconds to be
        accepted; the official SDK waits 30 s.
    :param max_connections: Requests under way at once, per process and account, until their bodies are read or
        closed: 16 downloads and as many other requests. Others wait, before they take a slot of the rate limit.
    :param max_attempts: How often a request is sent at most.
    :param max_retry_seconds: Seconds from a request's first attempt after which it is not sent again, and for
        which one answer may take, unless ``timeout`` is more.
    :param backoff_seconds: First step of the exponential back-off between attempts, in seconds; doubled
        each time, with full jitter, up to 64 s (the official SDK's bound).
    :param max_response_bytes: Bytes of an answer that are read at most, after decoding; files that are downloaded
        are not counted. A search page of 250 items has some 2 MB.
    :param max_pages: Pages of a list or search after which it is taken for endless; 10,000 are 2.5 million items.
    :param max_order_items: Items that Planet takes in an order of this account; what it documents for all.
    :param max_vertices: Vertices that Planet takes in an order's area of this account, closing ones included;
        what it documents for all. A search with more is warned of.
    """

    api_key: str = field(default="", repr=False)
    oauth: OAuthClient | None = None
    login: Login | None = None
    base_url: str = DEFAULT_BASE_URL
    rate_limits: Mapping[str, float] = field(default_factory=dict)
    coordination_store: str = field(default="memory://", repr=False)
    coordination_fallback: Fallback = 0.1
    max_queue_seconds: float = 600.0
    timeout: float = 60.0
    max_connections: int = 32
    max_attempts: int = 6
    max_retry_seconds: float = 300.0
    backoff_seconds: float = 1.0
    max_response_bytes: int = 32 << 20
    max_pages: int = 10_000
    max_order_items: int = MAX_ORDER_ITEMS
    max_vertices: int = MAX_VERTICES

    @property
    def account(self) -> str:
        """A hash that names whom Planet counts requests and orders by, without telling the credential."""
        return account_of(self.identity)

    @property
    def identity(self) -> str:
        """What Planet counts requests and orders by. May be a secret: :attr:`account` is its hash.

        A service account's and a login's don't change when their secrets do.
        """
        if self.oauth is not None:
            return f"oauth {self.oauth.client_id} {self.oauth.token_url}"
        if self.login is not None:
            return f"login {self.login.email.lower()} {self.base_url}"
        return self.api_key

    @property
    def secrets(self) -> list[str]:
        """What of it no message may hold."""
        store = self.coordination_store
        given = (
            self.api_key,
            self.oauth.client_secret if self.oauth else "",
            self.login.password if self.login else "",
            *(redis_secrets(store) if store.lower().startswith("redis") else ()),
        )
        return [secret for secret in given if secret]

    def __post_init__(self) -> None:
        self._check_credential()
        object.__setattr__(self, "base_url", _base_url(self.base_url))
        if self.login is not None:
            check_secret_url("host", f"{self.base_url}{LOGIN_PATH}")
        for name in ("timeout", "max_queue_seconds", "max_retry_seconds", "backoff_seconds"):
            _require_positive(name, getattr(self, name))
        for name in _COUNTS:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"{name}={value!r}: must be a whole number of at least 1.")
        object.__setattr__(self, "rate_limits", _rates(self.rate_limits))
        check_store_url(self.coordination_store)
        _check_fallback(self.coordination_fallback)
        _warn_of_plain_http(self.base_url)

    def _check_credential(self) -> None:
        if self.oauth is not None or self.login is not None:
            if self.api_key or (self.oauth is not None and self.login is not None):
                raise CredentialsError(
                    "Several credentials were given: pass one of api_key, oauth and login."
                )
            return
        what = "The Planet API key (the connection's password, PL_API_KEY, or ~/.planet.json)"
        object.__setattr__(self, "api_key", stripped_secret(self.api_key, what))
        if not fits_header(self.api_key):
            raise CredentialsError(
                "The Planet API key holds characters that no key has: blanks, line breaks, control characters "
                "or others than ASCII. Copy it again."
            )


def _require_positive(name: str, value: object) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:  # type: ignore[arg-type,operator]
        raise ConfigurationError(f"{name}={value!r}: must be a finite number greater than 0.")


def _check_fallback(value: object) -> None:
    if value == "fail":
        return
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value <= 1:  # type: ignore[operator]
        raise ConfigurationError(
            f"coordination_fallback={value!r}: must be a share of the rates, above 0 and up to 1, or 'fail'."
        )


def _base_url(value: str) -> str:
    value = value.strip() if isinstance(value, str) else value
    parts = _split(value)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        # Whatever it is, it may hold a password.
        shown = redact_url(value) if isinstance(value, str) else value
        raise ConfigurationError(
            f"host={shown!r}: must be a URL with http or https, such as {DEFAULT_BASE_URL}."
        )
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ConfigurationError(
            "host: the base URL must have no user, password, query or fragment; "
            "credentials belong into the connection's login and password."
        )
    if _API_PATH.search(parts.path):
        raise ConfigurationError(
            f"host={value!r}: the path {parts.path!r} is one of Planet's APIs, which is added to each request. "
            f"Leave it out: {DEFAULT_BASE_URL}."
        )
    return value.rstrip("/")


@lru_cache(maxsize=16)  # each warning once a process
def _warn_of_plain_http(base_url: str) -> None:
    parts = urlsplit(base_url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        log.warning("%s is no https: the credential goes over the network in clear.", redact_url(base_url))


def _split(value: object) -> SplitResult | None:
    if not isinstance(value, str) or any(character.isspace() for character in value):
        return None
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        return None
    return parts


def _rates(given: Mapping[str, float]) -> Mapping[str, float]:
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"rate_limits={given!r}: must map classes to requests per second.")
    for name, rate in given.items():
        if name not in DOCUMENTED_RATES:
            known = ", ".join(DOCUMENTED_RATES)
            raise ConfigurationError(f"rate_limits[{name!r}]: no such class; the classes are {known}.")
        _require_positive(f"rate_limits[{name!r}]", rate)
    defaults = {name: rate * RATE_SHARE for name, rate in DOCUMENTED_RATES.items()}
    return MappingProxyType(defaults | {name: float(rate) for name, rate in given.items()})
