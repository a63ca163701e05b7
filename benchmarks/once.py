"""Place orders while answers get lost, ours and Planet's SDK side by side: duplicates, losses, requests, time.

Both order from the same kind of sandbox through a gateway (:mod:`benchmarks.gateway`) that has mishaps with a
share of the POSTs, chosen by a seed, an order and a number of the try, so that both meet the same. The
sandbox has no rate limits, and neither has anybody here: this is about orders, not about waiting for slots.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gateway import MISHAPS, Gateway, Mishap, gateway
from planet_provider.client.config import DOCUMENTED_RATES, PlanetConfig
from planet_provider.client.http.session import PlanetSession
from planet_provider.ordering.place import place_order
from planet_provider.sandbox import Sandbox, SandboxConfig, run
from planet_provider.sandbox.bundles import choose

#: Orders in the making at a time.
CONCURRENCY = 16
#: Seconds after which both give up waiting for an answer, and of an answer that is too late.
TIMEOUT, LATE = 1.0, 1.5


@dataclass(frozen=True)
class Setting:
    """Where to order, and what.

    :param list_consistency_timeout: Seconds, just above the list's lag.
    :param tries: How often a caller that gets an error calls again, as a task with retries does.
    """

    url: str
    api_key: str
    requests: Sequence[dict[str, Any]]
    list_consistency_timeout: float
    tries: int


@dataclass(frozen=True)
class Result:
    """What a caller has of one order.

    :param order_id: Its id; ``None`` where the caller got an error.
    :param seconds: How long it took.
    :param errors: What it got before, or instead.
    """

    order_id: str | None
    seconds: float
    errors: tuple[str, ...]


@dataclass(frozen=True)
class Figures:
    """What became of a contestant's orders, by the sandbox's account.

    :param duplicates: Orders beyond the first of a name.
    :param orphans: Names of which an order lives, and the caller has no id.
    :param unplaced: Names without an order.
    :param requests: Requests an order, of all kinds.
    """

    duplicates: int
    orphans: int
    unplaced: int
    requests: float
    median: float
    p95: float
    errors: Counter[str]


def ours(setting: Setting) -> list[Result]:
    """Place all orders with this package."""
    with tempfile.TemporaryDirectory(prefix="planet-once-") as store:
        config = PlanetConfig(
            api_key=setting.api_key,
            base_url=setting.url,
            rate_limits=dict.fromkeys(DOCUMENTED_RATES, 1e6),
            coordination_store=Path(store).as_uri(),
            max_connections=CONCURRENCY,
            timeout=TIMEOUT,
        )
        with PlanetSession(config) as session, ThreadPoolExecutor(CONCURRENCY) as pool:

            def place(request: dict[str, Any]) -> Result:
                started = time.perf_counter()
                errors = []
                for number in range(setting.tries):
                    try:
                        placed = place_order(
                            session,
                            request,
                            list_consistency_timeout=setting.list_consistency_timeout,
                            retried=number > 0,
                        )
                    except Exception as error:
                        errors.append(type(error).__name__)
                    else:
                        return Result(placed.order_id, time.perf_counter() - started, tuple(errors))
                return Result(None, time.perf_counter() - started, tuple(errors))

            return list(pool.map(place, setting.requests))


def sdk(setting: Setting) -> list[Result]:
    """Place all orders with Planet's SDK, and its own retries."""
    return asyncio.run(_sdk(setting))


async def _sdk(setting: Setting) -> list[Result]:
    import planet.http
    from planet import Auth, OrdersClient, Session

    planet.http.RATE_LIMIT = 0
    free = asyncio.Semaphore(CONCURRENCY)
    async with Session(auth=Auth.from_key(setting.api_key), read_timeout_secs=TIMEOUT) as session:
        client = OrdersClient(session, base_url=f"{setting.url}/compute/ops")

        async def place(request: dict[str, Any]) -> Result:
            async with free:
                started = time.perf_counter()
                errors = []
                for _ in range(setting.tries):
                    try:
                        order = await client.create_order(request)
                    except Exception as error:
                        errors.append(type(error).__name__)
                    else:
                        return Result(order["id"], time.perf_counter() - started, tuple(errors))
                return Result(None, time.perf_counter() - started, tuple(errors))

        return await asyncio.gather(*(place(request) for request in setting.requests))


