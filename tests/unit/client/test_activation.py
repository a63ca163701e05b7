"""Having an asset made ready, also where Planet's answer lacks the link for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from client_support import ORDERABLE, session_of
from planet_provider.client.api import data, wait
from planet_provider.client.api.assets import activate_asset
from planet_provider.client.http.session import PlanetSession
from planet_provider.exceptions import AssetUnavailableError, InvalidInputError, UnexpectedResponseError
from planet_provider.sandbox import Fault, Sandbox

pytestmark = pytest.mark.planet_sandbox(rate_limits=False, scene_pixels=64)

ASSET_TYPE = "ortho_analytic_4b"


@pytest.fixture
def session(planet_sandbox: Sandbox) -> Iterator[PlanetSession]:
    with session_of(planet_sandbox, max_attempts=1) as opened:
        yield opened


@pytest.fixture
def item_id(session: PlanetSession) -> str:
    return str(session.send(data.quick_search(["PSScene"], ORDERABLE, page_size=1))[0]["id"])


def activations(sandbox: Sandbox) -> int:
    return len([one for one in sandbox.requests if one.path.endswith("/activate")])


def test_asked_for_once(planet_sandbox: Sandbox, session: PlanetSession, item_id: str) -> None:
    planet_sandbox.clock.speed = 0.001
    for _ in range(2):
        reference = activate_asset(session, "PSScene", item_id, ASSET_TYPE)
        assert (reference["item_id"], reference["status"]) == (item_id, "activating")
        assert planet_sandbox.url not in str(reference), "no links"
    planet_sandbox.clock.advance(planet_sandbox.config.activation_seconds + 1)
    assert activate_asset(session, "PSScene", item_id, ASSET_TYPE)["status"] == "active"
    assert activations(planet_sandbox) == 1


def test_refused(planet_sandbox: Sandbox, session: PlanetSession, item_id: str) -> None:
    before = len(planet_sandbox.requests)
    with pytest.raises(InvalidInputError, match=r"asset_type='\.\./visual'"):
        activate_asset(session, "PSScene", item_id, "../visual")
    assert len(planet_sandbox.requests) == before
    with pytest.raises(AssetUnavailableError, match="no asset 'ortho_infrared'"):
        activate_asset(session, "PSScene", item_id, "ortho_infrared")


@pytest.mark.parametrize(
    "links", [{}, {"_links": None}, {"_links": {"_self": "x"}}, {"_links": {"activate": 5}}]
)
def test_no_link(
    planet_sandbox: Sandbox, session: PlanetSession, item_id: str, links: dict[str, Any]
) -> None:
    body = json.dumps({ASSET_TYPE: {"status": "inactive", "_permissions": ["download"], **links}})
    planet_sandbox.faults.add(Fault(kind="status", path="/assets$", status=200, body=body))
    with pytest.raises(UnexpectedResponseError, match=f"no link to activate the asset '{ASSET_TYPE}'"):
        activate_asset(session, "PSScene", item_id, ASSET_TYPE)
    # A wait takes it for an answer that the next one may fix.
    planet_sandbox.faults.add(Fault(kind="status", path="/assets$", status=200, body=body))
    planet_sandbox.clock.speed = 3000.0
    found = wait.wait_for_asset(session, "PSScene", item_id, ASSET_TYPE, poll_interval=0.01, timeout=300)
    assert found["status"] == "active"
