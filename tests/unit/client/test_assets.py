from __future__ import annotations

import json
from typing import Any

import pytest

from planet_provider.client.api.assets import asset_reference, find_asset, is_active
from planet_provider.exceptions import AssetUnavailableError, UnknownStateError

ITEM = ("PSScene", "20220125_075509_67_1061")


def asset(**fields: Any) -> dict[str, Any]:
    return {
        "_links": {"_self": "https://api.planet.com/data/v1/assets/abc", "activate": "https://…/activate"},
        "_permissions": ["download"],
        "location": "https://api.planet.com/data/v1/download?token=s3cr3t",
        "md5_digest": "0123456789abcdef0123456789abcdef",
        "status": "active",
        "type": "ortho_udm2",
        **fields,
    }


def test_reference_holds_no_link() -> None:
    reference = asset_reference({"ortho_udm2": asset()}, *ITEM, "ortho_udm2")
    assert reference == {
        "item_type": "PSScene",
        "item_id": "20220125_075509_67_1061",
        "asset_type": "ortho_udm2",
        "status": "active",
        "md5_digest": "0123456789abcdef0123456789abcdef",
    }
    assert "http" not in json.dumps(reference)
    assert is_active(reference)
    assert type(reference["status"]) is str


@pytest.mark.parametrize("status", ["inactive", "activating"])
def test_not_active_yet(status: str) -> None:
    waiting = asset(status=status)
    del waiting["md5_digest"]
    reference = asset_reference({"ortho_udm2": waiting}, *ITEM, "ortho_udm2")
    assert (reference["status"], reference["md5_digest"]) == (status, None)
    assert not is_active(reference)


def test_no_such_asset() -> None:
    with pytest.raises(AssetUnavailableError) as caught:
        find_asset({"ortho_udm2": asset(), "basic_udm2": asset()}, *ITEM, "ortho_panchromatic")
    assert "no asset 'ortho_panchromatic'; it has: basic_udm2, ortho_udm2" in str(caught.value)
    assert (caught.value.item_type, caught.value.item_id) == ITEM
    assert caught.value.asset_type == "ortho_panchromatic"
    with pytest.raises(AssetUnavailableError, match="it has: none"):
        find_asset({}, *ITEM, "ortho_udm2")


def test_permissions() -> None:
    with pytest.raises(AssetUnavailableError, match=r"may not download .* PermissionFilter"):
        asset_reference({"ortho_udm2": asset(_permissions=[])}, *ITEM, "ortho_udm2")
    silent = asset()
    del silent["_permissions"]
    assert find_asset({"ortho_udm2": silent}, *ITEM, "ortho_udm2") is silent


@pytest.mark.parametrize("fields", [{"status": "archived"}, {"status": None}])
def test_unknown_status(fields: dict[str, Any]) -> None:
    with pytest.raises(UnknownStateError):
        asset_reference({"ortho_udm2": asset(**fields)}, *ITEM, "ortho_udm2")


def test_no_status_at_all() -> None:
    nameless = asset()
    del nameless["status"]
    with pytest.raises(UnknownStateError):
        asset_reference({"ortho_udm2": nameless}, *ITEM, "ortho_udm2")
