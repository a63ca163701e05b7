"""Placing an order exactly once."""

from __future__ import annotations

#: Seconds that Planet's list may lag behind, at most. Planet documents no bound; two minutes are generous for
#: an index, and are spent only after an answer that was not clear.
LIST_CONSISTENCY_SECONDS = 120.0
