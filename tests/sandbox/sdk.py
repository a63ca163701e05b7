"""Planet's official SDK and CLI, pointed at a sandbox.

Two things differ from a user's own set-up, and nothing is patched beyond them: the base URL, and the SDK's
cache of the bundle list (``planet.specs``), which it would otherwise fetch from Planet itself.

Test modules import the helpers and load the fixtures with ``pytest_plugins = ("sdk",)``; that order is why
pytest is told PYTEST_DONT_REWRITE here.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pendulum
import planet
import pytest
from click.testing import CliRunner, Result
from plain_http import in_one_piece
from planet import data_filter, order_request, specs
from planet.cli.cli import main as planet_main
from shapely.geometry import shape

from planet_provider.sandbox import Sandbox, run

ITEM_TYPE = "PSScene"
BUNDLE = "analytic_udm2"
POLL_LIMIT = 100
# The clock all but stands still, so that no scene is published while the tests compare searches;
# orders and assets take 0.15 and 0.1 real seconds.
CALM = {"speed": 1e-3, "queued_seconds": 5e-5, "running_seconds": 1e-4, "activation_seconds": 1e-4}
SMALL = 400

Filter = dict[str, Any]
Feature = dict[str, Any]


def fill_bundle_cache(url: str) -> None:
    """Give the SDK the sandbox's bundle list instead of Planet's.

    :param url: origin of the sandbox's API.
    """
    bundles = httpx.get(f"{url}/compute/ops/bundles/spec").raise_for_status().json()["bundles"]
    specs.PRODUCT_BUNDLES.cache = {
        "bundles": bundles,
        "bundle_names": bundles.keys(),
        "item_types": set(itertools.chain.from_iterable(bundle["assets"] for bundle in bundles.values())),
    }


@dataclass(frozen=True)
class Clients:
    """The SDK's asynchronous clients on one session."""

    session: planet.Session
    data: planet.DataClient
    orders: planet.OrdersClient


def open_clients(sandbox: Sandbox, key: str | None = None) -> Clients:
    session = planet.Session(auth=planet.Auth.from_key(key or sandbox.api_key))
    return Clients(
        session=session,
        data=planet.DataClient(session, base_url=f"{sandbox.url}/data/v1"),
        orders=planet.OrdersClient(session, base_url=f"{sandbox.url}/compute/ops"),
    )


def close_sync(session: planet.Session) -> None:
    """Close a session of the synchronous client with the event loop it started in a thread."""
    session._call_sync(session.aclose())
    session._loop.call_soon_threadsafe(session._loop.stop)
    session._loop_thread.join()
    session._loop.close()