CONTESTANTS: dict[str, tuple[str, Callable[[Setting], list[Result]]]] = {
    "ours": ("ours", ours),
    "sdk": ("planet SDK", sdk),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and print the table; fail where ours buys twice or loses an order."""
    options = _options(arguments)
    logging.disable(logging.CRITICAL)
    print("| client | duplicates | losses (order lives / none) | requests an order | median s | p95 s |")
    print("|---|---|---|---|---|---|")
    clean = True
    for name in options.only:
        label, contestant = CONTESTANTS[name]
        found = _run(contestant, options)
        row = [
            label,
            str(found.duplicates),
            f"{found.orphans + found.unplaced} ({found.orphans} / {found.unplaced})",
            f"{found.requests:.2f}",
            f"{found.median:.3f}",
            f"{found.p95:.2f}",
        ]
        print("| " + " | ".join(row) + " |", flush=True)
        print(f"{label}: errors {dict(found.errors)}", file=sys.stderr)
        clean = clean and (name != "ours" or not (found.duplicates or found.orphans or found.unplaced))
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end", file=sys.stderr)
    return 0 if clean else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.once", description=__doc__)
    parser.add_argument("--creates", type=int, default=2000, help="orders (default: 2000)")
    parser.add_argument("--mishaps", type=float, default=0.3, help="share of POSTs (default: 0.3)")
    parser.add_argument("--lag", type=float, default=0.5, help="seconds that the list lags (default: 0.5)")
    parser.add_argument("--tries", type=int, default=2, help="calls until one succeeds (default: 2)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    return parser.parse_args(arguments)


def _run(contestant: Callable[[Setting], list[Result]], options: argparse.Namespace) -> Figures:
    def mishap(name: str, before: int) -> Mishap:
        # Our names end with a digest.
        drawn = random.Random(f"{options.seed} {name.split(' [', maxsplit=1)[0]} {before}")
        return drawn.choice(MISHAPS) if drawn.random() < options.mishaps else "none"

    planet = SandboxConfig(
        items=400,
        rate_limits=False,
        list_lag_seconds=options.lag,
        max_queued_orders=10 * options.creates,
        recorded_requests=1,
    )
    with run(planet) as sandbox, gateway(sandbox.url, mishap, LATE) as between:
        requests = _requests(sandbox, options.creates)
        setting = Setting(between.url, sandbox.api_key, requests, options.lag + 0.2, options.tries)
        results = contestant(setting)
        return _figures(sandbox, between, [request["name"] for request in requests], results)


def _requests(sandbox: Sandbox, count: int) -> list[dict[str, Any]]:
    items = [
        item.id
        for item in sandbox.catalogue
        if item.item_type == "PSScene" and choose(item, "visual") == "visual"
    ]
    product = {"item_type": "PSScene", "product_bundle": "visual"}
    return [
        {"name": f"order {number:05d}", "products": [{**product, "item_ids": [items[number % len(items)]]}]}
        for number in range(count)
    ]


def _figures(sandbox: Sandbox, between: Gateway, names: Sequence[str], results: Sequence[Result]) -> Figures:
    orders = sandbox.orders
    placed = Counter(
        order["name"].split(" [")[0]
        for order in orders.values()
        if order["state"] not in {"failed", "cancelled"}
    )
    for name, result in zip(names, results, strict=True):
        if result.order_id is not None and orders[result.order_id]["name"].split(" [")[0] != name:
            raise RuntimeError(f"{name} was answered with another order")
    by_name = dict(zip(names, results, strict=True))
    seconds = sorted(result.seconds for result in results)
    return Figures(
        duplicates=sum(count - 1 for count in placed.values()),
        orphans=sum(by_name[name].order_id is None for name in placed),
        unplaced=len(set(names) - set(placed)),
        requests=between.requests / len(names),
        median=statistics.median(seconds),
        p95=seconds[int(0.95 * len(seconds))],
        errors=Counter(error for result in results for error in result.errors),
    )


if __name__ == "__main__":
    sys.exit(main())
