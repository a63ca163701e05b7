"""End sessions when the process that started them is gone, however it went.

Reads session ids from standard input, one a line. ``done`` says that they have been ended; an input that
stops without it means that the starter died, be it by SIGKILL.
"""

from __future__ import annotations

import signal
import sys

from demo.processes import ENDING_SIGNALS, GUARD_DONE, end_sessions


def main() -> None:
    """Wait for the end of the input; end what it named, unless that is done."""
    for number in (signal.SIGINT, *ENDING_SIGNALS):
        signal.signal(number, signal.SIG_IGN)
    sessions = []
    for line in sys.stdin.buffer:
        if line == GUARD_DONE:
            return
        sessions.append(int(line))
    end_sessions(sessions)


if __name__ == "__main__":
    main()
