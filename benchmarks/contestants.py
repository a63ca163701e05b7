"""Rate limiters under the same interface: each sends one request as soon as its limit lets it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from planet_provider.client.call import Call
from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.session import AsyncPlanetSession, PlanetSession
from planet_provider.coordination.limiter import RateLimiter
from planet_provider.coordination.open import open_store

#: Requests per second, of everybody together.
RATE = 10.0
_KEY = "PLAK-benchmark-not-a-credential"  # pragma: allowlist secret


@dataclass(frozen=True)
class Setting:
    """Where to send, and where limiters may keep what they share.

    :param url: Origin of the counting server.
    :param directory: Empty folder.
    :param redis_url: An empty Redis.
    """

    url: str
    directory: str
    redis_url: str


Send = Callable[[str], None]
AsyncSend = Callable[[str], Awaitable[None]]


class Ours:
    """This package's sessions with one of its stores."""

    def __init__(self, setting: Setting, store: str) -> None:
        self._config = PlanetConfig(
            api_key=_KEY,
            base_url=setting.url,
            rate_limits={"data.other": RATE, "data.download": 1000.0},
            coordination_store=store,
            coordination_fallback="fail",
        )

    def sync(self) -> Send:
        """Return what sends a request from a thread."""
        session = PlanetSession(self._config)
        session.send(_WARM)
        return lambda caller: session.send(_call(caller))

    async def asynchronous(self) -> AsyncSend:
        """Return what sends a request from an event loop."""
        session = AsyncPlanetSession(self._config)
        await session.send(_WARM)
        return lambda caller: session.send(_call(caller))

    def acquire(self) -> Callable[[], None]:
        """Return what takes a slot that is free, without sending anything."""
        store = open_store(self._config.coordination_store, "fail")
        limiter = RateLimiter(store, _KEY, {"data.other": 1e9}, 600.0)
        return lambda: limiter.acquire("data.other")


def _call(caller: str) -> Call[None]:
    return Call(
        method="GET",
        path="/hit",
        params=(("caller", caller),),
        rate_class="data.other",
        parse=lambda _: None,
    )


#: Opens the connection before the start; of another class, with slots of its own.
_WARM = Call(method="GET", path="/warm", rate_class="data.download", parse=lambda _: None)


class PlanetSdk:
    """The official SDK, whose limit (10/s) holds for one session."""

    def __init__(self, setting: Setting) -> None:
        self._url = setting.url

    def sync(self) -> Send:
        """Return what sends a request from a thread."""
        loop = asyncio.new_event_loop()
        send = loop.run_until_complete(self.asynchronous())
        return lambda caller: loop.run_until_complete(_completed(send(caller)))

    async def asynchronous(self) -> AsyncSend:
        """Return what sends a request from an event loop."""
        from planet import Auth, Session

        session = Session(auth=Auth.from_key(_KEY))
        await session.request("GET", f"{self._url}/warm")

        async def send(caller: str) -> None:
            await session.request("GET", f"{self._url}/hit", params={"caller": caller})

        return send

    def acquire(self) -> None:
        """Its limiter can't be used by itself."""


async def _completed(waiting: Awaitable[None]) -> None:
    await waiting


class _Plain:
    """A limiter of slots only: the request is sent with plain httpx."""

    def __init__(self, setting: Setting) -> None:
        self._url = setting.url
        self._setting = setting

    def limit(self, rate: float) -> Callable[[], None]:
        raise NotImplementedError

    async def limit_async(self, rate: float) -> Callable[[], Awaitable[None]]:
        raise NotImplementedError

    def sync(self) -> Send:
        """Return what sends a request from a thread."""
        wait, client = self.limit(RATE), httpx.Client(trust_env=False)
        client.get(f"{self._url}/warm")

        def send(caller: str) -> None:
            wait()
            client.get(f"{self._url}/hit", params={"caller": caller}).raise_for_status()

        return send

    async def asynchronous(self) -> AsyncSend:
        """Return what sends a request from an event loop."""
        wait, client = await self.limit_async(RATE), httpx.AsyncClient(trust_env=False)
        await client.get(f"{self._url}/warm")

        async def send(caller: str) -> None:
            await wait()
            (await client.get(f"{self._url}/hit", params={"caller": caller})).raise_for_status()

        return send

    def acquire(self) -> Callable[[], None]:
        """Return what takes a slot that is free, without sending anything."""
        return self.limit(1e6)


