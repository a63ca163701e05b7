"""Waiting for an asset in the triggerer."""

from __future__ import annotations

from typing import Any

from planet_provider.client import data
from planet_provider.client.assets import asset_reference, is_active
from planet_provider.client.session import AsyncPlanetSession
from planet_provider.triggers.base import PlanetTrigger
from planet_provider.triggers.events import done_event


class PlanetAssetTrigger(PlanetTrigger):
    """Wait until an asset is active.

    :param item_type: e.g. ``PSScene``.
    :param item_id: Planet item id.
    :param asset_type: e.g. ``ortho_analytic_4b``.
    :param planet_conn_id: Airflow connection of type ``planet``.
    :param poke_interval: Seconds between two looks; > 0.
    :param deadline: UTC, as seconds since the epoch, after which the wait has timed out; ``None`` for never.
    """

    def __init__(
        self,
        *,
        item_type: str,
        item_id: str,
        asset_type: str,
        planet_conn_id: str,
        poke_interval: float,
        deadline: float | None = None,
    ) -> None:
        super().__init__(planet_conn_id=planet_conn_id, poke_interval=poke_interval, deadline=deadline)
        self.item_type = item_type
        self.item_id = item_id
        self.asset_type = asset_type
        self._last_seen: str | None = None

    def facts(self) -> dict[str, Any]:
        """Return the asset's ids."""
        return {"item_type": self.item_type, "item_id": self.item_id, "asset_type": self.asset_type}

    async def look(self, session: AsyncPlanetSession) -> dict[str, Any] | None:
        """Get the item's assets."""
        assets = await session.send(data.assets(self.item_type, self.item_id))
        reference = asset_reference(assets, self.item_type, self.item_id, self.asset_type)
        if reference["status"] != self._last_seen:
            self._last_seen = reference["status"]
            self.log.info(
                "Asset %s of %s %s is %s.", self.asset_type, self.item_type, self.item_id, self._last_seen
            )
        return done_event(asset=reference) if is_active(reference) else None
