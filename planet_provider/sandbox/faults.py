"""Faults: what goes wrong, for which requests, how often."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

FaultKind = Literal[
    "status",
    "drop",
    "drop_after",
    "delay",
    "truncate",
    "stall",
    "corrupt",
    "expire",
    "no_range",
    "no_length",
    "etag",
]
Origin = Literal["api", "storage"]

# A request meets at most one of these; it ends there or its connection does.
_EXCLUSIVE = frozenset({"status", "drop", "drop_after", "truncate", "stall"})
REFUSALS = frozenset({"status", "drop"})


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong.

    ========== ======================================================================
    kind       effect
    ========== ======================================================================
    status     answered with ``status``, ``body``, ``headers`` and not handled
    drop       connection closed, request not handled
    drop_after request handled, connection closed without an answer
    delay      request handled, answered ``seconds`` later
    truncate   connection closed after ``after_bytes`` of the body
    stall      the body pauses ``seconds`` after ``after_bytes``
    corrupt    one byte of the body flipped: at ``after_bytes``, by default the middle
    expire     the download link or signature is treated as expired
    no_range   storage ignores ``Range``
    no_length  body sent in chunks, without ``Content-Length``
    etag       storage serves other content of the same size under another ``ETag``
    ========== ======================================================================

    A request meets at most one of status, drop, drop_after, truncate and stall: the first that
    was added. The rest may come on top, one of each kind.

    :param kind: One of the above.
    :param origin: Only at the ``api`` or the ``storage`` origin; ``None``: both.
    :param method: Only this HTTP method; ``None``: any.
    :param path: Regular expression searched in the request's path with query.
    :param times: How many requests it hits; ``None``: every one.
    :param skip: How many matching requests pass before.
    :param status: HTTP status of kind ``status``.
    :param body: Body of kind ``status``; ``None``: an error in the origin's own form.
    :param headers: Further headers of kind ``status``.
    :param seconds: Real seconds of ``delay`` and ``stall``.
    :param after_bytes: Bytes of the body before it goes wrong; ``None``: half of it.
    """

    kind: FaultKind
    origin: Origin | None = None
    method: str | None = None
    path: str = ""
    times: int | None = 1
    skip: int = 0
    status: int = 503
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    after_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"kind must be one of {get_args(FaultKind)}, not {self.kind!r}.")
        if self.origin is not None and self.origin not in get_args(Origin):
            raise ValueError(f"origin must be one of {get_args(Origin)} or None, not {self.origin!r}.")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times must be >= 1 or None (always), not {self.times!r}.")
        if self.skip < 0 or self.seconds < 0 or (self.after_bytes or 0) < 0:
            raise ValueError("skip, seconds and after_bytes must be >= 0.")
        if not 200 <= self.status <= 599:
            raise ValueError(f"status must be an HTTP status of 200 to 599, not {self.status!r}.")
        try:
            re.compile(self.path)
        except re.error as error:
            raise ValueError(f"path {self.path!r} is no regular expression: {error}.") from error

    @classmethod
    def from_json(cls, value: Any) -> Fault:
        """Build a fault from its JSON form.

        :raises ValueError: Not an object, an unknown key, or a bad value.
        """
        if not isinstance(value, dict):
            raise ValueError(f"a fault is a JSON object, not {value!r}")  # noqa: TRY004
        unknown = set(value) - {known.name for known in fields(cls)}
        if unknown or "kind" not in value:
            known = ", ".join(known.name for known in fields(cls))
            raise ValueError(f"a fault has the keys {known} (kind is required), not {sorted(value)}")
        try:
            return cls(**value)
        except TypeError as error:
            raise ValueError(f"fault {value!r}: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """Return the fault's JSON form."""
        return asdict(self) | {"headers": dict(self.headers)}

    def matches(self, origin: str, method: str, path: str) -> bool:
        """Tell whether the fault is meant for a request."""
        return (
            self.origin in (None, origin)
            and (self.method is None or self.method.upper() == method)
            and re.search(self.path, path) is not None
        )


@dataclass
class _Armed:
    fault: Fault
    seen: int = 0
    hits: int = 0

    @property
    def spent(self) -> bool:
        return self.fault.times is not None and self.hits >= self.fault.times

    def take(self) -> bool:
        self.seen += 1
        if self.spent or self.seen <= self.fault.skip:
            return False
        self.hits += 1
        return True


class FaultBoard:
    """The faults of a sandbox, in the order they were added. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []

    def add(self, *faults: Fault) -> None:
        """Arm faults."""
        with self._lock:
            self._armed.extend(_Armed(fault) for fault in faults)

    def clear(self) -> None:
        """Forget every fault."""
        with self._lock:
            self._armed.clear()

    def snapshot(self) -> list[tuple[Fault, int]]:
        """Return every fault added since the last :meth:`clear` and how many requests it hit."""
        with self._lock:
            return [(armed.fault, armed.hits) for armed in self._armed]

    def take(self, origin: str, method: str, path: str) -> Mapping[FaultKind, Fault]:
        """Return the faults that hit a request, and count them."""
        taken: dict[FaultKind, Fault] = {}
        with self._lock:
            for armed in self._armed:
                fault = armed.fault
                if fault.kind in taken or (fault.kind in _EXCLUSIVE and taken.keys() & _EXCLUSIVE):
                    continue
                if fault.matches(origin, method, path) and armed.take():
                    taken[fault.kind] = fault
        return taken
