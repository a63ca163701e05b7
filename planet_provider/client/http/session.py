"""The two executors of calls: one for tasks on workers, one for the triggerer's event loop.

They only differ in how they wait: everything else is shared.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import anyio
import httpx
import tenacity

from planet_provider import __version__
from planet_provider.client.auth.flows import PlanetAuth, TokenRenewedError, auth_of
from planet_provider.client.call import Call
from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.bounded import (
    ACCEPT_ENCODING,
    Bounds,
    aread,
    read,
)
from planet_provider.client.http.cookieless import CookielessAsyncClient, CookielessClient
from planet_provider.client.http.environment import client_of, tls_context
from planet_provider.client.http.idempotency import Attempts
from planet_provider.client.http.paging import Pages
from planet_provider.client.http.redirects import (
    MAX_REDIRECTS,
    NEW_LINK,
    OPENED,
    discard,
    followed,
    refusal,
)
from planet_provider.client.http.responses import (
    EXCHANGE_ERRORS,
    exchange_error,
    not_understood,
    result,
    server_time,
    whole,
)
from planet_provider.client.http.retry import QueueTime, retry_options
from planet_provider.client.http.transport import use_large_reads
from planet_provider.coordination.concurrency import ConnectionLease, connection_limiter
from planet_provider.coordination.interrupt import pause, within
from planet_provider.coordination.limiter import RateLimiter
from planet_provider.coordination.open import open_store
from planet_provider.exceptions import (
    ConfigurationError,
    InvalidInputError,
    PlanetError,
    RateLimitError,
    TransferError,
    UnexpectedResponseError,
)
from planet_provider.known_secrets import remember
from planet_provider.redact import (
    install_log_redaction,
    origin,
    redact_text,
    redact_url,
)

T = TypeVar("T")
SessionT = TypeVar("SessionT", bound="PlanetSession")


#: Characters of a link. Planet's have some hundred; servers take a request line of 8 to 64 thousand.
_MAX_LINK = 32_000


class _Core:
    """What both sessions share: where to send, which account, how fast."""

    def __init__(self, config: PlanetConfig, limiter: RateLimiter | None) -> None:
        install_log_redaction()
        remember(config.secrets)
        self.config = config
        self._auth = auth_of(config, tls_context())
        self._origin = origin(config.base_url)
        self._limiter = limiter or RateLimiter(
            open_store(config.coordination_store, config.coordination_fallback),
            config.identity,
            config.rate_limits,
            config.max_queue_seconds,
        )
        self._connections = connection_limiter(config.account, config.max_connections)
        self._bounds = Bounds(config.max_response_bytes, max(config.max_retry_seconds, config.timeout))
        self._masked: int | None = None  # the hash of the latest token that was masked

    def _client_options(self) -> dict[str, Any]:
        return {
            "headers": {
                "User-Agent": f"airflow-provider-planet/{__version__}",
                "Accept-Encoding": ACCEPT_ENCODING,
            },
            "timeout": httpx.Timeout(self.config.timeout),
            "limits": httpx.Limits(max_connections=self.config.max_connections),
            "verify": tls_context(),
            "follow_redirects": False,
        }

    def _request(self, client: httpx.Client | httpx.AsyncClient, call: Call[Any]) -> httpx.Request:
        """Build the request for a call."""
        remember(call.secrets)
        url = self._url(call.path)
        try:
            return client.build_request(call.method, url, params=call.params or None, json=call.json)
        except httpx.InvalidURL as error:
            failure: PlanetError = not_understood(call.label, error)
            if url.startswith(self.config.base_url):
                failure = ConfigurationError(
                    f"host={redact_url(self.config.base_url)!r}: no host can have this name."
                )
        except (RecursionError, TypeError, ValueError) as error:
            what = redact_text(f"{type(error).__name__}: {error}", 200)
            failure = InvalidInputError("request", call.label, f"can't be sent as JSON over HTTP: {what}.")
        raise failure

    def _url(self, path: str) -> str:
        """Complete a path. A link that Planet gave must stay at home, because the credential goes with it."""
        if path.startswith("/") and not path.startswith("//"):
            return f"{self.config.base_url}{path}"
        if len(path) > _MAX_LINK or not path.isprintable():
            raise UnexpectedResponseError(
                f"A link that Planet gave, of {len(path)} characters, is no URL that can be followed: "
                f"{redact_url(path[:_MAX_LINK])[:200]!r}. Try again later; if it stays so, report it to Planet."
            )
        if origin(path) != self._origin:
            raise UnexpectedResponseError(
                f"A link leads to {redact_url(path)}, away from {self.config.base_url}: it is not followed. "
                "If a proxy stands between, set the connection's host to the origin that Planet's links name."
            )
        return path


@dataclass(frozen=True)
class _Sending:
    """What an attempt is sent with.

    :param lease: Given back when its answer is closed.
    :param auth: The credential.
    """

    lease: ConnectionLease
    auth: PlanetAuth


class _Counted(httpx.SyncByteStream):
    """A body that keeps its request's lease until it is closed.

    :param stream: The body.
    :param lease: Its request's.
    """

    def __init__(self, stream: httpx.SyncByteStream, lease: ConnectionLease) -> None:
        self._stream = stream
        self._lease = lease

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        """Close it, and let another request go."""
        try:
            self._stream.close()
        finally:
            self._lease.release()


class PlanetSession(_Core):
    """Send calls from a task. Close it, or use it as a context manager.

    Safe to share between threads: those beyond ``max_connections`` wait.

    :param config: Where to send, which account, how fast, how many tries.
    :param limiter: Another rate limiter than the one the configuration describes.
    :param on_token: Called with each token that is fetched, before it is sent: to have it masked in logs.
    """

    def __init__(
        self,
        config: PlanetConfig,
        *,
        limiter: RateLimiter | None = None,
        on_token: Callable[[str], object] | None = None,
    ) -> None:
        super().__init__(config, limiter)
        self._on_token = on_token
        self._http = client_of(lambda: CookielessClient(**self._client_options()))
        #: The server's clock at its latest answer; ``None`` before one, or if no answer says.
        self.server_time: datetime | None = None
        use_large_reads(self._http)
        self._headers = {**self._http.headers, "accept-encoding": "identity"}
        self._extensions = {"timeout": self._http.timeout.as_dict()}

    def __enter__(self: SessionT) -> SessionT:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections. A closed session can't be used again."""
        self._http.close()

    def send(self, call: Call[T], *, before_attempt: Callable[[], None] | None = None) -> T:
        """Send a call and return its parsed result.

        :param call: What to send.
        :param before_attempt: Called each time right before it is sent.
        :raises APIError: Planet answered with an error status; see the tree for its kinds.
        :raises TransportError: No answer came within the retry budget.
        :raises RateLimitQueueError: Too many requests wait for a slot.
        :raises UnexpectedResponseError: The answer cannot be understood.
        """
        return self._send(call, before_attempt)[0]

    def pages(self, call: Call[T], *, most: int | None = None) -> Iterator[T]:
        """Send a call and yield its pages, empty ones too, until there is no next.

        :param most: Pages after which the list is taken for endless; by default ``max_pages``.
        :raises PagingCycleError: A next link was already followed.
        :raises UnexpectedResponseError: There are too many pages, or they take too long.
        """
        pages = Pages(call, most or self.config.max_pages)
        following: Call[T] | None = call
        while following is not None:
            with pages.asking():
                page, body = self._send(following)
            yield page
            following = pages.after(following, body)

    @contextmanager
    def open(
        self, url: str, *, rate_class: str | None, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """Open a download link and yield the answer with its body unread.

        Redirects are followed by hand, so that the credential stays on the API's origin. Connection errors,
        429 and 5xx are retried until an answer begins; what breaks while the body is read reaches the caller
        as ``httpx.TransportError``. The answer counts as under way, and for ``max_connections``, until it is
        closed, which its end and the block's do.

        :param url: A link that Planet gave, or where it led to.
        :param rate_class: ``orders.download`` or ``data.download``; ``None`` for storage, which Planet doesn't
            count.
        :param headers: e.g. ``Range`` and ``If-Range``.
        :return: An answer with status 200, 206 or 416.
        :raises LinkExpiredError: The link is not valid any more.
        :raises TransferError: The link leads nowhere, from https to http, or through too many redirects.
        """
        url = followed(self.config.base_url, url)
        label = f"GET {urlsplit(url).path}"
        response = self._retrying(
            label, True, rate_class, partial(self._open_once, url, label, dict(headers or {}), rate_class)
        )
        try:
            yield response
        finally:
            response.close()

    def _send(self, call: Call[T], before_attempt: Callable[[], None] | None = None) -> tuple[T, Any]:
        attempts = Attempts(call)

        def attempt(sending: _Sending) -> tuple[T, Any]:
            with sending.lease:
                if before_attempt is not None:
                    before_attempt()
                try:
                    return self._send_once(call, sending)
                except PlanetError as error:
                    return attempts.settled(error)

        return self._retrying(call.label, call.repeatable, call.rate_class, attempt)

    def _send_once(self, call: Call[T], sending: _Sending) -> tuple[T, Any]:
        with self._heeding(call.rate_class):
            request = self._request(self._http, call)
            with within(self._bounds.seconds):
                response = self._ask(request, call.label, sending.auth)
                content = self._content(response, call.label)
            self.server_time = server_time(response) or self.server_time
            return result(call, whole(response, content))

    def _ask(self, request: httpx.Request, label: str, auth: PlanetAuth | None) -> httpx.Response:
        """Send a request, and return the answer with its body unread."""
        try:
            return self._http.send(request, auth=auth, stream=True)
        except EXCHANGE_ERRORS as error:
            failure = exchange_error(error, label)
        raise failure  # not where it was caught: see transport_error

    def _content(self, response: httpx.Response, label: str) -> bytes:
        try:
            return read(response, self._bounds)
        except EXCHANGE_ERRORS as error:
            failure = exchange_error(error, label)
        raise failure

    def _retrying(
        self, label: str, repeatable: bool, rate_class: str | None, attempt: Callable[[_Sending], T]
    ) -> T:
        queued = QueueTime()

        def limited() -> T:
            try:
                return self._admitted(rate_class, queued, self._auth, attempt)
            except TokenRenewedError:
                return self._admitted(rate_class, queued, self._auth.again(), attempt)

        options = retry_options(self.config, label, queued, repeatable=repeatable)
        return tenacity.Retrying(sleep=pause, **options)(limited)

    def _admitted(
        self,
        rate_class: str | None,
        queued: QueueTime,
        auth: PlanetAuth,
        attempt: Callable[[_Sending], T],
    ) -> T:
        """Attempt something with a lease and a slot. Only an open answer keeps the lease."""
        lease = ConnectionLease(self._connections)
        try:
            if rate_class is None:
                with queued.running():
                    lease.take(self.config.max_queue_seconds, None)
            else:
                self._have_token(auth)  # before standing in line: all who need one wait for the same
                with queued.running():
                    self._limiter.acquire(rate_class, partial(self._ready, lease, rate_class))
            return attempt(_Sending(lease, auth))
        except BaseException:
            lease.release()
            raise

    def _ready(self, lease: ConnectionLease, rate_class: str, seconds: float) -> None:
        lease.take(seconds, rate_class)
        self._have_token(self._auth)  # it may be over by now

    def _have_token(self, auth: PlanetAuth) -> None:
        token = auth.ready()
        if token is not None and hash(token) != self._masked:
            if self._on_token is not None:
                self._on_token(token)
            self._masked = hash(token)

    @contextmanager
    def _heeding(self, rate_class: str | None) -> Iterator[None]:
        """Tell everybody of a 429 in the block."""
        sent = time.monotonic()
        try:
            yield
        except RateLimitError as error:
            if rate_class is not None:
                self._limiter.pause(rate_class, error.retry_after, time.monotonic() - sent)
            raise

    def _open_once(
        self, url: str, label: str, headers: dict[str, str], rate_class: str | None, sending: _Sending
    ) -> httpx.Response:
        at_home = True
        for _ in range(MAX_REDIRECTS + 1):
            # A foreign host has chosen where the chain goes: no credential, even if it leads home again.
            at_home = at_home and origin(url) == self._origin
            # What storage refuses is nothing to Planet's other requests.
            with self._heeding(rate_class if at_home else None):
                response = self._open_hop(url, label, headers, sending.auth if at_home else None)
                if not response.has_redirect_location:
                    response = self._checked(response, label, at_home=at_home)
                    body = cast("httpx.SyncByteStream", response.stream)
                    response.stream = _Counted(body, sending.lease)
                    return response
            discard(response)
            url = followed(url, response.headers["Location"])
        raise TransferError(f"{label}: more than {MAX_REDIRECTS} redirects. {NEW_LINK}")

    def _checked(self, response: httpx.Response, label: str, *, at_home: bool) -> httpx.Response:
        if response.status_code in OPENED:
            return response
        raise refusal(whole(response, self._content(response, label)), label, at_home=at_home)

    def _open_hop(
        self, url: str, label: str, headers: dict[str, str], auth: PlanetAuth | None
    ) -> httpx.Response:
        # Not by the client, which merges its settings each time.
        try:
            request = httpx.Request(
                "GET", url, headers={**self._headers, **headers}, extensions=self._extensions
            )
        except (httpx.InvalidURL, ValueError) as error:
            failure: PlanetError = TransferError(f"{label}: {redact_text(str(error), 200)}. {NEW_LINK}")
        else:
            try:
                with within(self._bounds.seconds):
                    return self._ask(request, label, auth)
            except UnexpectedResponseError as error:  # such as a redirect to what is no URL
                failure = TransferError(f"{error} {NEW_LINK}")
        raise failure


class AsyncPlanetSession(_Core):
    """Send calls from an event loop. Close it, or use it as an asynchronous context manager.

    :param config: Where to send, which account, how fast, how many tries.
    :param limiter: Another rate limiter than the one the configuration describes.
    :param on_token: As for :class:`PlanetSession`; awaited.
    """

    def __init__(
        self,
        config: PlanetConfig,
        *,
        limiter: RateLimiter | None = None,
        on_token: Callable[[str], Awaitable[object]] | None = None,
    ) -> None:
        super().__init__(config, limiter)
        self._on_token = on_token
        self._http = client_of(lambda: CookielessAsyncClient(**self._client_options()))
        #: The server's clock at its latest answer; ``None`` before one, or if no answer says.
        self.server_time: datetime | None = None

    async def __aenter__(self) -> AsyncPlanetSession:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections. A closed session can't be used again."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """Send a call and return its parsed result. Raises what :meth:`PlanetSession.send` raises."""
        return (await self._send(call))[0]

    async def pages(self, call: Call[T], *, most: int | None = None) -> AsyncIterator[T]:
        """Send a call and yield its pages, as :meth:`PlanetSession.pages` does."""
        pages = Pages(call, most or self.config.max_pages)
        following: Call[T] | None = call
        while following is not None:
            with pages.asking():
                page, body = await self._send(following)
            yield page
            following = pages.after(following, body)

    async def _send(self, call: Call[T]) -> tuple[T, Any]:
        queued = QueueTime()
        retrying = tenacity.AsyncRetrying(
            sleep=asyncio.sleep, **retry_options(self.config, call.label, queued, repeatable=call.repeatable)
        )
        attempts = Attempts(call)

        async def attempt() -> tuple[T, Any]:
            try:
                return await self._send_once(call, queued)
            except PlanetError as error:
                return attempts.settled(error)

        return await retrying(attempt)

    async def _send_once(self, call: Call[T], queued: QueueTime) -> tuple[T, Any]:
        try:
            return await self._admitted(call, queued, self._auth)
        except TokenRenewedError:
            return await self._admitted(call, queued, self._auth.again())

    async def _admitted(self, call: Call[T], queued: QueueTime, auth: PlanetAuth) -> tuple[T, Any]:
        await self._have_token(auth)
        with ConnectionLease(self._connections) as lease:
            with queued.running():
                await self._limiter.aacquire(call.rate_class, partial(self._ready, lease, call.rate_class))
            sent = time.monotonic()
            response = await self._exchanged(call, auth)
        self.server_time = server_time(response) or self.server_time
        try:
            return result(call, response)
        except RateLimitError as error:
            await self._limiter.apause(call.rate_class, error.retry_after, time.monotonic() - sent)
            raise

    async def _exchanged(self, call: Call[T], auth: PlanetAuth) -> httpx.Response:
        request = self._request(self._http, call)
        try:
            with anyio.fail_after(self._bounds.seconds):
                response = await self._http.send(request, auth=auth, stream=True)
                content = await aread(response, self._bounds)
            return whole(response, content)
        except TimeoutError:
            late = httpx.ReadTimeout(f"no whole answer within {self._bounds.seconds:g} s", request=request)
            failure: PlanetError = exchange_error(late, call.label)
        except EXCHANGE_ERRORS as error:
            failure = exchange_error(error, call.label)
        raise failure  # not where it was caught: see transport_error

    async def _ready(self, lease: ConnectionLease, rate_class: str, seconds: float) -> None:
        await lease.atake(seconds, rate_class)
        await self._have_token(self._auth)

    async def _have_token(self, auth: PlanetAuth) -> None:
        token = await auth.aready()
        if token is not None and hash(token) != self._masked:
            if self._on_token is not None:
                await self._on_token(token)
            self._masked = hash(token)
