"""Reading an item's assets, and having one made ready for download."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from planet_provider.builders import checks
from planet_provider.client.api import data
from planet_provider.client.states import AssetStatus, asset_status
from planet_provider.exceptions import AssetUnavailableError, UnexpectedResponseError

if TYPE_CHECKING:
    from planet_provider.client.call import Call
    from planet_provider.client.http.session import PlanetSession


def find_asset(
    assets: Mapping[str, Mapping[str, Any]], item_type: str, item_id: str, asset_type: str
) -> Mapping[str, Any]:
    """Return one of an item's assets.

    :param assets: As :func:`planet_provider.client.api.data.assets` answers.
    :raises AssetUnavailableError: The item has no such asset, or the account may not download it.
    """
    asset = assets.get(asset_type)
    ids = {"item_type": item_type, "item_id": item_id, "asset_type": asset_type}
    if asset is None:
        known = ", ".join(sorted(assets)) or "none"
        raise AssetUnavailableError(
            f"{item_type} {item_id} has no asset {asset_type!r}; it has: {known}.", **ids
        )
    # Absent means that Planet said nothing about it; only an empty list is a refusal.
    if asset.get("_permissions") == []:
        raise AssetUnavailableError(
            f"The account may not download the asset {asset_type!r} of {item_type} {item_id}. "
            "Search with a PermissionFilter to find only what it may.",
            **ids,
        )
    return asset


def asset_reference(
    assets: Mapping[str, Mapping[str, Any]], item_type: str, item_id: str, asset_type: str
) -> dict[str, Any]:
    """Return what a log, an event or an XCom may hold of an asset: plain JSON without links.

    :param assets: As :func:`planet_provider.client.api.data.assets` answers.
    :raises AssetUnavailableError: The item has no such asset, or the account may not download it.
    :raises UnknownStateError: Its status is not documented.
    """
    asset = find_asset(assets, item_type, item_id, asset_type)
    return {
        "item_type": item_type,
        "item_id": item_id,
        "asset_type": asset_type,
        "status": asset_status(asset.get("status")).value,
        "md5_digest": asset.get("md5_digest"),
    }


def is_active(reference: Mapping[str, Any]) -> bool:
    """Return whether an asset is ready for download."""
    return asset_status(reference.get("status")) is AssetStatus.ACTIVE


def is_inactive(reference: Mapping[str, Any]) -> bool:
    """Return whether nobody has activated an asset."""
    return asset_status(reference.get("status")) is AssetStatus.INACTIVE


#: What to do about an asset that waits for somebody to activate it.
ACTIVATE_IT = (
    "Nobody has activated it, and waiting doesn't: run PlanetActivateAssetOperator (or the hook's activate_asset) "
    "first."
)


def status_line(reference: Mapping[str, Any]) -> str:
    """Say how an asset is, and what to do if nobody has activated it.

    :param reference: As :func:`asset_reference` gives it.
    """
    status = reference["status"]
    line = f"Asset {reference['asset_type']} of {reference['item_type']} {reference['item_id']} is {status}."
    return f"{line} {ACTIVATE_IT}" if is_inactive(reference) else line


def activation(
    assets: Mapping[str, Mapping[str, Any]], item_type: str, item_id: str, asset_type: str
) -> Call[None]:
    """Return the call that has an asset made ready for download.

    :param assets: As :func:`planet_provider.client.api.data.assets` answers.
    :raises AssetUnavailableError: The item has no such asset, or the account may not download it.
    :raises UnexpectedResponseError: Planet gave no link to activate it.
    """
    links = find_asset(assets, item_type, item_id, asset_type).get("_links")
    link = links.get("activate") if isinstance(links, Mapping) else None
    if not isinstance(link, str):
        raise UnexpectedResponseError(
            f"Planet's answer has no link to activate the asset {asset_type!r} of {item_type} {item_id}. Try "
            "again later; if it stays so, ask Planet's support."
        )
    return data.activate(link)


def activate_asset(session: PlanetSession, item_type: str, item_id: str, asset_type: str) -> dict[str, Any]:
    """Have an asset made ready for download, unless it is or is about to be. Harmless to repeat.

    :return: Its reference, as :func:`asset_reference` gives it; ``activating`` where that was asked for now.
    :raises AssetUnavailableError: The item has no such asset, or the account may not download it.
    """
    ids = checks.item_type(item_type), checks.item_id(item_id), checks.asset_type(asset_type)
    assets = session.send(data.assets(ids[0], ids[1]))
    reference = asset_reference(assets, *ids)
    if reference["status"] == AssetStatus.INACTIVE.value:
        session.send(activation(assets, *ids))
        reference["status"] = AssetStatus.ACTIVATING.value
    return reference
