"""Waiting for an order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from planet_provider.builders import checks
from planet_provider.client.api.links import order_page
from planet_provider.exceptions import TriggerEventError
from planet_provider.hooks.task_errors import task_errors
from planet_provider.hooks.templates import text_name
from planet_provider.links.order import LinksToOrder, PlanetOrderLink
from planet_provider.sensors.base import PlanetSensor

if TYPE_CHECKING:
    from airflow.sdk import Context

    from planet_provider.client.http.session import PlanetSession
    from planet_provider.client.states import OrderState
    from planet_provider.triggers.orders import PlanetOrderTrigger


class PlanetOrderSensor(LinksToOrder, PlanetSensor):
    """Wait until an order has ended, or is in a given state.

    An order that fails or is cancelled fails the task, as does a partial one unless ``allow_partial``. Airflow
    doesn't retry then: such an order won't change any more.

    :param order_id: Planet order UUID. (templated)
    :param state: The state to wait for: ``queued``, ``running``, ``success``, ``partial``, ``failed`` or
        ``cancelled``; by default any final one, of which only ``success`` is good. (templated)
    :param allow_partial: Whether ``partial`` is as good as ``success``. (templated)
    :param planet_conn_id: Airflow connection of type ``planet``. (templated)
    :param deferrable: Wait in the triggerer, without a worker slot. (templated)
    :param poke_interval: Seconds between two looks. Orders take minutes to hours.
    :param timeout: Seconds to wait in all; by default Airflow's ``[sensors] default_timeout``, 7 days.
    :return: XCom ``{order_id, state, name, created_on, last_modified, last_message, error_hints, items,
        results, missing}``, each key also as an XCom of its own; no links. ``results``, the number of files,
        may be ``None`` after a deferred wait, unless the order is partial.
    :raises OrderFailedError: The order failed.
    :raises OrderCancelledError: The order was cancelled.
    :raises OrderPartialError: The order is partial, and that is not allowed.
    """

    template_fields: Sequence[str] = ("order_id", "state", "allow_partial", "deferrable", "planet_conn_id")
    ui_color: str = "#cfe8e6"
    subject = "order"

    _seen_name: str | None = None

    def __init__(
        self,
        *,
        order_id: str,
        state: str | None = None,
        allow_partial: bool = False,
        poke_interval: float | timedelta = 30.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.order_id = order_id
        self.state = state
        self.allow_partial = allow_partial

    @property
    def map_name(self) -> str | None:
        """The order's name once it was seen, and its id."""
        return text_name(self._seen_name, self.order_id)

    def check(self) -> None:
        """Refuse a malformed order id, and a state that doesn't exist."""

        from planet_provider.client.states import OrderState

        checks.order_id(self.order_id)
        if self.state is not None:
            checks.choice(self.state, [state.value for state in OrderState], "state")

    def begin(self, context: Context) -> None:
        """Show the way to the order from now on."""
        PlanetOrderLink().persist(self, context, self._id, self._base_url)

    def look(self, session: PlanetSession) -> dict[str, Any] | None:
        """Get the order."""

        from planet_provider.client.api import orders
        from planet_provider.client.states import order_state
        from planet_provider.ordering.outcome import described, is_reached, summary

        order = summary(session.send(orders.get(self._id)))
        self._seen_name = order["name"]
        self.tell(f"Order {self._id} is {described(order)}. {order_page(self._id, session.config.base_url)}")
        return self._checked(order) if is_reached(order_state(order["state"]), self._awaited) else None

    def trigger(self, deadline: float) -> PlanetOrderTrigger:
        """Return the trigger that goes on waiting."""

        from planet_provider.triggers.orders import PlanetOrderTrigger

        return PlanetOrderTrigger(
            order_id=self._id,
            state=self.state,
            planet_conn_id=self.planet_conn_id,
            poke_interval=self.poke_interval,
            deadline=deadline,
        )

    def result(self, found: dict[str, Any]) -> dict[str, Any]:
        """Return the order's summary."""

        from planet_provider.client.states import order_state
        from planet_provider.hooks.planet import PlanetHook
        from planet_provider.ordering.outcome import is_reached, is_summary, with_missing_items

        if not is_summary(found) or str(found["order_id"]).lower() != self._id:
            raise TriggerEventError(f"The trigger waited for another order than {self._id}: {found!r}.")
        if not is_reached(order_state(found.get("state")), self._awaited):
            raise TriggerEventError(f"The trigger ended before {self.wanted()} was reached: {found!r}.")
        self._seen_name = found.get("name")
        order = self._checked(found)
        with PlanetHook(self.planet_conn_id).session() as session:
            return with_missing_items(session, order)

    def wanted(self) -> str:
        """Name the order and the state."""
        return f"{self.state or 'A final state'} of order {self._id}"

    @property
    def _id(self) -> str:
        return checks.order_id(self.order_id)

    @property
    def _base_url(self) -> str:
        from planet_provider.hooks.planet import PlanetHook

        return PlanetHook(self.planet_conn_id).config().base_url

    @property
    def _awaited(self) -> OrderState | None:
        from planet_provider.client.states import OrderState

        return None if self.state is None else OrderState(self.state)

    def _checked(self, order: dict[str, Any]) -> dict[str, Any]:
        from planet_provider.ordering.outcome import check_outcome

        with task_errors(retry=False):
            check_outcome(order, self._base_url, awaited=self._awaited, allow_partial=self.allow_partial)
        return order
