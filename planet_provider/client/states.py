"""The states of orders and the statuses of assets, and what each means. The only such table."""

from __future__ import annotations

from enum import Enum

from planet_provider.exceptions import UnknownStateError


class OrderState(str, Enum):
    """State of an order, as the Orders API names it."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the order will not change any more."""
        return self not in {OrderState.QUEUED, OrderState.RUNNING}

    @property
    def has_results(self) -> bool:
        """Whether there is something to download."""
        return self in {OrderState.SUCCESS, OrderState.PARTIAL}

    @property
    def is_lost(self) -> bool:
        """Whether the order ended without anything to download, so that a new one may take its place."""
        return self in {OrderState.FAILED, OrderState.CANCELLED}

    def __str__(self) -> str:
        return self.value


class AssetStatus(str, Enum):
    """Status of an asset, as the Data API names it."""

    INACTIVE = "inactive"
    ACTIVATING = "activating"
    ACTIVE = "active"

    def __str__(self) -> str:
        return self.value


def order_state(value: object) -> OrderState:
    """Read an order's state.

    :raises UnknownStateError: Planet has not documented it.
    """
    try:
        return OrderState(value)
    except ValueError:
        known = ", ".join(OrderState)
        raise UnknownStateError(
            f"Unknown order state {value!r} (known: {known}). It is not taken for pending; "
            "a newer version of this provider may know it."
        ) from None


def asset_status(value: object) -> AssetStatus:
    """Read an asset's status.

    :raises UnknownStateError: Planet has not documented it.
    """
    try:
        return AssetStatus(value)
    except ValueError:
        known = ", ".join(AssetStatus)
        raise UnknownStateError(
            f"Unknown asset status {value!r} (known: {known}). It is not taken for pending; "
            "a newer version of this provider may know it."
        ) from None
