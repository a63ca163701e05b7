"""Connections of many waits: read once, whether they are there or not."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from airflow_support import CONNECTION, Connect
from watch_support import NOWHERE, order_waits

from planet_provider.exceptions import TransportError
from planet_provider.hooks.planet import PlanetHook
from planet_provider.sandbox import Sandbox
from planet_provider.triggers import sharing


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which connections were looked up."""
    made: list[str] = []
    read = PlanetHook.async_config

    async def counted(self: PlanetHook) -> Any:
        made.append(self.planet_conn_id)
        await asyncio.sleep(0.05)  # what Airflow takes
        return await read(self)

    monkeypatch.setattr(PlanetHook, "async_config", counted)
    return made


async def test_a_missing_connection_is_looked_up_once(planet: Sandbox, reads: list[str]) -> None:
    ended = await asyncio.gather(*order_waits([NOWHERE] * 60, planet_conn_id="elsewhere"))
    assert {event["status"] for event in ended} == {"error"}
    assert all("elsewhere" in json.dumps(event) for event in ended)
    assert reads == ["elsewhere"]


async def test_a_connection_that_was_mended_is_read_again(
    planet: Sandbox, connect: Connect, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = sharing.Connections()
    monkeypatch.setenv(
        CONNECTION, '{"conn_type": "planet", "password": "PLAK-of-a-test", "extra": {"timeout": -1}}'
    )
    with pytest.raises(ValueError, match="timeout"):
        await connections.config("planet_default")
    connect()
    with pytest.raises(ValueError, match="timeout"):
        await connections.config("planet_default")
    assert len(reads) == 1
    # What was read long ago serves nobody.
    monkeypatch.setattr(sharing, "ERROR_SECONDS", 0.0)
    assert (await connections.config("planet_default")).base_url == planet.url
    assert (await connections.config("planet_default")).base_url == planet.url
    assert len(reads) == 2


async def test_a_read_that_fails_once_ends_no_wait(planet: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "ERROR_SECONDS", 0.01)
    read, failures = PlanetHook.async_config, [RuntimeError("the API server is restarting")]

    async def failing(self: PlanetHook) -> Any:
        if failures:
            raise failures.pop()
        return await read(self)

    monkeypatch.setattr(PlanetHook, "async_config", failing)
    connections = sharing.Connections()
    configs = await asyncio.gather(*(connections.config("planet_default") for _ in range(8)))
    assert {config.base_url for config in configs} == {planet.url}


async def test_a_read_that_keeps_failing_is_an_error_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "ERROR_SECONDS", 0.01)

    async def failing(self: PlanetHook) -> Any:
        raise RuntimeError("the database is away")

    monkeypatch.setattr(PlanetHook, "async_config", failing)
    with pytest.raises(TransportError, match="database is away"):
        await sharing.Connections().config("planet_default", asyncio.get_running_loop().time() + 0.05)


async def test_who_waited_meanwhile_takes_what_came_of_it(
    planet: Sandbox, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "ERROR_SECONDS", 0.0)
    monkeypatch.setattr(sharing, "CONNECTION_SECONDS", 0.0)
    connections = sharing.Connections()
    for conn_id in ("elsewhere", "planet_default"):
        await asyncio.gather(*(connections.config(conn_id) for _ in range(20)), return_exceptions=True)
    assert reads == ["elsewhere", "planet_default"]
