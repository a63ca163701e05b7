"""An order: what was asked for, and the states it goes through."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from planet_provider.sandbox import basemaps
from planet_provider.sandbox.clock import rfc3339
from planet_provider.sandbox.config import SandboxConfig
from planet_provider.sandbox.objects import StoredObject
from planet_provider.sandbox.outcomes import Outcome

MESSAGES = {
    "queued": "Preparing order",
    "running": "Running order",
    "success": "Manifest delivery completed",
    "partial": "Manifest delivery completed, some items could not be delivered",
    "failed": "Order failed",
    "cancelled": "Order cancelled",
}
ACTIVE_STATES = frozenset({"queued", "running"})
DELIVERED_STATES = frozenset({"success", "partial"})

# The parts of a request an order shows again.
_ECHOED = (
    "products",
    "tools",
    "delivery",
    "notifications",
    "order_type",
    "subscription_id",
    "hosting",
    "metadata",
    "source_type",
)
# Cloud credentials: read once, never shown.
_CREDENTIALS = frozenset(
    {
        "aws_access_key_id",
        "aws_secret_access_key",
        "sas_token",
        "credentials",
        "customer_access_key_id",
        "customer_secret_key",
        "access_key_id",
        "secret_access_key",
    }
)


@dataclass(frozen=True)
class Transition:
    """A state an order enters.

    :param at: Sandbox time.
    """

    at: datetime
    state: str
    error_hints: tuple[str, ...] = ()


@dataclass
class Order:
    """An order and its transitions, past and to come.

    :param request: The body of the request that placed it, without credentials.
    :param area_km2: What it charges the quota with.
    :param failed_items: Items it won't deliver.
    :param files: What it delivered, by path below the order's folder; ``None`` until rendered.
    :param rendering: Held while they are.
    """

    id: str
    user_id: int
    request: Mapping[str, Any]
    transitions: list[Transition]
    area_km2: float = 0.0
    failed_items: frozenset[str] = frozenset()
    files: dict[str, StoredObject] | None = field(default=None, repr=False)
    rendering: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @property
    def name(self) -> str:
        """The order's name."""
        return str(self.request["name"])

    @property
    def source_type(self) -> str:
        """What was ordered: ``scenes`` or ``basemaps``."""
        return str(self.request.get("source_type", "scenes"))

    @property
    def created_on(self) -> datetime:
        """Sandbox time the order was placed at."""
        return self.transitions[0].at

    @property
    def to_cloud(self) -> bool:
        """Whether the order is delivered into a bucket of the customer's."""
        local = {"archive_type", "archive_filename", "single_archive", "layout"}
        return bool(set(self.request.get("delivery") or {}) - local)

    def at(self, moment: datetime) -> Transition:
        """Return the transition into the state the order is in at a moment."""
        return next(
            step for step in reversed(self.transitions) if step.at <= moment or step.state == "queued"
        )

    def cancel(self, moment: datetime) -> None:
        """Cancel the order: what was to come won't."""
        self.transitions = [step for step in self.transitions if step.at <= moment]
        self.transitions.append(Transition(moment, "cancelled"))

    def fail(self, *error_hints: str) -> None:
        """Let the order end in failure instead, at the same time."""
        self.transitions[-1] = Transition(self.transitions[-1].at, "failed", error_hints)

    def row(self, moment: datetime, base_url: str) -> dict[str, Any]:
        """Return the order as lists show it: without results."""
        step = self.at(moment)
        echo = {name: self.request[name] for name in _ECHOED if name in self.request}
        return {
            "_links": {"_self": f"{base_url}/compute/ops/orders/v2/{self.id}"},
            "created_on": rfc3339(self.created_on),
            "error_hints": list(step.error_hints),
            "id": self.id,
            "last_message": MESSAGES.get(step.state, step.state),
            "last_modified": rfc3339(step.at),
            "name": self.name,
            "state": step.state,
            **echo,
        }


def without_credentials(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request for an order without cloud credentials."""
    return {
        name: without_credentials(value) if isinstance(value, Mapping) else value
        for name, value in request.items()
        if name not in _CREDENTIALS
    }


def plan(
    created: datetime,
    request: Mapping[str, Any],
    outcome: Outcome,
    failures: Mapping[str, str],
    config: SandboxConfig,
) -> tuple[list[Transition], frozenset[str]]:
    """Plan an order's transitions.

    :param created: Sandbox time it is placed at.
    :param failures: Items that can't be delivered, with the reasons.
    :return: The transitions, and the items that won't be delivered.
    """
    steps = [Transition(created, "queued")]
    running = created + timedelta(seconds=config.queued_seconds)
    if outcome.state != "queued":
        steps.append(Transition(running, "running"))
    if outcome.state in ACTIVE_STATES:
        return steps, frozenset()
    state, reasons = _end(request, outcome, failures)
    hints = (*outcome.error_hints, *reasons.values())
    if state == "failed" and not hints:
        hints = ("The order could not be processed",)
    end = running + timedelta(seconds=config.running_seconds)
    return [*steps, Transition(end, state, hints)], frozenset(reasons)


def _end(
    request: Mapping[str, Any], outcome: Outcome, failures: Mapping[str, str]
) -> tuple[str, Mapping[str, str]]:
    """Return the state an order ends in, and the items that fail with the reasons."""
    items = [
        item for product in request["products"] for item in product.get("item_ids") or basemaps.quads(product)
    ]
    reasons = dict(failures)
    if outcome.state == "partial":
        for item in outcome.failed_items or items[-1:]:
            reasons.setdefault(item, f"Item {item} could not be delivered")
    elif outcome.state != "success":
        return outcome.state, {}
    if not reasons:
        return "success", {}
    # Only an order that allows it may be partial, and one without any item is none.
    partial = request.get("order_type") == "partial" and reasons.keys() < set(items)
    return "partial" if partial else "failed", reasons
