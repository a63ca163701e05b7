"""Plain HTTP clients of the sandbox."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from plain_http import Api, Connect

from planet_provider.sandbox import Sandbox


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connect to a sandbox of the test's own."""
    clients: list[httpx.Client] = []

    def connect(sandbox: Sandbox) -> Api:
        http = httpx.Client(base_url=sandbox.url, auth=(sandbox.api_key, ""), timeout=60)
        clients.append(http)
        return Api(sandbox, http)

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def api(planet_sandbox: Sandbox, connect: Connect) -> Api:
    """The session's sandbox."""
    return connect(planet_sandbox)
