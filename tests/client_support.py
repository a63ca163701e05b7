"""Sync and async sessions behind one face, so that a test is written once and runs with both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import pytest

from planet_provider.builders.order_request import build
from planet_provider.client.api import data
from planet_provider.client.call import Call
from planet_provider.client.config import DOCUMENTED_RATES, PlanetConfig
from planet_provider.client.http.session import AsyncPlanetSession, PlanetSession
from planet_provider.coordination.limiter import RateLimiter
from planet_provider.coordination.memory_store import MemoryStore
from planet_provider.sandbox import Sandbox

T = TypeVar("T")

#: A well-formed id that no order has.
NO_ORDER = "00000000-0000-4000-8000-000000000000"

#: Items of the sandbox's catalogue that can be ordered as ``analytic_udm2``.
ORDERABLE = {
    "type": "AndFilter",
    "config": [
        {"type": "PermissionFilter", "config": ["assets.ortho_analytic_4b:download"]},
        {"type": "StringInFilter", "field_name": "quality_category", "config": ["standard"]},
    ],
}
#: Settings of a client that soon gives an answer up, and asks again so often that a machine which stalls for
#: some seconds is outlasted. Only for what may be repeated.
HASTY: dict[str, Any] = {"timeout": 0.5, "max_attempts": 20}

ANY = {"type": "RangeFilter", "field_name": "cloud_cover", "config": {"gte": 0}}


def config_of(sandbox: Sandbox, **settings: Any) -> PlanetConfig:
    """Return a configuration for a sandbox, without throttling and with short waits."""
    defaults = {
        "api_key": sandbox.api_key,
        "base_url": sandbox.url,
        "rate_limits": dict.fromkeys(DOCUMENTED_RATES, 10_000.0),
        "backoff_seconds": 0.01,
        "timeout": 60.0,
    }
    return PlanetConfig(**{**defaults, **settings})


def limiter_of(config: PlanetConfig) -> RateLimiter:
    """Return a limiter of the test's own: the process's would remember other tests' pauses."""
    return RateLimiter(MemoryStore(), config.api_key, config.rate_limits, config.max_queue_seconds)


@contextmanager
def session_of(sandbox: Sandbox, **settings: Any) -> Iterator[PlanetSession]:
    """Open a sync session with a sandbox."""
    config = config_of(sandbox, **settings)
    with PlanetSession(config, limiter=limiter_of(config)) as session:
        yield session


class Client(Protocol):
    """What both kinds of session can do."""

    def send(self, call: Call[T]) -> T:
        """Send a call."""
        ...

    def pages(self, call: Call[T]) -> list[T]:
        """Send a call and return all pages."""
        ...

    def close(self) -> None:
        """Close the session."""
        ...


class SyncClient:
    def __init__(self, config: PlanetConfig, limiter: RateLimiter) -> None:
        self.session = PlanetSession(config, limiter=limiter)

    def send(self, call: Call[T]) -> T:
        return self.session.send(call)

    def pages(self, call: Call[T]) -> list[T]:
        return list(self.session.pages(call))

    def close(self) -> None:
        self.session.close()


class AsyncClient:
    def __init__(self, config: PlanetConfig, limiter: RateLimiter) -> None:
        self._loop = asyncio.new_event_loop()
        self.session = AsyncPlanetSession(config, limiter=limiter)

    def send(self, call: Call[T]) -> T:
        return self._loop.run_until_complete(self.session.send(call))

    def pages(self, call: Call[T]) -> list[T]:
        async def gather() -> list[T]:
            return [page async for page in self.session.pages(call)]

        return self._loop.run_until_complete(gather())

    def close(self) -> None:
        self._loop.run_until_complete(self.session.close())
        self._loop.close()


Connect = Callable[..., Client]


@pytest.fixture(params=[SyncClient, AsyncClient], ids=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Connect to a sandbox, or by a configuration, with either kind of session."""
    opened: list[Client] = []

    def connect(
        sandbox: Sandbox | PlanetConfig, *, limiter: RateLimiter | None = None, **settings: Any
    ) -> Client:
        config = sandbox if isinstance(sandbox, PlanetConfig) else config_of(sandbox, **settings)
        opened.append(request.param(config, limiter or limiter_of(config)))
        return opened[-1]

    yield connect
    for client in opened:
        client.close()


def item_ids(client: Client | PlanetSession, count: int = 1) -> list[str]:
    """Return ids of items that can be ordered: the newest, whose footprints are polygons.

    At some times of the day the newest scene of all lies across the antimeridian.
    """
    first_page = client.send(data.quick_search(["PSScene"], ORDERABLE, page_size=min(250, 2 * count + 8)))
    found = [item["id"] for item in first_page if item["geometry"]["type"] == "Polygon"][:count]
    assert len(found) == count
    return found


def order_request(
    client: Client | PlanetSession, name: str = "an order", count: int = 1, **rest: Any
) -> dict[str, Any]:
    """Return a valid order request."""
    items = {"item_type": "PSScene", "item_ids": item_ids(client, count)}
    return build(name, items=items, product_bundle="analytic_udm2", **rest)


@contextmanager
def dies_after_its_post(session: PlanetSession) -> Iterator[None]:
    """Expect that what the block does ends, as if it were killed, once an order was accepted."""

    class Killed(BaseException):
        pass

    real = session.send

    def send(call: Any, **options: Any) -> Any:
        answer = real(call, **options)
        if call.rate_class == "orders.create":
            raise Killed
        return answer

    session.send = send  # type: ignore[method-assign]
    try:
        with pytest.raises(Killed):
            yield
    finally:
        session.send = real  # type: ignore[method-assign]
