"""Waiting for an order where that takes a thread: in a script or a notebook, and on a worker.

In a DAG ``PlanetOrderSensor`` waits, and a deferrable operator, without a worker slot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planet_provider.builders import checks
from planet_provider.client.api import orders
from planet_provider.client.api.wait import Callback, poll
from planet_provider.client.states import OrderState, order_state
from planet_provider.exceptions import OrderTimeoutError
from planet_provider.ordering.outcome import check_outcome, is_reached, summary

if TYPE_CHECKING:
    from planet_provider.client.http.session import PlanetSession

#: Seconds between two looks at an order: orders take minutes to hours.
ORDER_POLL_SECONDS = 15.0


def wait_for_order(
    session: PlanetSession,
    order_id: str,
    *,
    state: str | None = None,
    allow_partial: bool = False,
    callback: Callback | None = None,
    poll_interval: float = ORDER_POLL_SECONDS,
    timeout: float | None = None,
) -> dict[str, Any]:
    """Wait until an order has ended, or is in a given state.

    :param session: Session of the account that placed the order.
    :param order_id: Planet order UUID.
    :param state: The state to wait for; by default any final one, of which only ``success`` is good.
    :param allow_partial: Whether ``partial`` is as good as ``success``.
    :param callback: Called with the order's summary after each look. What it raises ends the wait.
    :param poll_interval: Seconds between two looks; > 0.
    :param timeout: Seconds to wait in all; by default as long as it takes.
    :return: The order's summary, ``{order_id, state, name, ...}``, without links.
    :raises OrderFailedError: It failed.
    :raises OrderCancelledError: It was cancelled.
    :raises OrderPartialError: It is partial, and that is not allowed.
    :raises OrderTimeoutError: It did not end in time.
    :raises UnknownStateError: Its state is not documented.
    """
    wanted = checks.order_id(order_id)
    awaited = (
        None
        if state is None
        else OrderState(checks.choice(state, [one.value for one in OrderState], "state"))
    )
    last_state: str | None = None

    def told(seen: dict[str, Any]) -> None:
        nonlocal last_state
        last_state = seen["state"]
        if callback is not None:
            callback(seen)

    found = until_reached(
        session, wanted, awaited, callback=told, poll_interval=poll_interval, timeout=timeout
    )
    if found is None:
        raise OrderTimeoutError(
            f"Order {wanted} was not {awaited or 'over'} within timeout={timeout:g} s; it was last seen as "
            f"{last_state or 'nothing, for Planet did not answer'}. It goes on at Planet's: wait for it again, "
            "or longer.",
            order_id=wanted,
            state=last_state,
        )
    check_outcome(found, session.config.base_url, awaited=awaited, allow_partial=allow_partial)
    return found


def until_reached(
    session: PlanetSession,
    order_id: str,
    awaited: OrderState | None,
    *,
    callback: Callback,
    poll_interval: float,
    timeout: float | None,
) -> dict[str, Any] | None:
    """Look at an order until it is in a state, or can't get there any more.

    :param session: Session of the account that placed the order.
    :param order_id: Planet order UUID.
    :param awaited: The state; ``None`` for any final one.
    :param callback: Called with the order's summary after each look.
    :param poll_interval: Seconds between two looks; > 0.
    :param timeout: Seconds to wait in all; ``None`` for as long as it takes.
    :return: The order's summary; ``None`` where the time is over before.
    :raises UnknownStateError: Its state is not documented.
    """

    def look() -> dict[str, Any]:
        seen = summary(session.send(orders.get(order_id)))
        callback(seen)
        return seen

    def is_over(seen: dict[str, Any]) -> bool:
        return is_reached(order_state(seen["state"]), awaited)

    return poll(look, is_over, poll_interval=poll_interval, timeout=timeout)
