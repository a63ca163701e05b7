"""Assets: activated on demand, rendered when they are active."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime

from planet_provider.sandbox.objects import StoredObject
from planet_provider.sandbox.signing import decode_json, encode_json


@dataclass(frozen=True)
class AssetRef:
    """Which asset.

    :param asset_type: Such as ``ortho_analytic_4b``.
    """

    item_type: str
    item_id: str
    asset_type: str

    @property
    def id(self) -> str:
        """The opaque id of the asset's own links."""
        return encode_json({"c": self.item_type, "i": self.item_id, "t": self.asset_type, "ct": "item-type"})

    @classmethod
    def from_id(cls, asset_id: str) -> AssetRef:
        """Return the asset of an id.

        :raises ValueError: No such id was ever given out.
        """
        try:
            parts = decode_json(asset_id)
            return cls(parts["c"], parts["i"], parts["t"])
        except (TypeError, KeyError) as error:
            raise ValueError(f"{asset_id!r} is no asset id") from error


class AssetDesk:
    """When each asset became, or will be, active. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Deactivate every asset."""
        with self._lock:
            self._active_from: dict[AssetRef, datetime] = {}
            self.rendered: dict[AssetRef, StoredObject] = {}

    def activate(self, asset: AssetRef, active_from: datetime) -> None:
        """Let an asset be active from a sandbox time on; an earlier activation stands."""
        with self._lock:
            self._active_from.setdefault(asset, active_from)

    def status(self, asset: AssetRef, now: datetime) -> str:
        """Return ``inactive``, ``activating`` or ``active``."""
        active_from = self._active_from.get(asset)
        if active_from is None:
            return "inactive"
        return "active" if active_from <= now else "activating"
