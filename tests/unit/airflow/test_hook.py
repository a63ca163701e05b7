"""The hook: Test button, sessions, and one method an endpoint."""

from __future__ import annotations

import socket
import time
import uuid
from pathlib import Path

import pytest
from airflow_support import AOI, FAST, Connect, Scenes

from planet_provider.client.api import data, orders
from planet_provider.client.auth.flows import fingerprint
from planet_provider.exceptions import (
    BadRequestError,
    CredentialsError,
    InvalidInputError,
    NotFoundError,
)
from planet_provider.hooks.planet import PlanetHook
from planet_provider.sandbox import Fault, Sandbox
from planet_provider.sandbox.auth import TOKEN_PATH


def order(scenes: Scenes, name: str = "hook") -> dict[str, object]:
    return {"name": name, "products": [scenes.items | {"product_bundle": "visual"}]}


def test_the_test_button_with_a_good_key(planet: Sandbox, scenes: Scenes) -> None:
    PlanetHook().create_order(order(scenes))
    ok, said = PlanetHook().test_connection()
    assert ok
    assert said == (
        f"{planet.url} accepts the API key with fingerprint {fingerprint(planet.api_key)}. "
        "Orders API: 1 order queued, 0 running. Data API: answers."
    )


def test_the_test_button_with_an_oauth_client(connect: Connect, planet_sandbox: Sandbox) -> None:
    config = planet_sandbox.config
    fields = {"login": config.oauth_client_id, "password": config.oauth_client_secret}
    connect(fields | {"extra": FAST | {"auth": "oauth", "token_url": f"{planet_sandbox.url}{TOKEN_PATH}"}})
    ok, said = PlanetHook().test_connection()
    assert ok
    assert f"accepts the OAuth client {config.oauth_client_id} (account organization-of-" in said
    connect(
        fields
        | {
            "password": "wrong",  # pragma: allowlist secret
            "extra": FAST | {"auth": "oauth", "token_url": f"{planet_sandbox.url}{TOKEN_PATH}"},
        }
    )
    ok, said = PlanetHook().test_connection()
    assert not ok
    assert "invalid_client. Check the connection's login (client id), password (client secret)" in said


def test_the_test_button_with_a_login(connect: Connect, planet_sandbox: Sandbox) -> None:
    config = planet_sandbox.config
    connect({"login": config.email, "password": config.password, "extra": FAST | {"auth": "login"}})
    ok, said = PlanetHook().test_connection()
    assert ok
    assert f"accepts the login {config.email} (user_id 1)" in said
    assert config.password not in said


@pytest.mark.parametrize(
    ("path", "denied", "answering"),
    [("/orders/v2", "Orders API: GET", "Data API: answers."), ("/data/", "Data API: POST", "0 running.")],
)
def test_the_test_button_with_an_account_of_one_api(
    planet: Sandbox, path: str, denied: str, answering: str
) -> None:
    planet.faults.add(Fault(kind="status", status=403, path=path, times=None))
    ok, said = PlanetHook().test_connection()
    assert ok
    assert denied in said
    assert "403" in said
    assert answering in said


def test_the_test_button_with_an_account_of_nothing(planet: Sandbox) -> None:
    planet.faults.add(Fault(kind="status", status=403, times=None))
    ok, said = PlanetHook().test_connection()
    assert not ok
    assert "knows, but has nothing for, the API key" in said


