"""What an order may have beside products, tools and a delivery: notifications, hosting, STAC metadata."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from planet_provider.builders import checks
from planet_provider.exceptions import InvalidInputError

#: Where Planet can host what is ordered.
SENTINEL_HUB = "sentinel_hub"


def notifications(
    *, email: bool | None = None, webhook_url: str | None = None, webhook_per_order: bool | None = None
) -> dict[str, Any]:
    """Build an order's notifications.

    :param email: Whether Planet writes an e-mail.
    :param webhook_url: Address that Planet calls. The calls are not signed.
    :param webhook_per_order: One call for the order instead of one for each item.
    """
    built: dict[str, Any] = {} if email is None else {"email": email}
    webhook = checks.given(url=webhook_url, per_order=webhook_per_order)
    if webhook:
        built["webhook"] = webhook
    check_notifications(built, "notifications")
    return built


def sentinel_hub(*, collection_id: str | None = None, create_configuration: bool = False) -> dict[str, Any]:
    """Have the order hosted in a collection of Sentinel Hub.

    :param collection_id: UUID of the collection; without it Planet makes a new one.
    :param create_configuration: Have a layer configured for the new collection.
    """
    parameters = checks.given(collection_id=collection_id, create_configuration=create_configuration or None)
    built = {SENTINEL_HUB: parameters}
    check_hosting(built, "hosting")
    return built


def stac_metadata() -> dict[str, Any]:
    """Have STAC metadata delivered too."""
    return {"stac": {}}


def check_notifications(value: object, field: str = "notifications") -> None:
    """Check notifications that are sent as they are."""
    known = ("email", "webhook")
    given = checks.fields(value, field, required=(), optional=known, elsewhere=("url", "per_order"))
    if "email" in given:
        checks.flag(given["email"], f"{field}.email")
    if "webhook" in given:
        webhook = checks.fields(
            given["webhook"], f"{field}.webhook", required=("url",), optional=("per_order",), elsewhere=known
        )
        _check_webhook_url(webhook["url"], f"{field}.webhook.url")
        if "per_order" in webhook:
            checks.flag(webhook["per_order"], f"{field}.webhook.per_order")


def _check_webhook_url(value: object, field: str) -> None:
    # Such an address is often a secret by itself.
    address = checks.text(value, field, secret=True)
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InvalidInputError(field, checks.NOT_SHOWN, "must be an http or https address.")


def check_hosting(value: object, field: str = "hosting") -> None:
    """Check a hosting that is sent as it is."""
    known = ("collection_id", "create_configuration")
    given = checks.fields(value, field, required=(), optional=(SENTINEL_HUB,), elsewhere=known)
    if SENTINEL_HUB not in given:  # a host that Planet has added since
        if not given:
            raise InvalidInputError(field, {}, f"lacks {SENTINEL_HUB}.")
        return
    path = f"{field}.{SENTINEL_HUB}"
    parameters = checks.fields(given[SENTINEL_HUB], path, required=(), optional=known, elsewhere=())
    if "collection_id" in parameters:
        checks.collection_id(parameters["collection_id"], f"{path}.collection_id")
    if "create_configuration" in parameters:
        checks.flag(parameters["create_configuration"], f"{path}.create_configuration")
    if "collection_id" in parameters and parameters.get("create_configuration"):
        remedy = "goes with a new collection; leave it out along with a collection_id."
        raise InvalidInputError(f"{path}.create_configuration", True, remedy)


def check_metadata(value: object, field: str = "metadata") -> None:
    """Check what metadata is asked for."""
    given = checks.fields(value, field, required=("stac",), elsewhere=())
    checks.mapping(given["stac"], f"{field}.stac")