@dataclass(frozen=True)
class Cli:
    """The ``planet`` command with a sandbox's key in ``PL_API_KEY`` and its URL in ``--base-url``."""

    sandbox: Sandbox
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"PL_API_KEY": self.sandbox.api_key, "HOME": str(self.home)}

    def data(self, *arguments: str, stdin: str | None = None) -> Result:
        return self.invoke("data", "--base-url", f"{self.sandbox.url}/data/v1", *arguments, stdin=stdin)

    def orders(self, *arguments: str, stdin: str | None = None) -> Result:
        return self.invoke("orders", "--base-url", f"{self.sandbox.url}/compute/ops", *arguments, stdin=stdin)

    def invoke(self, *arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(planet_main, ["--quiet", *arguments], input=stdin, env=self.environment)

    def spawn(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the command in a process of its own, as a shell does."""
        return subprocess.run(
            [sys.executable, "-m", "planet.cli.cli", *arguments],
            input=stdin,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def succeeded(result: Result) -> str:
    """What a command printed, once it is sure that it succeeded."""
    assert result.exit_code == 0, result.output or repr(result.exception)
    return result.stdout


def json_lines(result: Result) -> list[dict[str, Any]]:
    """Parse the JSON documents a command printed one after another, pretty-printed or not."""
    text = succeeded(result).strip()
    decoder, documents, position = json.JSONDecoder(), [], 0
    while position < len(text):
        document, end = decoder.raw_decode(text, position)
        documents.append(document)
        position = end + (len(text[end:]) - len(text[end:].lstrip()))
    return documents


def ids(features: list[Feature]) -> set[str]:
    return {feature["id"] for feature in features}


def timestamp(text: str) -> datetime:
    """Parse an RFC 3339 time, in UTC where it names no zone; Planet writes any number of second's digits."""
    parsed = pendulum.parse(text)
    assert isinstance(parsed, datetime)
    return parsed


def utm_zone(feature: Feature) -> int:
    """EPSG code of the UTM zone of an item's middle: the projection of PlanetScope's ortho products."""
    middle = shape(feature["geometry"]).representative_point()
    return (32600 if middle.y >= 0 else 32700) + int((middle.x + 180) // 6) + 1


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def downloadable(bundle: str = BUNDLE, item_type: str = ITEM_TYPE) -> Filter:
    """Filter for items of which the account may download every asset of a bundle."""
    asset_types = specs.PRODUCT_BUNDLES["bundles"][bundle]["assets"][item_type]
    return data_filter.and_filter(
        [
            data_filter.permission_filter(),
            data_filter.std_quality_filter(),
            *(data_filter.asset_filter([asset_type]) for asset_type in asset_types),
        ]
    )


def order_of(items: list[Feature], name: str, bundle: str = BUNDLE, **details: Any) -> dict[str, Any]:
    """Build an order request for items of one type with the SDK's own builder."""
    product = order_request.product([item["id"] for item in items], bundle, ITEM_TYPE)
    return order_request.build_request(name, [product], **details)


async def until_final(clients: Clients, order_id: str) -> str:
    return await clients.orders.wait(order_id, delay=0, max_attempts=POLL_LIMIT)


def span(features: list[Feature], field: str) -> tuple[datetime, datetime]:
    """First and last value of a time property."""
    times = [timestamp(feature["properties"][field]) for feature in features]
    return min(times), max(times)


def midway(features: list[Feature], field: str) -> datetime:
    first, last = span(features, field)
    return first + timedelta(seconds=round((last - first).total_seconds() / 2))


@pytest.fixture(scope="session")
def sdk_sandbox() -> Iterator[Sandbox]:
    """One sandbox for all tests that don't disturb one another; the SDK keeps its own 10 requests/s."""
    with run(rate_limits=False, **CALM) as sandbox:
        fill_bundle_cache(sandbox.url)
        yield sandbox


@pytest.fixture
def server(sdk_sandbox: Sandbox) -> Iterator[Sandbox]:
    """The shared sandbox, without faults before and after the test."""
    sdk_sandbox.faults.clear()
    yield sdk_sandbox
    sdk_sandbox.faults.clear()


@pytest.fixture
def own_server() -> Iterator[Sandbox]:
    """A sandbox of the test's own, for what touches every order of the account; its orders stay queued."""
    with run(rate_limits=False, items=SMALL, queued_seconds=3600.0, activation_seconds=3600.0) as sandbox:
        yield sandbox


@pytest.fixture
async def clients(server: Sandbox) -> AsyncIterator[Clients]:
    opened = open_clients(server)
    async with opened.session:
        yield opened


@pytest.fixture
async def own_clients(own_server: Sandbox, sdk_sandbox: Sandbox) -> AsyncIterator[Clients]:
    opened = open_clients(own_server)
    async with opened.session:
        yield opened


@pytest.fixture
def pl(server: Sandbox) -> Iterator[planet.Planet]:
    """The SDK's synchronous client."""
    session = planet.Session(auth=planet.Auth.from_key(server.api_key))
    yield planet.Planet(session=session, base_url=server.url)
    close_sync(session)


@pytest.fixture
def cli(server: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    return Cli(server, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def features(sdk_sandbox: Sandbox) -> list[Feature]:
    """Every item of the catalogue, in the order of an unfiltered search through the SDK."""
    session = planet.Session(auth=planet.Auth.from_key(sdk_sandbox.api_key))
    client = planet.Planet(session=session, base_url=sdk_sandbox.url)
    found = list(client.data.search(sorted(specs.get_item_types()), limit=0))
    close_sync(session)
    return found


@pytest.fixture(scope="session")
def scenes(features: list[Feature]) -> list[Feature]:
    """Every PSScene of the catalogue."""
    return [feature for feature in features if feature["properties"]["item_type"] == ITEM_TYPE]


@pytest.fixture(scope="session")
def orderable(sdk_sandbox: Sandbox) -> list[Feature]:
    """PSScene items of which every asset of the bundle can be downloaded: the newest, save those over
    the antimeridian, which at some times of the day are the newest of all.
    """
    session = planet.Session(auth=planet.Auth.from_key(sdk_sandbox.api_key))
    client = planet.Planet(session=session, base_url=sdk_sandbox.url)
    newest = list(client.data.search([ITEM_TYPE], downloadable(), limit=50))
    close_sync(session)
    found = [item for item in newest if in_one_piece(item)][:20]
    assert len(found) == 20
    return found
