"""What an order has come to, and what to say about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planet_provider.client.api import orders
from planet_provider.client.api.links import order_page
from planet_provider.client.http.session import PlanetSession
from planet_provider.client.states import OrderState, order_state
from planet_provider.exceptions import (
    OrderCancelledError,
    OrderError,
    OrderFailedError,
    OrderPartialError,
)
from planet_provider.redact import redact_text
from planet_provider.wording import MAX_TEXT, grouped

_ERRORS: dict[OrderState, type[OrderError]] = {
    OrderState.FAILED: OrderFailedError,
    OrderState.CANCELLED: OrderCancelledError,
    OrderState.PARTIAL: OrderPartialError,
}
_ADVICE = {
    OrderState.FAILED: "Correct what the hints name; placing the order again makes a new one.",
    OrderState.CANCELLED: "Somebody cancelled it; placing the order again makes a new one.",
    OrderState.PARTIAL: "Set allow_partial=True to go on with what was delivered.",
}


def summary(order: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a log, an event or an XCom may hold of an order: plain JSON without links.

    :param order: As Planet described it.
    :raises UnknownStateError: Its state is not documented.
    """
    results = (order.get("_links") or {}).get("results")
    return {
        "order_id": order["id"],
        "name": order.get("name"),
        "state": order_state(order["state"]).value,
        "created_on": order.get("created_on"),
        "last_modified": order.get("last_modified"),
        "last_message": redact_text(str(order.get("last_message") or ""), MAX_TEXT),
        "error_hints": grouped(redact_text(str(hint), MAX_TEXT) for hint in order.get("error_hints") or ()),
        "items": sum(len(product.get("item_ids") or ()) for product in order.get("products") or ()),
        "results": None if results is None else len(results),
        "missing": missing_items(order),
    }


def described(order: Mapping[str, Any]) -> str:
    """Return an order's state with Planet's last message about it, unless that says only the state.

    :param order: Its :func:`summary`.
    """
    message = order["last_message"].rstrip(".")
    return order["state"] if _repeats(message, order["state"]) else f"{order['state']}: {message}"


def _repeats(message: str, state: str) -> bool:
    return message.lower().strip(" .") in {
        "",
        state,
        f"order {state}",
        f"order is {state}",
        f"order has {state}",
    }


def is_summary(found: Mapping[str, Any]) -> bool:
    """Return whether something that comes from elsewhere is an order's :func:`summary`, as far as it is needed."""
    kinds = {"order_id": str, "state": str, "last_message": str, "error_hints": list}
    return (
        all(isinstance(found.get(name), kind) for name, kind in kinds.items())
        and all(isinstance(hint, str) for hint in found["error_hints"])
        and _are_batches(found.get("missing"))
    )


def _are_batches(missing: Any) -> bool:
    if missing is None:
        return True
    return isinstance(missing, list) and all(
        isinstance(batch, dict)
        and isinstance(batch.get("item_type"), str)
        and isinstance(batch.get("item_ids"), list)
        and all(isinstance(item_id, str) for item_id in batch["item_ids"])
        for batch in missing
    )


def missing_items(order: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the items of a partial order that were not delivered.

    :param order: As Planet described it, with its results.
    :return: Batches ``[{"item_type": ..., "item_ids": [...]}, ...]``, made for ordering just these again;
        empty unless the order is partial, and where its files don't tell (composites, archives), or are not
        known: lists of orders don't show them.
    """
    results = (order.get("_links") or {}).get("results")
    if results is None or order["state"] != OrderState.PARTIAL.value or not _has_files_by_item(order):
        return []
    # A file's name begins with its item's id: "<order id>/PSScene/<item id>_3B_AnalyticMS.tif".
    names = [str(one.get("name")).rpartition("/")[2] for one in results if one.get("delivery") != "failed"]
    missing = []
    for product in order.get("products") or ():
        wanted = product.get("item_ids") or ()
        item_ids = [one for one in wanted if not any(_is_of(name, one) for name in names)]
        if item_ids:
            missing.append({"item_type": product["item_type"], "item_ids": item_ids})
    return missing


def with_missing_items(session: PlanetSession, order: Mapping[str, Any]) -> dict[str, Any]:
    """Return an order's summary with what a partial one lacks, which lists of orders don't tell.

    :param order: Its :func:`summary`, with further keys.
    """
    known = order["state"] != OrderState.PARTIAL.value or order.get("results") is not None
    return dict(order) if known else {**order, **summary(session.send(orders.get(order["order_id"])))}


def _has_files_by_item(order: Mapping[str, Any]) -> bool:
    """Return whether an order's files tell their items: those of composites and archives don't."""
    composite = any("composite" in tool for tool in order.get("tools") or ())
    return not composite and not (order.get("delivery") or {}).get("archive_type")


def _is_of(file_name: str, item_id: str) -> bool:
    rest = file_name.removeprefix(item_id)
    return rest != file_name and not rest[:1].isalnum()


def is_reached(state: OrderState, awaited: OrderState | None) -> bool:
    """Return whether a wait is over.

    :param state: The order's state.
    :param awaited: The state waited for; ``None`` for any final one. One that the order has already gone
        through counts as reached.
    """
    if state.is_final or awaited is OrderState.QUEUED:
        return True
    return awaited is OrderState.RUNNING and state is OrderState.RUNNING


def check_outcome(
    order: Mapping[str, Any],
    base_url: str,
    *,
    awaited: OrderState | None = None,
    allow_partial: bool = False,
) -> None:
    """Raise where an order has not come to what was waited for.

    :param order: Its :func:`summary`.
    :param base_url: The connection's host, for the link to the order's page.
    :param awaited: The state waited for; ``None`` for success.
    :param allow_partial: Whether ``partial`` is as good as ``success``.
    :raises OrderFailedError: It failed.
    :raises OrderCancelledError: It was cancelled.
    :raises OrderPartialError: It is partial, and that is not allowed.
    :raises OrderError: It ended in another state than the one waited for.
    """
    state = order_state(order["state"])
    accepted = {awaited if awaited is not None and awaited.is_final else OrderState.SUCCESS}
    if allow_partial:
        accepted.add(OrderState.PARTIAL)
    if not state.is_final or state in accepted:
        return
    hints = [hint for hint in dict.fromkeys([*order["error_hints"], order["last_message"]]) if hint]
    said = [hint for hint in hints if not _repeats(hint, state.value)]
    cause = "; ".join(said) or "Planet gave no reason"
    wanted = f", not {awaited}" if awaited is not None else ""
    advice = _ADVICE.get(state, "Check which state the task should wait for.")
    raise _ERRORS.get(state, OrderError)(
        f"Order {order['order_id']} ended as {state}{wanted}: {cause.rstrip('.')}. {advice} "
        f"{order_page(order['order_id'], base_url)}",
        order_id=order["order_id"],
        state=state.value,
        hints=hints,
    )
