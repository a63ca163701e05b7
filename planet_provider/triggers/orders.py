"""Waiting for an order in the triggerer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any

from planet_provider.builders import checks
from planet_provider.client.api.cancelling import cancel_for_killed_task
from planet_provider.client.api.links import order_page
from planet_provider.client.http.session import PlanetSession
from planet_provider.client.states import OrderState, order_state
from planet_provider.exceptions import InvalidInputError, PlanetError
from planet_provider.hooks.planet import PlanetHook
from planet_provider.hooks.task_state import has_ended_async
from planet_provider.ordering.outcome import described, is_reached
from planet_provider.triggers.base import PlanetTrigger
from planet_provider.triggers.events import done_event
from planet_provider.triggers.order_watch import OrderPoller, Summary

#: Keeps the event loop from forgetting a task whose trigger has gone.
_cancelling: set[asyncio.Task[None]] = set()


class PlanetOrderTrigger(PlanetTrigger):
    """Wait until an order is in a state, or has ended.

    All waits of an account in a triggerer take a few requests a minute together. They see orders as Planet's
    lists show them, without results: ``results`` in the event is ``None``.

    :param order_id: Planet order UUID.
    :param state: The state waited for; ``None`` for any final one.
    :param planet_conn_id: Airflow connection of type ``planet``.
    :param poke_interval: Seconds between two looks, at most; > 0.
    :param deadline: UTC, as seconds since the epoch, after which the wait has timed out; ``None`` for never.
    :param cancel_on_kill: Cancel the order where the task is killed while it is deferred, unless a new try
        goes on with it. Airflow 3.3 tells of a kill, unless the trigger has not started; earlier versions don't.
    :param note: Plain JSON that the task wants to have back with the order.
    """

    poller = OrderPoller

    def __init__(
        self,
        *,
        order_id: str,
        planet_conn_id: str,
        poke_interval: float,
        state: str | None = None,
        deadline: float | None = None,
        cancel_on_kill: bool = False,
        note: dict[str, Any] | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__(
            planet_conn_id=planet_conn_id, poke_interval=poke_interval, deadline=deadline, **unknown
        )
        self.order_id = order_id
        with suppress(InvalidInputError):  # an error here would end the whole triggerer
            self.order_id = checks.order_id(order_id)
        self.state = state
        self.cancel_on_kill = cancel_on_kill
        self.note = note
        self._order: Summary | None = None
        self._cancelling: asyncio.Task[None] | None = None

    def facts(self) -> dict[str, Any]:
        """Return the order's id and the state waited for."""
        return {"order_id": self.order_id, "state": self.state}

    def settings(self) -> dict[str, Any]:
        """Return what else it takes to make this trigger again."""
        return super().settings() | {"cancel_on_kill": self.cancel_on_kill, "note": self.note}

    @property
    def key(self) -> str:
        """The order's id, as Planet writes it."""
        return self.order_id

    def seen(self, found: Summary) -> dict[str, Any] | None:
        """Compare the order's state with the one waited for."""
        before, self._order = self._order, found
        if before is None or _shown(before) != _shown(found):
            self.log.info("Order %s is %s", self.order_id, self._described(found))
        awaited = None if self.state is None else OrderState(self.state)
        if not is_reached(order_state(found["state"]), awaited):
            return None
        return done_event(order=found | (self.note or {}))

    def report(self) -> str:
        """Say how the order is."""
        if self._order is None:
            return f"Order {self.order_id} was not seen yet."
        return f"Order {self.order_id} is still {self._described(self._order)}"

    def _described(self, order: Summary) -> str:
        since = order["last_modified"] or order["created_on"]
        return f"{described(order)}. Since {since}. {order_page(self.order_id, self.base_url)}"

    async def on_kill(self) -> None:
        """Cancel the order where asked to, unless a new try goes on with it.

        Airflow gives this a second and calls it again and again, so the work is done in a task of its own.
        """
        if not self.cancel_on_kill:
            return
        if self._cancelling is None:
            self._cancelling = asyncio.create_task(self._cancel())
            _cancelling.add(self._cancelling)
            self._cancelling.add_done_callback(_cancelling.discard)
        await asyncio.shield(self._cancelling)

    async def _cancel(self) -> None:
        if not await has_ended_async(self.task_instance):
            self.log.info("Order %s is not cancelled: its task has not ended.", self.order_id)
            return
        try:
            config = await PlanetHook(self.planet_conn_id).async_config()
        except PlanetError as error:
            self.log.warning("Order %s was not cancelled: %s", self.order_id, error)
            return
        # In a thread, so that it is the same code that cancels on a worker.
        open_session = partial(PlanetSession, config)
        await asyncio.to_thread(cancel_for_killed_task, open_session, self.order_id, self.log)


def _shown(order: Summary) -> tuple[str, str]:
    return order["state"], order["last_message"]
