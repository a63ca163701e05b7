"""Signs of life in the log while something is waited for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

log = logging.getLogger(__name__)

#: Seconds between two lines, whatever the wait is doing meanwhile: a request may hang for longer.
REPORT_SECONDS = 10.0


@contextmanager
def reported(what: str, seconds: float) -> Iterator[None]:
    """Log again and again, for the length of a block, what is waited for and until when.

    :param what: E.g. ``Another task is placing the order 'weekly'``.
    :param seconds: Longest wait.
    """
    over = threading.Event()
    until = clock_time(seconds)

    def report() -> None:
        while not over.wait(REPORT_SECONDS):
            log.info("%s. Waiting until %s at most.", what, until)

    thread = threading.Thread(target=report, name="planet-waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def clock_time(seconds: float) -> str:
    """Return the time of day in so many seconds, for a log."""
    return f"{datetime.now(timezone.utc) + timedelta(seconds=seconds):%H:%M:%S} UTC"
