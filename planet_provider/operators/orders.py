"""Placing, cancelling and downloading orders."""

from __future__ import annotations

from planet_provider.operators.cancel_order import PlanetCancelOrderOperator
from planet_provider.operators.create_order import PlanetCreateOrderOperator
from planet_provider.operators.download_order import PlanetDownloadOrderOperator

__all__ = ["PlanetCancelOrderOperator", "PlanetCreateOrderOperator", "PlanetDownloadOrderOperator"]
