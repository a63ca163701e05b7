"""The password of the coordination store is as secret as Planet's key."""

from __future__ import annotations

import json

import pytest
from airflow.models import Connection

from planet_provider.exceptions import ConfigurationError
from planet_provider.hooks import planet
from planet_provider.hooks.planet import PlanetHook


def connect(monkeypatch: pytest.MonkeyPatch, store: str) -> PlanetHook:
    connection = Connection(
        conn_id="planet_default",
        conn_type="planet",
        password="PLAK-not-a-real-key",
        extra=json.dumps({"coordination_store": store}),
    )
    monkeypatch.setenv("AIRFLOW_CONN_PLANET_DEFAULT", connection.as_json())
    return PlanetHook()


def test_it_is_masked_in_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []
    monkeypatch.setattr(planet, "mask_secret", masked.append)
    connect(monkeypatch, "redis://user:open%2Fsesame@host:6379/0").config()
    assert set(masked) == {"PLAK-not-a-real-key", "open%2Fsesame", "open/sesame"}


async def test_it_is_masked_in_a_triggerer_s(monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []

    async def mask(secret: str) -> None:
        masked.append(secret)

    monkeypatch.setattr(planet, "mask_in_loop", mask)
    await connect(monkeypatch, "rediss://:open-sesame@host/0").async_config()
    assert set(masked) == {"PLAK-not-a-real-key", "open-sesame"}


@pytest.mark.parametrize(
    "password", ["open/sesame", "open#sesame", "open?sesame", "open[sesame", "[open]sesame"]
)
def test_no_error_shows_one_that_was_not_encoded(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        connect(monkeypatch, f"redis://:{password}@host:6379/0").config()
    assert "planet_default" in str(caught.value)
    assert "open" not in str(caught.value)
    assert "sesame" not in str(caught.value)