@pytest.mark.guide("auth-store")
def test_secrets_are_stored_and_read(planet: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "secret.json"
    assert PlanetHook().store_secret(file) == str(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert PlanetHook.read_secret(file) == planet.api_key


@pytest.mark.guide("auth-login")
def test_a_login_s_key_is_stored(
    connect: Connect, planet_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = planet_sandbox.config
    connect({"login": config.email, "password": config.password, "extra": FAST | {"auth": "login"}})
    PlanetHook().store_secret(tmp_path / "secret.json")
    connect({"password": None, "extra": FAST | {"auth": "file", "auth_file": str(tmp_path / "secret.json")}})
    assert PlanetHook().config().api_key == planet_sandbox.api_key
    assert PlanetHook().get_order_stats()["user"]["queued_orders"] == 0


def test_an_oauth_client_has_no_key_to_store(connect: Connect, tmp_path: Path) -> None:
    connect({"login": "id", "password": "hush-secret", "extra": {"auth": "oauth"}})
    with pytest.raises(CredentialsError, match="has no API key"):
        PlanetHook().store_secret(tmp_path / "secret.json")
    assert list(tmp_path.iterdir()) == []


def test_the_test_button_with_a_bad_key(connect: Connect) -> None:
    connect({"password": "PLAK-nobodys-0123456789"})
    ok, said = PlanetHook().test_connection()
    assert not ok
    assert "401" in said
    assert "Check the API key" in said
    assert "PLAK" not in said


def test_the_test_button_with_nobody_there(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    # Patient settings, which the button must not wait for.
    connect({"host": f"http://127.0.0.1:{port}"}, backoff_seconds=60.0, max_attempts=10)
    started = time.monotonic()
    ok, said = PlanetHook().test_connection()
    assert time.monotonic() - started < 30
    assert not ok
    assert f"127.0.0.1:{port}" in said


def test_the_test_button_with_a_server_in_trouble(planet: Sandbox) -> None:
    planet.faults.add(Fault(kind="status", status=503, times=None))
    ok, said = PlanetHook().test_connection()
    assert not ok
    assert "503" in said
    assert len(planet.requests) == 2


def test_the_test_button_with_a_bad_connection(connect: Connect, planet_sandbox: Sandbox) -> None:
    connect(timout=5)
    ok, said = PlanetHook().test_connection()
    assert not ok
    assert "unknown extra 'timout'" in said
    ok, said = PlanetHook("elsewhere").test_connection()
    assert not ok
    assert "elsewhere" in said
    assert planet_sandbox.requests == []


def test_sessions(planet: Sandbox, scenes: Scenes) -> None:
    with PlanetHook().session() as session:
        placed = session.send(orders.create(order(scenes)))
        assert session.send(orders.get(placed["id"]))["id"] == placed["id"]
    with PlanetHook().get_conn() as session:
        assert [len(page) for page in session.pages(orders.list_orders())] == [1]
    assert all(request.authorized for request in planet.requests)


async def test_async_session(planet: Sandbox, scenes: Scenes) -> None:
    async with await PlanetHook().async_session() as session:
        item = await session.send(data.item(scenes.item_type, scenes.item_ids[0]))
    assert item["id"] == scenes.item_ids[0]


@pytest.mark.guide("search-quick")
def test_search(planet: Sandbox) -> None:
    found = list(PlanetHook().search(["PSScene"], geometry=AOI, limit=3, sort="acquired asc"))
    assert len(found) == 3
    times = [item["properties"]["acquired"] for item in found]
    assert times == sorted(times)
    assert len(planet.requests) == 1, "no page beyond the limit"


def test_search_refuses_bad_input(planet: Sandbox) -> None:
    swapped = {"type": "Point", "coordinates": [37.7, -122.4]}
    with pytest.raises(InvalidInputError, match="swap"):
        next(PlanetHook().search(["PSScene"], geometry=swapped))
    assert planet.requests == []


@pytest.mark.guide("item-get")
@pytest.mark.guide("asset-get")
def test_items_and_assets(planet: Sandbox, scenes: Scenes) -> None:
    item = PlanetHook().get_item(scenes.item_type, scenes.item_ids[0])
    assert item["properties"]["item_type"] == scenes.item_type
    assets = PlanetHook().get_assets(scenes.item_type, scenes.item_ids[0])
    assert set(assets) == set(item["assets"])
    stats = PlanetHook().get_stats(["PSScene"], {"type": "AndFilter", "config": []}, "month")
    assert sum(bucket["count"] for bucket in stats["buckets"]) > 0
    with pytest.raises(NotFoundError):
        PlanetHook().get_item(scenes.item_type, "20010101_000000_00_0000")


@pytest.mark.guide("order-create")
@pytest.mark.guide("order-get")
def test_orders(planet: Sandbox, scenes: Scenes) -> None:
    hook = PlanetHook()
    placed = [hook.create_order(order(scenes, name))["id"] for name in ("a", "b", "c")]
    assert hook.get_order(placed[0])["name"] == "a"
    for spelling in (
        placed[0].upper(),
        placed[0].replace("-", ""),
        f"urn:uuid:{placed[0]}",
        uuid.UUID(placed[0]),
    ):
        assert hook.get_order(spelling)["id"] == placed[0]  # type: ignore[arg-type]
    assert [found["id"] for found in hook.list_orders(name="b")] == [placed[1]]
    assert hook.get_order_stats()["user"]["queued_orders"] == 3
    assert hook.cancel_order(f"{{{placed[0]}}}")["state"] == "cancelled"
    cancelled = hook.cancel_orders([placed[1].replace("-", "").upper(), uuid.UUID(placed[2])])  # type: ignore[list-item]
    assert [one["order_id"] for one in cancelled["orders"]] == placed[1:]
    assert {order["state"] for order in planet.orders.values()} == {"cancelled"}
    with pytest.raises(InvalidInputError, match="order_ids"):
        hook.cancel_orders([])
    with pytest.raises(BadRequestError, match="400"):
        hook.create_order({"name": "empty", "products": []})
