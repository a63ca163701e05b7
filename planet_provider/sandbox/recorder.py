"""What the sandbox was asked: the server's side of the truth, for tests."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from planet_provider.sandbox.faults import Origin


@dataclass
class RecordedRequest:
    """One request.

    :param origin: ``api`` or ``storage``.
    :param path: Path without query.
    :param query: Query parameters; of a repeated one the last.
    :param headers: Headers with lower-case names. Not in the repr: they hold credentials.
    :param body: Body as received.
    :param status: Status of the answer; ``None`` as long as there is none, and for good when
        the connection was closed instead.
    :param at: ``time.monotonic()`` of its arrival: real seconds.
    :param faults: Kinds of the faults it met.
    """

    origin: Origin
    method: str
    path: str
    query: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    status: int | None = None
    at: float = field(default_factory=time.monotonic)
    faults: tuple[str, ...] = ()

    @property
    def authorized(self) -> bool:
        """Whether it carried an ``Authorization`` header."""
        return "authorization" in self.headers


class Recorder:
    """The latest requests, in order of arrival. Thread-safe.

    :param limit: Requests remembered.
    """

    def __init__(self, limit: int) -> None:
        self._lock = threading.Lock()
        self._requests: deque[RecordedRequest] = deque(maxlen=limit)

    def add(self, request: RecordedRequest) -> RecordedRequest:
        """Remember a request."""
        with self._lock:
            self._requests.append(request)
        return request

    def snapshot(self) -> list[RecordedRequest]:
        """Return the requests remembered."""
        with self._lock:
            return list(self._requests)

    def clear(self) -> None:
        """Forget every request."""
        with self._lock:
            self._requests.clear()