class Pyrate(_Plain):
    """pyrate-limiter, whose buckets are shared through SQLite or Redis."""

    def __init__(self, setting: Setting, store: str) -> None:
        super().__init__(setting)
        self._store = store

    def limit(self, rate: float) -> Callable[[], None]:
        limiter = self._limiter(rate)
        return lambda: limiter.try_acquire("data.other")

    async def limit_async(self, rate: float) -> Callable[[], Awaitable[None]]:
        limiter = self._limiter(rate)
        return lambda: limiter.try_acquire_async("data.other")

    def _limiter(self, rate: float):  # type: ignore[no-untyped-def]
        from pyrate_limiter import Duration, Limiter, Rate, RedisBucket, SQLiteBucket

        rates = [Rate(int(rate), Duration.SECOND)]
        if self._store == "sqlite":
            path = f"{self._setting.directory}/pyrate.sqlite"
            return Limiter(SQLiteBucket.init_from_file(rates, db_path=path, use_file_lock=True))
        from redis import Redis

        return Limiter(RedisBucket.init(rates, Redis.from_url(self._setting.redis_url), "pyrate"))


class Limits(_Plain):
    """limits, whose moving window is shared through Redis. It says yes or no: waiting is the caller's."""

    def limit(self, rate: float) -> Callable[[], None]:
        from limits import RateLimitItemPerSecond
        from limits.storage import RedisStorage
        from limits.strategies import MovingWindowRateLimiter

        limiter = MovingWindowRateLimiter(RedisStorage(self._setting.redis_url))
        item = RateLimitItemPerSecond(int(rate))

        def wait() -> None:
            while not limiter.hit(item, "data.other"):
                reset = limiter.get_window_stats(item, "data.other").reset_time
                time.sleep(max(0.001, reset - time.time()))

        return wait

    async def limit_async(self, rate: float) -> Callable[[], Awaitable[None]]:
        from limits import RateLimitItemPerSecond
        from limits.aio.storage import RedisStorage
        from limits.aio.strategies import MovingWindowRateLimiter

        storage = RedisStorage(f"async+{self._setting.redis_url}", implementation="redispy")
        limiter = MovingWindowRateLimiter(storage)
        item = RateLimitItemPerSecond(int(rate))

        async def wait() -> None:
            while not await limiter.hit(item, "data.other"):
                reset = (await limiter.get_window_stats(item, "data.other")).reset_time
                await asyncio.sleep(max(0.001, reset - time.time()))

        return wait


Contestant = Ours | PlanetSdk | Pyrate | Limits

CONTESTANTS: dict[str, tuple[str, Callable[[Setting], Contestant]]] = {
    "file": ("ours, file://", lambda setting: Ours(setting, f"file://{setting.directory}/slots")),
    "redis": ("ours, redis://", lambda setting: Ours(setting, setting.redis_url)),
    "memory": ("ours, memory:// (one process)", lambda setting: Ours(setting, "memory://")),
    "sdk": ("planet SDK, a Session a process", PlanetSdk),
    "pyrate-sqlite": ("pyrate-limiter, SQLite", lambda setting: Pyrate(setting, "sqlite")),
    "pyrate-redis": ("pyrate-limiter, Redis", lambda setting: Pyrate(setting, "redis")),
    "limits-redis": ("limits, Redis moving window", Limits),
}

#: What holds in one process only: measured uncontended, but not run in eight.
ALONE = frozenset({"memory"})
