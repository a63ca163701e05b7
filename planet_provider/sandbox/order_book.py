"""The orders of a sandbox."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from planet_provider.sandbox.clock import SandboxClock
from planet_provider.sandbox.config import SandboxConfig
from planet_provider.sandbox.errors import ApiError, general
from planet_provider.sandbox.order import (
    ACTIVE_STATES,
    Order,
    plan,
    without_credentials,
)
from planet_provider.sandbox.outcomes import OutcomeBoard


class OrderBook:
    """Every order placed, oldest first. Thread-safe.

    :param clock: Tells the states.
    :param outcomes: Tell how orders end.
    """

    def __init__(self, config: SandboxConfig, clock: SandboxClock, outcomes: OutcomeBoard) -> None:
        self._lock = threading.RLock()
        self._clock = clock
        self._outcomes = outcomes
        self.reset(config)

    def reset(self, config: SandboxConfig) -> None:
        """Forget every order."""
        with self._lock:
            self._config = config
            self._orders: dict[str, Order] = {}
            self._latest: datetime | None = None

    def place(
        self, user_id: int, request: Mapping[str, Any], *, failures: Mapping[str, str], area_km2: float
    ) -> Order:
        """Place a valid order.

        :param failures: Items that can't be delivered, with the reasons.
        :param area_km2: What it charges the quota with.
        :raises ApiError: 409 where too many orders are active; 403 over quota.
        """
        with self._lock:
            self._admit(user_id, area_km2)
            # Creation times are unique: pages of lists are cut by them.
            created = self._clock.now()
            if self._latest is not None:
                created = max(created, self._latest + timedelta(microseconds=1))
            self._latest = created
            outcome = self._outcomes.pick(str(request["name"]))
            steps, failed = plan(created, request, outcome, failures, self._config)
            order = Order(
                id=str(uuid.uuid4()),
                user_id=user_id,
                request=without_credentials(request),
                transitions=steps,
                area_km2=area_km2,
                failed_items=failed,
            )
            self._orders[order.id] = order
            return order

    def get(self, order_id: str) -> Order:
        """Return an order.

        :raises ApiError: 404.
        """
        order = self._orders.get(order_id)
        if order is None:
            raise ApiError(404, {"message": f"Could not load order ID: {order_id}."})
        return order

    def snapshot(self) -> list[Order]:
        """Return the orders, oldest first."""
        with self._lock:
            return list(self._orders.values())

    def cancel(self, order: Order) -> datetime:
        """Cancel a queued order.

        :return: The sandbox time of it.
        :raises ApiError: 409: it isn't queued any more.
        """
        with self._lock:
            now = max(self._clock.now(), order.created_on)
            if order.at(now).state != "queued":
                raise ApiError(409, {"message": "Order not in a cancellable state"})
            order.cancel(now)
            return now

    def count(self, state: str, user_id: int | None = None) -> int:
        """Return how many orders are in a state.

        :param user_id: Of one user; ``None``: of the organisation.
        """
        now = self._clock.now()
        return sum(
            order.at(now).state == state and user_id in (None, order.user_id) for order in self.snapshot()
        )

    def _admit(self, user_id: int, area_km2: float) -> None:
        now = self._clock.now()
        own = [order for order in self._orders.values() if order.user_id == user_id]
        if sum(order.at(now).state in ACTIVE_STATES for order in own) >= self._config.max_queued_orders:
            raise general(409, "Order concurrency limit reached")
        if self._config.quota_km2 is None:
            return
        used = sum(order.area_km2 for order in own if order.at(now).state not in ("failed", "cancelled"))
        if used + area_km2 > self._config.quota_km2:
            raise general(self._config.over_quota_status, "Download quota has been exceeded.")
