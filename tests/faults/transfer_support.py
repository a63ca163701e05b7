"""What the transfer tests share: a session, an order that has delivered, and what the storage was asked."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from client_support import order_request, session_of
from planet_provider.client.api import orders
from planet_provider.client.http.session import PlanetSession
from planet_provider.sandbox import Fault, Sandbox
from planet_provider.sandbox.recorder import RecordedRequest
from planet_provider.transfer import RetryPolicy

#: Waits short enough for tests, with the same logic.
HASTY = RetryPolicy(pause_seconds=0.01)

#: Settings of the sandbox for these tests: orders end within a moment, nothing is throttled, and an image
#: has more than 200,000 bytes.
QUICK = {"rate_limits": False, "queued_seconds": 0.0, "running_seconds": 0.0, "scene_pixels": 400}


@pytest.fixture
def session(planet_sandbox: Sandbox) -> Iterator[PlanetSession]:
    """A session with the sandbox."""
    with session_of(planet_sandbox) as opened:
        yield opened


@pytest.fixture
def order_id(planet_sandbox: Sandbox, session: PlanetSession) -> str:
    """An order of two items that has delivered. The requests it took are forgotten."""
    return place_order(session)


def place_order(session: PlanetSession, items: int = 2, **settings: Any) -> str:
    """Place an order and wait until it has delivered."""
    request = order_request(session, "transfer", items, **settings)
    order_id = str(session.send(orders.create(request))["id"])
    deadline = time.monotonic() + 60
    while session.send(orders.get(order_id))["state"] != "success":
        assert time.monotonic() < deadline, "the order has not ended"
        time.sleep(0.02)
    return order_id


def files_below(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def assert_whole(folder: Path) -> dict[str, Any]:
    """Assert that a folder holds an order and nothing else, by its manifest. Return the manifest."""
    files = files_below(folder)
    manifest: dict[str, Any] = json.loads(files.pop("manifest.json"))
    files.pop("planet-transfer.json")
    assert {path: hashlib.sha256(content).hexdigest() for path, content in files.items()} == {
        entry["path"]: entry["digests"]["sha256"] for entry in manifest["files"]
    }
    return manifest


def storage_requests(sandbox: Sandbox, path: str = "") -> list[RecordedRequest]:
    """Return the requests for bodies, those for a path's end alone if one is given."""
    return [
        request
        for request in sandbox.requests
        if request.origin == "storage" and request.path.endswith(path) and "manifest.json" not in request.path
    ]


def order_requests(sandbox: Sandbox, since: int = 0) -> list[RecordedRequest]:
    """Return the requests that got an order."""
    return [
        request
        for request in sandbox.requests[since:]
        if request.origin == "api" and request.method == "GET" and "/orders/v2/" in request.path
    ]


def big_file(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest's largest file: an image, in which a body can break."""
    return max(manifest["files"], key=lambda entry: int(entry["size"]))


def answer_order_with(
    sandbox: Sandbox, session: PlanetSession, order_id: str, change: Callable[[dict[str, Any]], object]
) -> None:
    """Have the sandbox answer every GET of an order with a changed description."""
    order = session.send(orders.get(order_id))
    change(order)
    sandbox.faults.add(
        Fault(
            kind="status",
            origin="api",
            method="GET",
            path="/orders/v2/",
            status=200,
            body=json.dumps(order),
            headers={"Content-Type": "application/json"},
            times=None,
        )
    )


def answer_manifest_with(sandbox: Sandbox, body: str, times: int | None = None) -> None:
    """Have the storage answer with another manifest."""
    sandbox.faults.add(
        Fault(kind="status", origin="storage", path=r"manifest\.json", status=200, body=body, times=times)
    )
