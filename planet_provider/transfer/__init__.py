"""Bytes from Planet to a disk or an object store: whole or not at all, verified, resumed.

::

    with PlanetSession(config) as session:
        transfer = download_order(session, order_id, "/data/orders")
    verify(transfer.directory)
"""

from __future__ import annotations

from planet_provider.transfer.asset import download_asset
from planet_provider.transfer.download.pool import Ranges
from planet_provider.transfer.download.retry import RetryPolicy
from planet_provider.transfer.order import download_order
from planet_provider.transfer.progress import Progress, log_progress
from planet_provider.transfer.records import FileRecord, OrderTransfer, Verification
from planet_provider.transfer.stores.open import open_store
from planet_provider.transfer.verify import verify, verify_file

__all__ = [
    "FileRecord",
    "OrderTransfer",
    "Progress",
    "Ranges",
    "RetryPolicy",
    "Verification",
    "download_asset",
    "download_order",
    "log_progress",
    "open_store",
    "verify",
    "verify_file",
]
