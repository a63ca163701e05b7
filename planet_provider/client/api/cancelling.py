"""Cancelling orders, and knowing of each one what came of it.

An answer can get lost after Planet has carried the request out, and repeated it says that the orders can't be
cancelled: they are already. So what counts is the state that an order has in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from planet_provider.builders import checks
from planet_provider.client.api import orders
from planet_provider.client.parse import JSONObject
from planet_provider.client.states import OrderState, order_state
from planet_provider.exceptions import (
    NotFoundError,
    OrderNotCancellableError,
    PlanetError,
    ServerError,
    TransportError,
    UnexpectedResponseError,
)
from planet_provider.redact import redact_text

if TYPE_CHECKING:
    from planet_provider.client.http.session import PlanetSession

Outcome = Literal["cancelled", "not_cancellable", "not_found"]


@dataclass(frozen=True, kw_only=True)
class Cancellation:
    """What came of cancelling one order.

    :param order_id: Planet order UUID.
    :param outcome: ``cancelled``, now or before; ``not_cancellable``, because it runs or has ended;
        ``not_found``.
    :param state: The order's state, where there is such an order.
    :param message: What Planet said of it, where it was not cancelled.
    """

    order_id: str
    outcome: Outcome
    state: str | None = None
    message: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


def cancel_order(session: PlanetSession, order_id: str) -> JSONObject:
    """Cancel a queued order. One that is cancelled already is as good.

    :param order_id: Planet order UUID.
    :return: The order. Where it was cancelled before, it is as Planet gives it when asked.
    :raises OrderNotCancellableError: It runs or has ended.
    :raises NotFoundError: There is no such order.
    """
    try:
        return session.send(orders.cancel(order_id))
    except (OrderNotCancellableError, TransportError, ServerError, UnexpectedResponseError) as error:
        order = _cancelled(session, order_id)
        if order is None:
            raise error from None
        return order


def _cancelled(session: PlanetSession, order_id: str) -> JSONObject | None:
    """Return an order that is cancelled, however that was answered; ``None`` where it is not, or nobody knows."""
    try:
        order = session.send(orders.get(order_id))
        return order if order_state(order["state"]) is OrderState.CANCELLED else None
    except PlanetError:
        return None


def cancel_for_killed_task(open_session: Callable[[], PlanetSession], order_id: str, log: Any) -> None:
    """Cancel the order of a task that was killed, and say in its log what came of it.

    :param open_session: Opens a session of the account that placed the order.
    :param order_id: Planet order UUID.
    :param log: The task's logger, which is Airflow's own kind.
    """
    try:
        with open_session() as session:
            cancel_order(session, order_id)
    except PlanetError as error:
        log.warning("Order %s was not cancelled: %s", order_id, error)
    else:
        log.info("Order %s is cancelled.", order_id)


def cancel_orders(session: PlanetSession, order_ids: Iterable[str]) -> tuple[JSONObject, list[Cancellation]]:
    """Cancel several queued orders in one request.

    :param order_ids: Planet order UUIDs; never empty, because Planet takes an empty body for "all of them".
    :return: Planet's answer, and one entry an order, in the order given. Whatever Planet did not cancel was
        asked for once more, one by one, so that its state is known.
    :raises InvalidInputError: There is none, or one is malformed. Nothing was sent.
    """
    ids = _checked(order_ids)
    answer = session.send(orders.bulk_cancel(ids))
    refused = _refused(answer, ids)
    return answer, [
        _outcome(session, order_id, refused[order_id])
        if order_id in refused
        else Cancellation(order_id=order_id, outcome="cancelled", state=OrderState.CANCELLED.value)
        for order_id in ids
    ]


def _checked(order_ids: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(checks.order_ids(order_ids)))


def _refused(answer: Mapping[str, Any], ids: list[str]) -> dict[str, str | None]:
    """Return the orders that Planet says it did not cancel; all of them, where it doesn't say clearly."""
    try:
        result = answer["result"]
        failures = result["failed"].get("failures") or []
        refused = {checks.order_id(one["order_id"]): str(one.get("message") or "") for one in failures}
        clear = result["succeeded"]["count"] + len(refused) == len(ids) and refused.keys() <= set(ids)
    except (KeyError, TypeError, AttributeError, ValueError):
        clear = False
    if not clear:
        return dict.fromkeys(ids)
    return {order_id: message or None for order_id, message in refused.items()}


def _outcome(session: PlanetSession, order_id: str, message: str | None) -> Cancellation:
    said = None if message is None else redact_text(message)
    try:
        state = order_state(session.send(orders.get(order_id))["state"])
    except NotFoundError as error:
        return Cancellation(order_id=order_id, outcome="not_found", message=said or "; ".join(error.messages))
    if state is OrderState.CANCELLED:
        return Cancellation(order_id=order_id, outcome="cancelled", state=state.value)
    return Cancellation(order_id=order_id, outcome="not_cancellable", state=state.value, message=said)
