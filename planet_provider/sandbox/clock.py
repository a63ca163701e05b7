"""Sandbox time: wall-clock time that can run fast and be moved forward."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone


class SandboxClock:
    """A clock that starts at the real time and passes ``speed`` seconds a second. Thread-safe.

    :param speed: Sandbox seconds per real second; > 0.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self._lock = threading.Lock()
        self.reset(speed)

    def reset(self, speed: float) -> None:
        """Go back to the real time and pass at ``speed`` from now on."""
        with self._lock:
            self._set(datetime.now(timezone.utc), speed)

    @property
    def speed(self) -> float:
        """Sandbox seconds per real second."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        with self._lock:
            self._set(self._now(), speed)

    def now(self) -> datetime:
        """Return the sandbox time (UTC)."""
        with self._lock:
            return self._now()

    def advance(self, seconds: float) -> datetime:
        """Move the clock forward.

        :param seconds: Sandbox seconds; >= 0, for time never runs backwards.
        :return: The new sandbox time (UTC).
        """
        if seconds < 0:
            raise ValueError(f"seconds must be >= 0, not {seconds!r}: time never runs backwards.")
        with self._lock:
            self._origin += timedelta(seconds=seconds)
            return self._now()

    def _now(self) -> datetime:
        return self._origin + timedelta(seconds=(time.monotonic() - self._started) * self._speed)

    def _set(self, origin: datetime, speed: float) -> None:
        if not speed > 0:
            raise ValueError(f"speed must be > 0 sandbox seconds per second, not {speed!r}.")
        self._origin, self._started, self._speed = origin, time.monotonic(), speed


def rfc3339(moment: datetime) -> str:
    """Return a moment as Planet writes it: UTC, microseconds, ``Z``."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def naive_utc(moment: datetime) -> str:
    """Return a moment as the Data API writes ``expires_at``: UTC without saying so."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")
