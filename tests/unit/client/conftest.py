"""Sessions with the sandbox."""

from __future__ import annotations

from client_support import connect

__all__ = ["connect"]
