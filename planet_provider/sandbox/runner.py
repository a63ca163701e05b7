"""Running a sandbox: in a thread of this process, or in the foreground of its own."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

from aiohttp import web

from planet_provider.sandbox import app, control
from planet_provider.sandbox.catalogue import Catalogue
from planet_provider.sandbox.clock import SandboxClock
from planet_provider.sandbox.config import SandboxConfig
from planet_provider.sandbox.faults import FaultBoard
from planet_provider.sandbox.outcomes import OutcomeBoard
from planet_provider.sandbox.recorder import RecordedRequest
from planet_provider.sandbox.state import State

# Answers still under way at the end, such as stalled ones, are given up after this: real seconds.
_SHUTDOWN_SECONDS = 0.2
_FIXED_BY_START = ("host", "public_host", "port", "storage_port", "seed", "items", "recorded_requests")


class Sandbox:
    """A running sandbox. Its methods may be called from any thread.

    :param state: The sandbox's parts.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._start_config = state.config

    def __repr__(self) -> str:
        return f"<Sandbox {self.url}>"

    @property
    def config(self) -> SandboxConfig:
        """The settings in force."""
        return self._state.config

    @property
    def url(self) -> str:
        """Origin of the Data API, the Orders API and the log-ins."""
        return self._state.url

    @property
    def storage_url(self) -> str:
        """Origin that download links redirect to."""
        return self._state.storage_url

    @property
    def api_key(self) -> str:
        """A valid API key."""
        return self.config.api_keys[0]

    @property
    def clock(self) -> SandboxClock:
        """Sandbox time."""
        return self._state.clock

    @property
    def faults(self) -> FaultBoard:
        """What goes wrong."""
        return self._state.faults

    @property
    def outcomes(self) -> OutcomeBoard:
        """How orders end."""
        return self._state.outcomes

    @property
    def catalogue(self) -> Catalogue:
        """Every scene there is, those published later too."""
        return self._state.catalogue

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests received, in order of arrival."""
        return self._state.recorder.snapshot()

    @property
    def orders(self) -> dict[str, dict[str, Any]]:
        """Every account's orders by id, oldest first, as they are now."""
        return control.orders_by_id(self._state)

    def revoke_tokens(self) -> None:
        """Make every OAuth access token issued so far invalid."""
        self._state.auth.revoke_tokens()

    def reset(self, **overrides: Any) -> None:
        """Start afresh: no orders, searches, active assets, faults or recorded requests; real time.

        :param overrides: Settings other than those at the start, until the next reset.
        :raises ValueError: A setting that can't change while the sandbox runs.
        """
        fixed = sorted(set(overrides) & set(_FIXED_BY_START))
        if fixed:
            raise ValueError(f"{', '.join(fixed)} can't change while the sandbox runs: start another one.")
        self._state.reset(dataclasses.replace(self._start_config, **overrides))


@contextlib.asynccontextmanager
async def serve(config: SandboxConfig) -> AsyncIterator[Sandbox]:
    """Run a sandbox on the current event loop."""
    state = await asyncio.to_thread(State, config)
    runners: list[web.AppRunner] = []
    try:
        origins = ((app.api(state), config.port), (app.store(state), config.storage_port))
        urls = []
        for origin, port in origins:
            # No access log: paths hold tokens.
            runner = web.AppRunner(origin, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
            await runner.setup()
            runners.append(runner)
            await web.SockSite(runner, _listen(config.host, port)).start()
            urls.append(_url(config, runner.addresses[0][1]))
        state.url, state.storage_url = urls
        yield Sandbox(state)
    finally:
        for runner in runners:
            await runner.cleanup()
        state.close()


@contextlib.contextmanager
def run(config: SandboxConfig | None = None, **overrides: Any) -> Iterator[Sandbox]:
    """Run a sandbox in a thread with an event loop of its own.

    :param config: Settings; by default those of :class:`SandboxConfig`.
    :param overrides: Settings over those.
    """
    settings = dataclasses.replace(config or SandboxConfig(), **overrides)
    ready: _Handover = _Handover()
    thread = threading.Thread(target=ready.main, args=(settings,), name="planet-sandbox", daemon=True)
    thread.start()
    try:
        yield ready.sandbox()
    finally:
        ready.stop()
        thread.join()


class _Handover:
    """What the thread of a sandbox and the one that started it tell each other."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._sandbox: Sandbox | None = None
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def main(self, config: SandboxConfig) -> None:
        try:
            asyncio.run(self._serve(config))
        except BaseException as error:  # raised again by the thread that waits
            self._error = error
        finally:
            self._ready.set()

    def sandbox(self) -> Sandbox:
        self._ready.wait()
        if self._sandbox is None:
            raise self._error or RuntimeError("The sandbox ended before it began.")
        return self._sandbox

    def stop(self) -> None:
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)

    async def _serve(self, config: SandboxConfig) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with serve(config) as sandbox:
            self._sandbox = sandbox
            self._ready.set()
            await self._stop.wait()


def _url(config: SandboxConfig, port: int) -> str:
    # Nobody can connect to "any address", but the machine itself answers for it.
    host = config.public_host or {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host, config.host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=512)
