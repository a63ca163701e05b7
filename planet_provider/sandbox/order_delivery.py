"""What orders deliver: rendered once, when they succeed."""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime, timedelta
from typing import Any

from planet_provider.sandbox import basemaps, products
from planet_provider.sandbox.clock import rfc3339
from planet_provider.sandbox.objects import StoredObject
from planet_provider.sandbox.order import DELIVERED_STATES, Order
from planet_provider.sandbox.state import State

MANIFEST = "manifest.json"

_log = logging.getLogger(__name__)


async def settle(state: State, order: Order, moment: datetime) -> None:
    """Render an order's files if it has delivered by a moment and they aren't yet.

    An order that can't be processed fails, at the time it would have succeeded.
    """
    if order.at(moment).state not in DELIVERED_STATES:
        return
    async with order.rendering:
        if order.files is not None:
            return
        try:
            order.files = await state.in_thread(lambda: _render(state, order, moment))
        except products.ProductError as error:
            order.fail(*(error.hints or (error.message,)))
        except Exception as error:
            # One order that can't be made must not take down the lists that show it.
            _log.exception("Order %s could not be processed", order.id)
            order.fail(f"The order could not be processed: {type(error).__name__}: {error}")


def results(state: State, order: Order, moment: datetime) -> list[dict[str, Any]] | None:
    """Return an order's results with new links; ``None`` as long as there are none.

    An order delivered to the customer's cloud has but its manifest here: the rest is in the cloud.
    """
    if order.files is None or order.at(moment).state not in DELIVERED_STATES:
        return None
    expires = moment + timedelta(seconds=state.config.link_seconds)
    paths = [MANIFEST] if order.to_cloud else list(order.files)
    return [
        {
            "delivery": "success",
            "expires_at": rfc3339(expires),
            "location": f"{state.url}/compute/ops/download/?token={_token(state, order, path, expires)}",
            "name": f"{order.id}/{path}",
        }
        for path in paths
    ]


def _token(state: State, order: Order, path: str, expires: datetime) -> str:
    claims = {"for": "order", "order": order.id, "path": path, "user": order.user_id}
    return state.links.token(claims, expires)


def _render(state: State, order: Order, moment: datetime) -> dict[str, StoredObject]:
    request = {**order.request, "id": order.id}
    pixels = state.config.scene_pixels
    if order.source_type == "basemaps":
        delivered = basemaps.deliver(request, pixels=pixels, failed_items=order.failed_items)
    else:
        delivered = products.deliver(
            request, state.catalogue_at(moment), pixels=pixels, failed_items=order.failed_items
        )
    delivery = order.request.get("delivery") or {}
    if delivery.get("archive_type"):
        delivered = products.archive(delivered, name=order.name, order_id=order.id, delivery=delivery)
    files = {
        file.path: state.objects.put(
            f"{order.id}/{file.path}",
            file.content,
            media_type=file.media_type,
            digests={"md5": file.md5, "sha256": file.sha256},
            modified=order.at(moment).at,
        )
        for file in delivered
    }
    content = products.manifest("", delivered)
    files[MANIFEST] = state.objects.put(
        f"{order.id}/{MANIFEST}",
        content,
        media_type="application/json",
        digests={
            "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
            "sha256": hashlib.sha256(content).hexdigest(),
        },
        modified=order.at(moment).at,
    )
    return files
