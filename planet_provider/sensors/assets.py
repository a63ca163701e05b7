"""Waiting for an asset."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from planet_provider.builders import checks
from planet_provider.exceptions import TriggerEventError
from planet_provider.hooks.templates import text_name
from planet_provider.sensors.base import PlanetSensor

if TYPE_CHECKING:
    from planet_provider.client.http.session import PlanetSession
    from planet_provider.triggers.assets import PlanetAssetTrigger


class PlanetAssetSensor(PlanetSensor):
    """Wait until an asset is active, that is, ready for download.

    It doesn't activate the asset: see :class:`~planet_provider.operators.assets.PlanetActivateAssetOperator`.

    :param item_type: e.g. ``PSScene``. (templated)
    :param item_id: Planet item id. (templated)
    :param asset_type: e.g. ``ortho_analytic_4b``. (templated)
    :param planet_conn_id: Airflow connection of type ``planet``. (templated)
    :param deferrable: Wait in the triggerer, without a worker slot. (templated)
    :param poke_interval: Seconds between two looks. Activation takes minutes.
    :param timeout: Seconds to wait in all; by default Airflow's ``[sensors] default_timeout``, 7 days.
    :return: XCom ``{item_type, item_id, asset_type, status, md5_digest}``, each key also as an XCom of its
        own; no links.
    :raises AssetUnavailableError: The item has no such asset, or the account may not download it.
    """

    template_fields: Sequence[str] = ("item_type", "item_id", "asset_type", "deferrable", "planet_conn_id")
    ui_color: str = "#cfe8e6"
    subject = "asset"

    def __init__(
        self,
        *,
        item_type: str,
        item_id: str,
        asset_type: str,
        poke_interval: float | timedelta = 15.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.item_type = item_type
        self.item_id = item_id
        self.asset_type = asset_type

    @property
    def map_name(self) -> str | None:
        """The item and its asset."""
        return text_name(self.item_id, self.asset_type)

    def check(self) -> None:
        """Refuse malformed ids."""
        checks.item_type(self.item_type)
        checks.item_id(self.item_id)
        checks.asset_type(self.asset_type)

    def look(self, session: PlanetSession) -> dict[str, Any] | None:
        """Get the item's assets."""

        from planet_provider.client.api import data
        from planet_provider.client.api.assets import asset_reference, is_active, is_inactive, status_line

        assets = session.send(data.assets(self.item_type, self.item_id))
        reference = asset_reference(assets, self.item_type, self.item_id, self.asset_type)
        self.tell(status_line(reference), warn=is_inactive(reference))
        return reference if is_active(reference) else None

    def trigger(self, deadline: float) -> PlanetAssetTrigger:
        """Return the trigger that goes on waiting."""

        from planet_provider.triggers.assets import PlanetAssetTrigger

        return PlanetAssetTrigger(
            item_type=self.item_type,
            item_id=self.item_id,
            asset_type=self.asset_type,
            planet_conn_id=self.planet_conn_id,
            poke_interval=self.poke_interval,
            deadline=deadline,
        )

    def result(self, found: dict[str, Any]) -> dict[str, Any]:
        """Return the asset's reference."""

        from planet_provider.client.api.assets import is_active

        ids = {"item_type": self.item_type, "item_id": self.item_id, "asset_type": self.asset_type}
        if any(found.get(name) != value for name, value in ids.items()):
            raise TriggerEventError(f"The trigger waited for another asset than {ids!r}: {found!r}.")
        if not is_active(found):
            raise TriggerEventError(f"The trigger ended with the asset {found!r}, which is not active.")
        return found

    def wanted(self) -> str:
        """Name the asset."""
        return f"Status active of {self.asset_type} of {self.item_type} {self.item_id}"

    def advice(self, last: str) -> str:
        """Don't advise to wait on for what nobody has activated."""

        from planet_provider.client.api.assets import ACTIVATE_IT

        return "" if ACTIVATE_IT in last else super().advice(last)
