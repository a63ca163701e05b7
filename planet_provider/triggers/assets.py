"""Waiting for an asset in the triggerer."""

from __future__ import annotations

import logging
from typing import Any

from planet_provider.client.api.assets import (
    asset_reference,
    is_active,
    is_inactive,
    status_line,
)
from planet_provider.triggers.asset_watch import AssetPoller, Assets, Item
from planet_provider.triggers.base import PlanetTrigger
from planet_provider.triggers.events import done_event


class PlanetAssetTrigger(PlanetTrigger):
    """Wait until an asset is active.

    Waits for several assets of an item take one request. The longer a wait takes, the less often it looks.

    :param item_type: e.g. ``PSScene``.
    :param item_id: Planet item id.
    :param asset_type: e.g. ``ortho_analytic_4b``.
    :param planet_conn_id: Airflow connection of type ``planet``.
    :param poke_interval: Seconds between two looks at first; > 0. Later a tenth of the wait's age, up to
        8 times as many.
    :param deadline: UTC, as seconds since the epoch, after which the wait has timed out; ``None`` for never.
    """

    poller = AssetPoller

    def __init__(
        self,
        *,
        item_type: str,
        item_id: str,
        asset_type: str,
        planet_conn_id: str,
        poke_interval: float,
        deadline: float | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__(
            planet_conn_id=planet_conn_id, poke_interval=poke_interval, deadline=deadline, **unknown
        )
        self.item_type = item_type
        self.item_id = item_id
        self.asset_type = asset_type
        self._last_seen: dict[str, Any] | None = None

    def facts(self) -> dict[str, Any]:
        """Return the asset's ids."""
        return {"item_type": self.item_type, "item_id": self.item_id, "asset_type": self.asset_type}

    @property
    def key(self) -> Item:
        """The item."""
        return self.item_type, self.item_id

    def seen(self, found: Assets) -> dict[str, Any] | None:
        """Look whether the asset is active."""
        reference = asset_reference(found, self.item_type, self.item_id, self.asset_type)
        if self._last_seen is None or reference["status"] != self._last_seen["status"]:
            self.log.log(
                logging.WARNING if is_inactive(reference) else logging.INFO, "%s", status_line(reference)
            )
        self._last_seen = reference
        return done_event(asset=reference) if is_active(reference) else None

    def report(self) -> str:
        """Say how the asset is."""
        if self._last_seen is None:
            return f"Asset {self.asset_type} of {self.item_type} {self.item_id} was not seen yet."
        return status_line(self._last_seen)
