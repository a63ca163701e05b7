"""What one sandbox consists of."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TypeVar

from aiohttp import web

from planet_provider.sandbox.activation import AssetDesk
from planet_provider.sandbox.auth import Authenticator
from planet_provider.sandbox.catalogue import Catalogue
from planet_provider.sandbox.clock import SandboxClock
from planet_provider.sandbox.config import SandboxConfig
from planet_provider.sandbox.faults import FaultBoard
from planet_provider.sandbox.limits import RateLimiter
from planet_provider.sandbox.links import Links
from planet_provider.sandbox.objects import ObjectStore
from planet_provider.sandbox.order_book import OrderBook
from planet_provider.sandbox.outcomes import OutcomeBoard
from planet_provider.sandbox.recorder import Recorder
from planet_provider.sandbox.searches import SearchDesk
from planet_provider.sandbox.signing import Signer

T = TypeVar("T")

_RENDERING_THREADS = 2


class State:
    """The parts of a sandbox, by concern.

    :param config: Settings; :meth:`reset` may change all but those of the origins and the catalogue.
    """

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self.clock = SandboxClock(config.speed)
        self.catalogue = Catalogue(seed=config.seed, items=config.items, now=self.clock.now())
        self.signer = Signer()
        self.links = Links(self.signer, self.clock)
        self.faults = FaultBoard()
        self.recorder = Recorder(config.recorded_requests)
        self.limiter = RateLimiter(config)
        self.auth = Authenticator(config, self.signer, self.clock)
        self.outcomes = OutcomeBoard(config)
        self.orders = OrderBook(config, self.clock, self.outcomes)
        self.objects = ObjectStore()
        self.assets = AssetDesk()
        self.searches = SearchDesk()
        self.url = ""
        self.storage_url = ""
        self._executor = ThreadPoolExecutor(_RENDERING_THREADS, thread_name_prefix="planet-sandbox-render")

    def reset(self, config: SandboxConfig) -> None:
        """Start afresh: no orders, searches, active assets, faults or recorded requests."""
        self.config = config
        self.clock.reset(config.speed)
        self.faults.clear()
        self.recorder.clear()
        self.limiter.reset(config)
        self.auth.reset(config)
        self.outcomes.reset(config)
        self.orders.reset(config)
        self.objects.clear()
        self.assets.reset()
        self.searches.reset()

    def catalogue_at(self, moment: datetime) -> Catalogue:
        """Return the catalogue as it is at a sandbox time: scenes go on being published."""
        view = copy.copy(self.catalogue)
        view.now = moment
        return view

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run CPU work off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def close(self) -> None:
        """Give back threads and disk."""
        self._executor.shutdown(cancel_futures=True)
        self.objects.close()


STATE: web.AppKey[State] = web.AppKey("state", State)
