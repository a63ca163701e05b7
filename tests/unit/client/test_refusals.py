"""What the client's functions refuse, each with the field, the value and the remedy."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from planet_provider.builders import filters, order_request, tools
from planet_provider.client import collect
from planet_provider.client.api import data, orders
from planet_provider.client.api.cancelling import cancel_orders
from planet_provider.client.auth.secret_file import read_secret, store_secret
from planet_provider.client.config import PlanetConfig
from planet_provider.exceptions import CredentialsError, InvalidInputError

ORDER_ID = "7d5a4e2b-0c3f-4a8e-9b1d-2f6c8e0a1b3c"
ANY = filters.empty_filter()
ITEMS = {"items": ["a"], "item_type": "PSScene", "product_bundle": "visual"}

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}

#: Pages of two items.
PAGES = [[{"id": name, "properties": {"item_type": "PSScene"}} for name in "ab"]]


def nested(kind: str, depth: int) -> dict[str, Any]:
    """Return filters within each other."""
    built: dict[str, Any] = filters.std_quality_filter()
    for _ in range(depth):
        built = {"type": kind, "config": built if kind == "NotFilter" else [built]}
    return built


@pytest.mark.parametrize(
    ("call", "said"),
    [
        *(
            pytest.param(
                lambda each=each, limit=limit: each(PAGES, limit), f"limit={limit!r}: must be a whole"
            )
            for each in (collect.items, collect.rows)
            for limit in (0, -1, True, "5", 1.0)
        ),
        (lambda: orders.list_orders(state=5), "state=5: must be one or several of queued"),
        (lambda: orders.list_orders(state=["queued", "lost"]), "state='lost'"),
        (
            lambda: orders.list_orders(user_id="\u0663\u0662"),
            "user_id='\u0663\u0662': must be a user's number",
        ),
        (lambda: orders.bulk_cancel(None), "order_ids=None: must be a list"),
        (lambda: orders.bulk_cancel(5), "order_ids=5: must be a list"),
        (lambda: orders.bulk_cancel(ORDER_ID), f"order_ids='{ORDER_ID}': must be a list"),
        (lambda: orders.bulk_cancel(iter(())), "order_ids=[]: must name at least one"),
        (lambda: cancel_orders(None, None), "order_ids=None: must be a list"),
        (lambda: data.create_search(None, ["PSScene"], ANY), "name=None: must be a string"),
        (lambda: data.create_search("", ["PSScene"], ANY), "name='': must be a string"),
        (lambda: data.update_search(ORDER_ID, " a", ["PSScene"], ANY), "name=' a': must be a string"),
        (
            lambda: data.create_search("weekly", ["PSScene"], ANY, enable_email="yes"),
            "enable_email='yes': must be true or false",
        ),
        (
            lambda: data.update_search(ORDER_ID, "weekly", ["PSScene"], ANY, enable_email=1),
            "enable_email=1: must be true or false",
        ),
        (lambda: tools.bandmath("b1", " \n"), "bandmath.b2=''"),
        (lambda: tools.reproject("EPSG:\u0663\u0662"), "reproject.projection='EPSG:\u0663\u0662'"),
        (
            lambda: tools.tile(8, name_template="{tilexx}_{tiley}.tif"),
            "tile.name_template='{tilexx}_{tiley}.tif': lacks {tilex}",
        ),
        (
            lambda: tools.tile(8, name_template="{tilex}_{tileyy}.tif"),
            "tile.name_template='{tilex}_{tileyy}.tif': lacks {tiley}",
        ),
        (
            lambda: tools.tile(8, name_template="../{tilex}_{tiley}.tif"),
            "tile.name_template='../{tilex}_{tiley}.tif': must be a file's name",
        ),
        *(
            pytest.param(
                lambda kind=kind: filters.search_filter(nested(kind, 3000)), "search_filter=51: are more"
            )
            for kind in ("NotFilter", "AndFilter", "OrFilter")
        ),
        (lambda: filters.not_filter(nested("NotFilter", 50)), "not_filter=51: are more"),
        (
            lambda: filters.search_filter({"type": "AndFilter", "config": nested("NotFilter", 3000)}),
            ": must be a list",
        ),
        (lambda: tools.clip(SQUARE, max_vertices="9"), "max_vertices='9': must be a whole number"),
        (lambda: filters.geometry_filter(SQUARE, max_vertices=True), "max_vertices=True: must be a whole"),
        (lambda: order_request.product(["a"], "PSScene", "visual", max_items=None), "max_items=None: must"),
        (lambda: data.create_search("a\ud800", ["PSScene"], ANY), "holds half of a surrogate pair"),
    ],
)
def test_refused(call: Callable[[], object], said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        call()
    assert said in str(caught.value)


def test_a_value_too_deep_to_be_shown() -> None:
    class Deep:
        def __repr__(self) -> str:
            raise RecursionError

    assert str(InvalidInputError("filter", Deep(), "no")) == "filter=<a deeply nested Deep>: no"


def test_taken() -> None:
    assert [one["id"] for one in collect.items(PAGES, 1)] == ["a"]
    assert len(list(collect.items(PAGES))) == len(list(collect.rows(PAGES))) == 2
    assert orders.list_orders(state=None) == orders.list_orders() == orders.list_orders(state=())
    assert ("user_id", "42") in orders.list_orders(user_id=42).params
    assert orders.bulk_cancel(iter([ORDER_ID])).json == {"order_ids": [ORDER_ID]}
    saved = data.create_search("weekly", ["PSScene"], ANY, enable_email=True).json
    assert (saved["name"], saved["__daily_email_enabled"]) == ("weekly", True)
    assert filters.search_filter(nested("NotFilter", 49)) == nested("NotFilter", 49)
    for template in ("{tilex}_{tiley}.tif", "a{tilex:06d}b{tiley:03d}.tif"):
        assert tools.tile(8, name_template=template)["tile"]["name_template"] == template


def test_white_space_around_an_expression_is_dropped() -> None:
    block = "(b4 - b3) /\n(b4 + b3)\n"
    built = tools.bandmath(block, " b1 ")
    assert built == {"bandmath": {"b1": block.strip(), "b2": "b1", "pixel_type": "Auto"}}
    by_hand = order_request.build("n", **ITEMS, tools=[{"bandmath": {"b1": block}}])
    assert by_hand["tools"] == [{"bandmath": {"b1": block.strip()}}]


@pytest.mark.parametrize("suffix", [collect.GEOJSON, collect.NDJSON])
def test_half_of_a_surrogate_pair_is_written(suffix: str) -> None:
    odd = json.loads('{"id": "a", "properties": {"note": "\\ud800", "other": "\u00e9"}}')
    found = [odd, {"id": "b", "properties": {"note": "\u00e9"}}]
    written: list[bytes] = []
    assert list(collect.write(found, written.append, suffix)) == found
    text = b"".join(written).decode()
    again = (
        json.loads(text)["features"] if suffix == collect.GEOJSON else [*map(json.loads, text.splitlines())]
    )
    assert again == found
    assert text.count("\u00e9") == 1, "only the odd one is escaped"


#: None of them may be in a header.
ODD_KEYS = [
    "PLAKsec\nret0123456789",
    "sek\x00ret0123456",
    "hunter2\x7fzz",
    "two words",
    "\u043a\u043b\u044e\u0447-ret0123",
]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_a_key_that_no_header_can_hold(tmp_path: Any, key: str) -> None:
    file = tmp_path / "planet.json"
    file.write_text(json.dumps({"key": key}))
    for refused in (
        lambda: PlanetConfig(api_key=key),
        lambda: read_secret(file),
        lambda: store_secret(key, tmp_path / "other.json"),
    ):
        with pytest.raises(
            CredentialsError, match=r"characters that no key has|line breaks or control characters"
        ) as caught:
            refused()
        assert not any(part in str(caught.value) for part in ("ret0123", "hunter2", "words"))
    assert not (tmp_path / "other.json").exists()


@pytest.mark.parametrize("use", [read_secret, lambda path: store_secret("PLAK-key", path)])
def test_a_path_that_is_none(tmp_path: Any, use: Callable[[Any], object]) -> None:
    for path in (f"{tmp_path}/a\0b", None, 7, b"a"):
        with pytest.raises(CredentialsError, match="cannot be found"):
            use(path)
    with pytest.raises(CredentialsError, match="too long"):
        use(f"{tmp_path}/{'a' * 5000}")


@pytest.mark.parametrize("use", [read_secret, lambda path: store_secret("PLAK-key", path)])
def test_a_file_that_is_nested_too_deeply(tmp_path: Any, use: Callable[[str], object]) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(CredentialsError, match="is not JSON"):
        use(f"{tmp_path}/deep.json")


def test_plain_http_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    url = f"http://planet.example/{uuid.uuid4()}"
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            PlanetConfig(api_key="PLAK-key", base_url=url)
        PlanetConfig(api_key="PLAK-key", base_url="http://127.0.0.1:8080")
        PlanetConfig(api_key="PLAK-key", base_url="https://planet.example")
    assert [record.getMessage() for record in caplog.records] == [
        f"{url} is no https: the credential goes over the network in clear."
    ]
